"""The trainer: `transformers.Trainer` with rounds in the place of batches, and a step of its own for every task."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from hf_mtl.data import PackedBatch, PaddedBatch
from hf_mtl.errors import ConfigError
from hf_mtl.evaluation import Evaluator
from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel, load_base, load_tokenizer
from hf_mtl.tasks import Task, TaskSuite, encode_split
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.meter import TaskMeter
from hf_mtl.training.optimization import SuiteOptimizer, SuiteSchedule, TaskOptimizer
from hf_mtl.training.progress import ProgressDisplay
from hf_mtl.training.rounds import Round, RoundLoader, RoundPlan
from hf_mtl.training.settings import TaskSettings

__all__ = ["MultiTaskTrainer"]

logger = logging.getLogger(__name__)


class MultiTaskTrainer(Trainer):
    """Fine-tunes one frozen model on many tasks at once, with one private adapter per task.

    In every round each task that is not finished makes one optimizer step on its own next batch; the base
    runs once per micro-batch, over the rows of all tasks, without padding. What a task ends with does not
    depend on the other tasks.

    Args:
        model: A Hub id, a folder, `asset:NAME`, a model object, or a `RoutedModel`. Adapters that a
            `RoutedModel` already has under a task's name are trained further.
        args: The arguments; default `MultiTaskTrainingArguments("tmp_trainer")`.
        tasks: The tasks, or a suite.
        processing_class: The tokenizer; default the one that belongs to the model.
        callbacks: As in `Trainer`.

    Raises:
        ConfigError: If the declaration cannot work.
        DataError: If a row cannot be used; every row is checked here, before training.

    Example:
        >>> trainer = MultiTaskTrainer("HuggingFaceTB/SmolLM2-135M-Instruct", args, tasks)  # doctest: +SKIP
        >>> trainer.train()  # doctest: +SKIP
        >>> trainer.evaluate()  # doctest: +SKIP
        >>> trainer.save_model("adapters")  # doctest: +SKIP
    """

    model: RoutedModel
    optimizer: Any  # Any: accelerate wraps the SuiteOptimizer
    lr_scheduler: Any  # Any: a SuiteSchedule, where the parent declares torch's class

    def __init__(
        self,
        model: str | Path | PreTrainedModel | RoutedModel,
        args: MultiTaskTrainingArguments | None = None,
        tasks: Iterable[Task] | TaskSuite = (),
        *,
        processing_class: PreTrainedTokenizerBase | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.suite = tasks if isinstance(tasks, TaskSuite) else TaskSuite(tasks)
        args = args or MultiTaskTrainingArguments("tmp_trainer")
        tokenizer = processing_class or _tokenizer_of(model)
        self.tokenizer: PreTrainedTokenizerBase = tokenizer
        routed = _routed(model)
        for name, task in self.suite.items():
            if name not in routed.adapter_names and task.adapter is not None:
                routed.add_adapter(name, task.adapter, seed=args.seed)
        self.splits = {
            name: encode_split(
                task, task.train, tokenizer, split="train", virtual=routed.virtual_tokens(name)
            )
            for name, task in self.suite.items()
            if task.train is not None
        }
        self.task_settings = {
            name: TaskSettings.resolve(self.suite[name], args, rows=len(split))
            for name, split in self.splits.items()
        }
        args = copy.copy(args)
        # A round is one item of the loader, with its accumulation inside.
        args.gradient_accumulation_steps = 1
        self.meter = TaskMeter()
        self.task_optimizers: dict[str, TaskOptimizer] = {}
        self._evaluator: Evaluator | None = None
        super().__init__(
            model=routed,
            args=args,
            eval_dataset={name: task.eval for name, task in self.suite.items() if task.eval is not None}
            or None,
            processing_class=tokenizer,
            callbacks=callbacks,
        )
        self.args: MultiTaskTrainingArguments = args
        self._show_progress(callbacks or [])

    def _show_progress(self, callbacks: list[TrainerCallback]) -> None:
        """One display of ours in the place of the parent's, unless `disable_tqdm` asks for plain log entries."""
        own = any(isinstance(callback, ProgressDisplay) for callback in callbacks)
        if own or not self.args.disable_tqdm:
            for stock in (PrinterCallback, DEFAULT_PROGRESS_CALLBACK):
                self.remove_callback(stock)
        if not own and not self.args.disable_tqdm:
            self.add_callback(ProgressDisplay(self.suite.names))

    # ---- rounds ----

    def round_plan(self) -> RoundPlan:
        """All rounds of this run.

        Raises:
            ConfigError: If no task has training rows.
        """
        if not self.splits:
            raise ConfigError("No task has train rows, so there is nothing to train on.")
        return RoundPlan(
            self.splits,
            self.task_settings,
            seed=self.args.seed if self.args.data_seed is None else self.args.data_seed,
            token_budget=self.args.token_budget,
            max_chunk_tokens=self.args.max_chunk_tokens,
            layout=self.model.layout,
        )

    def get_train_dataloader(self) -> RoundLoader:
        """The rounds, one item each."""
        epochs = 1 if self.args.max_steps > 0 else math.ceil(self.args.num_train_epochs)
        return RoundLoader(self.round_plan(), epochs=epochs, workers=self.args.dataloader_num_workers)

    def set_initial_training_values(
        self,
        args: Any,
        dataloader: DataLoader[Round],  # Any: as in the parent
    ) -> tuple[int, int, int, int, int, int, int]:
        """Count in rounds: epochs, rounds per epoch, rows, rows in all, rows per round, rounds per epoch, rounds."""
        assert isinstance(dataloader, RoundLoader) and isinstance(dataloader.dataset, RoundPlan)
        rounds, per_epoch = len(dataloader.dataset), len(dataloader)
        rows = sum(len(split) for split in self.splits.values())
        per_round = sum(settings.batch_size for settings in self.task_settings.values())
        all_rows = sum(settings.batch_size * settings.steps for settings in self.task_settings.values())
        return math.ceil(rounds / per_epoch), per_epoch, rows, all_rows, per_round, per_epoch, rounds

    def get_batch_samples(
        self, epoch_iterator: Iterator[Round], num_batches: int, device: torch.device
    ) -> tuple[list[Round], None]:
        """The next round. It brings its accumulation and its label counts along, so the parent counts nothing."""
        round_ = next(epoch_iterator, None)
        return ([] if round_ is None else [round_]), None

    # ---- one step ----

    def training_step(self, model: nn.Module, inputs: Round, num_items_in_batch: None = None) -> Tensor:  # type: ignore[override]
        """Forward and backward of a whole round; returns the mean of the tasks' losses, for the log."""
        model.train()
        self.suite_optimizer.start_round(inputs.label_counts)
        losses = dict.fromkeys(inputs.label_counts, torch.zeros((), device=self.args.device))
        for micro_batch in inputs.micro_batches:
            with self.compute_loss_context_manager():
                sums = self.loss_sums(model, micro_batch.to(self.args.device))
                means = {name: sums[name] / inputs.label_counts[name] for name in sums}
            self.accelerator.backward(torch.stack(list(means.values())).sum())
            for name, mean in means.items():
                losses[name] = losses[name] + mean.detach()
        self.meter.add_round(losses, inputs.tokens)
        return torch.stack(list(losses.values())).mean()

    def loss_sums(self, model: nn.Module, batch: PackedBatch | PaddedBatch) -> dict[str, Tensor]:
        """Each route's summed negative log-likelihood over its labels in the batch, in nats; scalars."""
        losses_N = cross_entropy(model(batch).float(), batch.label_ids, reduction="none")
        sums: dict[str, Tensor] = {}
        for route, start, stop in batch.label_segments:
            part = losses_N[start:stop].sum()
            sums[route] = sums[route] + part if route in sums else part
        return sums

    def floating_point_ops(self, inputs: Round) -> int:  # type: ignore[override]
        """Multiplications and additions of a round: 2 per base weight and token forward, 2 for the input's gradient."""
        return 4 * sum(inputs.tokens.values()) * self.model.base.num_parameters(exclude_embeddings=True)

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """One optimizer per task, each over one flat buffer, of the class that `args.optim` names."""
        cls, options = self.get_optimizer_cls_and_kwargs(self.args)
        self.task_optimizers = {
            name: TaskOptimizer(
                self.model.adapter_parameters(name), settings, lambda groups: cls(groups, **options)
            )
            for name, settings in self.task_settings.items()
        }
        self.suite_optimizer = SuiteOptimizer(self.task_optimizers)
        self.optimizer = self.suite_optimizer
        return self.suite_optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> SuiteSchedule:  # type: ignore[override]
        """One schedule per task, counted in the task's own steps."""
        schedule = SuiteSchedule(self.task_optimizers)
        self.lr_scheduler = schedule
        self._created_lr_scheduler = True
        return schedule

    def _clip_grad_norm(self, model: nn.Module) -> None:
        """Nothing here: one norm over all tasks would couple them. See `_get_grad_norm`."""

    def _get_grad_norm(self, model: nn.Module, grad_norm: float | None = None) -> float:
        """Clip each task to its own norm; returns the norm of all gradients before clipping, for the log."""
        norms = self.suite_optimizer.clip()
        self.meter.add_norms(norms)
        return float(torch.linalg.vector_norm(torch.stack(list(norms.values()))))

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,  # Any: as in the parent
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Any:  # Any: the parent's TrainOutput
        """Train all tasks.

        Raises:
            ConfigError: If a resume is asked for; there are no checkpoints yet.
        """
        if resume_from_checkpoint:
            raise ConfigError(
                "resume_from_checkpoint: checkpoints are not supported yet; train from the start."
            )
        self.meter.start()
        return super().train(trial=trial, ignore_keys_for_eval=ignore_keys_for_eval)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log; entries about training get every task's loss, learning rate and gradient norm."""
        if "loss" in logs and self.is_in_train:
            logs |= self.meter.drain(self.task_optimizers)
        super().log(logs, start_time)

    # ---- measuring and saving ----

    def evaluate(  # type: ignore[override]  # the parent takes one data set; here they are keyed by task
        self,
        eval_dataset: Mapping[str, Dataset] | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measure every task on its `eval` rows.

        Args:
            eval_dataset: Other rows, by task, to measure on; default each task's `eval`.
            ignore_keys: Must be None: packed evaluation gathers no outputs that could be left out.
            metric_key_prefix: As in `Trainer`.

        Returns:
            `eval_<task>/loss`, `/rows`, `/constant` (what the best constant answer would score) and
            `/<metric>` for every task; `eval_loss` is the mean of the tasks' losses.
        """
        if ignore_keys:
            raise ConfigError(
                f"ignore_keys={ignore_keys} has no meaning here: no model outputs are gathered."
            )
        started = time.perf_counter()
        evaluator = self._evaluator_for(eval_dataset)
        figures = evaluator.run()
        metrics = {
            f"{metric_key_prefix}_{name}/{key}": value
            for name, task in figures.items()
            for key, value in task.items()
        }
        metrics[f"{metric_key_prefix}_loss"] = sum(task["loss"] for task in figures.values()) / len(figures)
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - started, 4)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.meter.pause(time.perf_counter() - started)
        return metrics

    def _evaluator_for(self, eval_dataset: Mapping[str, Dataset] | None) -> Evaluator:
        if eval_dataset is None and self._evaluator is not None:
            return self._evaluator
        suite = self.suite
        if eval_dataset is not None:
            suite = TaskSuite(replace(suite[name], eval=rows) for name, rows in eval_dataset.items())
        if all(task.eval is None for task in suite.values()):
            raise ConfigError("No task has eval rows; give Task(..., eval=...) or evaluate({'task': rows}).")
        evaluator = Evaluator(self.model, self.tokenizer, suite, token_budget=self.args.token_budget)
        if eval_dataset is None:
            self._evaluator = evaluator
        return evaluator

    def predict(  # the parent's form, one array of logits, does not fit tasks whose answers are text
        self,
        test_dataset: Any,
        ignore_keys: Any = None,
        metric_key_prefix: str = "test",
    ) -> Any:
        """Refused; use `evaluate` for figures and `hf_mtl.inference.predict` for answers.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "Use evaluate({'task': rows}) for figures, or hf_mtl.inference.predict(...) for answers."
        )

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write one ordinary PEFT folder per task and the manifest `hf_mtl.json`."""
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir or ".")
            save_suite(self.model, folder, names=self.suite.names, tokenizer=self.tokenizer)

    def task_seconds(self) -> dict[str, float]:
        """Each trained task's share of the training time, by its tokens, in seconds; evaluation is not counted."""
        total = sum(self.meter.tokens.values())
        return {name: self.meter.seconds * count / total for name, count in self.meter.tokens.items()}


def _tokenizer_of(model: str | Path | PreTrainedModel | RoutedModel) -> PreTrainedTokenizerBase:
    if isinstance(model, str | Path):
        return load_tokenizer(model)
    base = model.base if isinstance(model, RoutedModel) else model
    if not base.name_or_path:
        raise ConfigError(
            "A model object without a name brings no tokenizer; pass processing_class=tokenizer."
        )
    return load_tokenizer(base.name_or_path)


def _routed(model: str | Path | PreTrainedModel | RoutedModel) -> RoutedModel:
    if isinstance(model, RoutedModel):
        return model
    if isinstance(model, str | Path):
        base, identity = load_base(model)
        return RoutedModel(base, identity=identity)
    return RoutedModel(model)
