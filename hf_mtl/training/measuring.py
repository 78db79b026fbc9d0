"""The part of the trainer that measures tasks and saves their adapters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from datasets import Dataset
from transformers.trainer_utils import PredictionOutput

from hf_mtl.adapters import renew_casts
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.evaluation import Evaluator, GeneratedSample, TaskOutcomes, generated_sample, means
from hf_mtl.notices import logger_of
from hf_mtl.tasks import EncodedSplit, TaskSuite
from hf_mtl.training.precision import forward_pass, passing_casts
from hf_mtl.training.processes import gathered
from hf_mtl.training.pushing import PushingTrainer
from hf_mtl.training.sources import RowSource, StoredRows
from hf_mtl.training.stock import stock_without_tasks

__all__ = ["MeasuringTrainer"]

logger = logger_of(__name__)


@stock_without_tasks
class MeasuringTrainer(PushingTrainer):
    """Abstract: a trainer whose tasks are measured in shared passes."""

    sources: Mapping[str, RowSource]
    _evaluator: Evaluator | None = None

    def evaluate(
        self,
        eval_dataset: Mapping[str, Dataset] | Dataset | str | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
        *,
        intervals: bool = False,
    ) -> dict[str, float]:
        """Measure every task on its `eval` rows.

        Args:
            eval_dataset: Other rows, by task, to measure on, or rows alone where there is one task; or the name of a
                task that alone is measured, on its `eval`. Default: each task's `eval`.
            ignore_keys: Must be None: packed evaluation gathers no outputs that could be left out.
            metric_key_prefix: As in `Trainer`.
            intervals: Whether to add `/<key>_low` and `/<key>_high`, the ends of a 95 % bootstrap interval over rows.

        Returns:
            `eval_<task>/loss`, `/rows`, `/<key>` of its metrics and `/<key>_constant` (what the best constant answer
            would score) for every task; `eval_loss` and `eval_<metric>` are the means over the tasks that have such a
            figure, which `metric_for_best_model` of the arguments may name.
        """
        _refuse(ignore_keys)
        started = time.perf_counter()
        evaluator = self._evaluator_for(self._rows_by_task(eval_dataset))
        with passing_casts(self.model):
            figures = evaluator.figures(self._outcomes(evaluator), intervals=intervals)
        metrics = _named(figures, metric_key_prefix, seconds=time.perf_counter() - started)
        self.log(metrics)
        if self.is_in_train and evaluator is self._evaluator:
            stopping = self.best.evaluated(figures, self.owners.parameters, self.state.global_step)
            self.plan.stopped |= set(stopping)
            losses = {name: own["loss"] for name, own in figures.items() if name in self.sources}
            self.good.evaluated(losses, self.state.global_step)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.meter.pause(time.perf_counter() - started)
        return metrics

    def _outcomes(self, evaluator: Evaluator) -> dict[str, TaskOutcomes]:
        """What the model gives; callbacks see each pass, as they see each batch of the stock evaluation loop."""

        def on_progress(done: int, rows: int) -> None:
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)

        self.callback_handler.eval_dataloader = evaluator
        renew_casts()
        return evaluator.outcomes(on_progress)

    def _rows_by_task(self, rows: object) -> Mapping[str, Dataset] | None:
        """What to measure on.

        Raises:
            ConfigError: If rows do not say which task they are for.
        """
        if rows is None or isinstance(rows, Mapping):
            return rows
        if isinstance(rows, str):
            if rows not in self.suite or self.suite[rows].eval is None:
                names = [name for name, task in self.suite.items() if task.eval is not None]
                raise ConfigError(
                    f"evaluate({rows!r}) names no task with eval rows; there are {listing(names) or 'none'}."
                    f"{did_you_mean(rows, names)}"
                )
            return {rows: self.suite[rows].eval}
        if isinstance(rows, Dataset) and len(self.suite) == 1:
            return dict.fromkeys(self.suite.names, rows)
        raise ConfigError(
            f"evaluate takes rows by task, found a {type(rows).__name__}; pass evaluate({{'task': rows}}) with a "
            f"datasets.Dataset for each. Tasks are {listing(self.suite)}."
        )

    def _evaluator_for(self, eval_dataset: Mapping[str, Dataset] | None) -> Evaluator:
        if eval_dataset is None and self._evaluator is not None:
            return self._evaluator
        suite = self.suite
        if eval_dataset is not None:
            if unknown := [name for name in eval_dataset if name not in suite]:
                hint = did_you_mean(str(unknown[0]), suite)
                raise ConfigError(
                    f"there is no task {listing(map(str, unknown))} to measure.{hint} Tasks are {listing(suite)}."
                )
            suite = TaskSuite(replace(suite[name], eval=rows) for name, rows in eval_dataset.items())
        if all(task.eval is None for task in suite.values()):
            raise ConfigError("No task has eval rows; give Task(..., eval=...) or evaluate({'task': rows}).")
        evaluator = Evaluator(
            self.model,
            self.processing_class,
            suite,
            token_budget=self.args.token_budget,
            share=(self.args.process_index, self.args.world_size),
            gather=gathered,
            compute_metrics=self.compute_metrics,
            forward_pass=partial(forward_pass, self),
        )
        if eval_dataset is None:
            self._evaluator = evaluator
        return evaluator

    def predict(  # type: ignore[override]  # the parent takes one data set; here they are keyed by task
        self,
        test_dataset: Mapping[str, Dataset],
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "test",
    ) -> PredictionOutput:
        """Measure tasks on rows, and let their adapters answer them.

        Args:
            test_dataset: Rows by task, with their completions.
            ignore_keys: Must be None.
            metric_key_prefix: As in `Trainer`.

        Returns:
            `predictions` and `label_ids`: each task's answers and references in the first form of its kind (texts,
            decoded greedily; class numbers; lists of tags; SQuAD's answers; values). `metrics`: as `evaluate` gives
            them.
        """
        if not isinstance(test_dataset, Mapping):
            raise ConfigError(
                f"predict takes rows by task, for its answers are by task; found a {type(test_dataset).__name__}. Pass "
                f"predict({{'task': rows}}); tasks are {listing(self.suite)}."
            )
        _refuse(ignore_keys)
        started = time.perf_counter()
        evaluator = self._evaluator_for(test_dataset)
        answers, references = {}, {}
        with passing_casts(self.model):
            found = self._outcomes(evaluator)
            for name, outcomes in found.items():
                kind = outcomes.task.own_kind
                own = kind.answers(kind.forms[0], outcomes.found, outcomes.rows, outcomes.context)
                texts = kind.forms[0] == "texts"
                answers[name] = outcomes.generated(self.model) if texts else own.predictions
                references[name] = own.references
            figures = evaluator.figures(found)
        metrics = _named(figures, metric_key_prefix, seconds=time.perf_counter() - started)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics)
        return PredictionOutput(predictions=answers, label_ids=references, metrics=metrics)  # type: ignore[arg-type]

    def check_generation(self, rows: int = 16) -> dict[str, GeneratedSample]:
        """Write the answers to the first `eval` rows of every task that writes, beside what one forward pass says.

        Exact matches are measured by one pass; here it shows whether generation gives them. A recipe's run does this
        after its last evaluation. A disagreement is logged as a warning.

        Args:
            rows: How many of each task.

        Returns:
            By task, both shares; see `GeneratedSample`. Tasks without eval rows, or with answers of more than 256
            tokens only, are left out.
        """
        writing = [
            name for name, task in self.suite.items() if task.eval is not None and task.own_kind.writes
        ]
        if not writing:
            return {}
        splits = self._evaluator_for(None).splits  # whose rows have a label and can be used
        sample = {
            name: splits[name].source.select(list(dict.fromkeys(splits[name].rows["row"]))[:rows])
            for name in writing
        }
        with passing_casts(self.model):
            found = self._outcomes(self._evaluator_for(sample))
            written = {name: generated_sample(own, self.model) for name, own in found.items()}
        checked = {name: own for name, own in written.items() if own is not None}
        for name, own in checked.items():
            if own.problem is not None:
                logger.warning("task %r: %s", name, own.problem)
        return checked

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write every task's route as an ordinary PEFT folder, and the manifest `hf_mtl.json`; see `save_suite`.

        With `push_to_hub` in the arguments it is pushed too, as in `Trainer`.
        """
        if self.args.should_save:
            self.write_suite(Path(output_dir or self.args.output_dir or "."))
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def splits(self) -> dict[str, dict[str, EncodedSplit]]:
        """By task, its stored `train` rows and its `eval` rows as sequences, where it has such."""
        evaluated = (
            {} if all(task.eval is None for task in self.suite.values()) else self._evaluator_for(None).splits
        )
        found: dict[str, dict[str, EncodedSplit]] = {name: {} for name in self.suite}
        for name, own in found.items():
            source = self.sources.get(name)
            if isinstance(source, StoredRows):
                own["train"] = source.split
            if name in evaluated:
                own["eval"] = evaluated[name]
        return found

    def skipped_rows(
        self, tests: Mapping[str, Dataset] = MappingProxyType({})
    ) -> dict[str, dict[str, dict[str, int]]]:
        """By task and split, how many rows were left out because they cannot be used, by reason; only where some were.

        Rows of a stream are counted as far as they have been read.

        Args:
            tests: By task, rows that are measured on only once; they are counted as the split `test`.
        """
        skipping = {name: rows for name, rows in tests.items() if self.suite[name].on_bad_row == "skip"}
        tested = self._evaluator_for(skipping).splits if skipping else {}
        found: dict[str, dict[str, dict[str, int]]] = {}
        for name, splits in self.splits().items():
            counts = {split: rows.skipped.counts for split, rows in splits.items()}
            if name in self.sources:
                counts = {"train": self.sources[name].skipped.counts} | counts
            if name in tested:
                counts["test"] = tested[name].skipped.counts
            if any(counts.values()):
                found[name] = {split: own for split, own in counts.items() if own}
        return found

    def task_seconds(self) -> dict[str, float]:
        """Each trained task's share of the training time, by its tokens, in seconds; evaluation is not counted."""
        total = sum(self.meter.tokens.values())
        return {name: self.meter.seconds * count / total for name, count in self.meter.tokens.items()}


def _named(figures: Mapping[str, Mapping[str, float]], prefix: str, *, seconds: float) -> dict[str, float]:
    """The figures of all tasks under the names that `Trainer` gives such, and their means."""
    metrics = {
        f"{prefix}_{name}/{key}": value for name, task in figures.items() for key, value in task.items()
    }
    metrics |= {f"{prefix}_{key}": value for key, value in means(figures).items()}
    return metrics | {f"{prefix}_runtime": round(seconds, 4)}


def _refuse(ignore_keys: list[str] | None) -> None:
    if ignore_keys:
        raise ConfigError(
            f"ignore_keys={ignore_keys} is not supported: evaluation gathers no model outputs. Pass None."
        )
