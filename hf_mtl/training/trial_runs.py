"""Trial runs: a few rounds of some tasks from given states, through the trainer itself, that leave nothing behind.

A run for its figures and not for its adapters: it writes no checkpoint, tells no tracker, and its folder is a
temporary one.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from torch import Tensor
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from hf_mtl.data import Sequence, with_raw_images
from hf_mtl.files import scratch_folder
from hf_mtl.models import RoutedModel, context_of, place_task
from hf_mtl.models.probes import Finding
from hf_mtl.tasks import Processor, Task, TaskSuite, encode_split
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.isolation import check_isolation
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.sources import RowSource
from hf_mtl.training.trainer import MultiTaskTrainer

__all__ = ["TaskState", "TrialRuns", "task_weights"]


@dataclass(frozen=True)
class TaskState:
    """Where a task stands.

    Args:
        weights: All parameters that its route trains.
        moments: Its optimizer's state; empty at the start.
        steps: The steps that it has made.
    """

    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    steps: int


def task_weights(model: RoutedModel, task: str) -> dict[str, torch.nn.Parameter]:
    """The parameters of all adapters of a task's route."""
    return {
        f"{adapter}:{key}": parameter
        for adapter in model.routes[task]
        for key, parameter in model.adapter_parameters(adapter).items()
    }


class TrialRuns:
    """Runs of the same tasks, with the same arguments and the same rows.

    Of the user's arguments the mixture is replaced (every task takes part in every round), and runs that would be over
    too soon get longer schedules. Of each task only as many rows are read as the rounds take.

    Args:
        suite: The tasks; all have rows to learn from.
        args: The arguments of the user's run.
        processor: The base's tokenizer or image processor.
        rounds: The most rounds that any run will have behind it.
        trainer: The class of trainer that is tried.
    """

    def __init__(
        self,
        suite: TaskSuite,
        args: MultiTaskTrainingArguments,
        processor: Processor,
        *,
        rounds: int,
        trainer: type[MultiTaskTrainer],
    ) -> None:
        self.args = args
        self.processor = processor
        self.trainer = trainer
        self.findings: tuple[Finding, ...] = ()  # of the last run
        self.tasks = {name: _short(task, args, rounds) for name, task in suite.items()}

    def place_adapters(self, model: RoutedModel, names: Iterable[str]) -> None:
        """Place the tasks' adapters on a model, as the trainer would."""
        for name in names:
            place_task(model, self.tasks[name], seed=self.args.seed)

    def first_row(self, model: RoutedModel, name: str) -> Sequence:
        """A task's first row, as tokens."""
        rows = self.tasks[name].train
        assert isinstance(rows, Dataset)  # see `_short`
        virtual = model.virtual_tokens(name)
        context = context_of(model, self.tasks[name], self.processor)
        split = encode_split(self.tasks[name], rows.select([0]), context, split="train", virtual=virtual)
        return split.sequence(0)

    def run(
        self,
        model: RoutedModel,
        names: Collection[str],
        rounds: int,
        *,
        start: Mapping[str, TaskState] | None = None,
        permuted: bool = False,
    ) -> dict[str, TaskState]:
        """Train some tasks together.

        Args:
            model: It has the tasks' adapters, and is changed.
            names: The tasks.
            rounds: So many rounds.
            start: Where each task starts; default: at its first step, with the model's weights.
            permuted: Whether the rows of every batch come in the reverse order.

        Returns:
            Where each task ends.
        """
        with scratch_folder() as folder:
            trainer = self.trainer(
                model,
                _quiet(self.args, str(folder)),
                [self.tasks[name] for name in names],
                processing_class=self.processor,
                callbacks=None,
            )
            trainer.remove_callback(PrinterCallback)
            if permuted:
                trainer.sources = {name: _Reversed(source) for name, source in trainer.sources.items()}
            self.findings = check_isolation(trainer.model, trainer.sources.values(), self.args)
            trainer.add_callback(_Trial(trainer, rounds, start or {}))
            trainer.train()
        return {name: _state(trainer, name) for name in names}


def _short(task: Task, args: MultiTaskTrainingArguments, rounds: int) -> Task:
    """The task with the rows and the steps that the rounds take; its schedule is as long as in the user's run."""
    assert task.train is not None  # see `TrialRuns`
    streamed = isinstance(task.train, IterableDataset)
    settings = TaskSettings.resolve(task, args, rows=None if streamed else len(task.train))
    count = rounds * settings.batch_size
    if streamed:
        train = Dataset.from_list(list(with_raw_images(task.train).take(count)))
    else:
        train = task.train.select(range(min(len(task.train), count)))
    steps = max(settings.steps, rounds)
    return replace(
        task, train=train, eval=None, max_steps=steps,
        metric_for_best_model=None, greater_is_better=None, early_stopping_patience=None,
    )  # fmt: skip


def _quiet(args: MultiTaskTrainingArguments, folder: str) -> MultiTaskTrainingArguments:
    quiet = copy.copy(args)
    quiet.output_dir = folder
    quiet.report_to = []
    quiet.disable_tqdm = True
    quiet.logging_strategy = IntervalStrategy.NO
    quiet.eval_strategy = IntervalStrategy.NO
    quiet.save_strategy = SaveStrategy.NO
    quiet.eval_on_start = quiet.load_best_model_at_end = False
    quiet.max_steps, quiet.num_train_epochs = -1, 1
    quiet.mixture, quiet.stop_rule = "all", "once"
    return quiet


def _state(trainer: MultiTaskTrainer, task: str) -> TaskState:
    weights = {key: p.detach().clone() for key, p in task_weights(trainer.model, task).items()}
    own = trainer.task_optimizers.get(task)  # none if all that it trains is shared
    moments = {} if own is None else {key: value.clone() for key, value in own.state_tensors().items()}
    return TaskState(weights, moments, trainer.plan.steps[task])


class _Reversed(RowSource):
    """Another source's batches, each with its rows in the reverse order; every row keeps its dropout masks."""

    def __init__(self, source: RowSource) -> None:
        self.source = source
        self.rows = source.rows
        self.tokens_per_row = source.tokens_per_row
        self.skipped = source.skipped
        self.extent = source.extent

    def batch(self, step: int) -> list[Sequence]:
        return self.source.batch(step)[::-1]

    def fingerprint(self) -> str | None:
        return self.source.fingerprint()


class _Trial(TrainerCallback):
    """Puts the tasks into their states before the first round, and ends the run in time."""

    def __init__(self, trainer: MultiTaskTrainer, rounds: int, start: Mapping[str, TaskState]) -> None:
        self.trainer = trainer
        self.rounds = rounds
        self.start = start

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for task, at in self.start.items():
            with torch.no_grad():
                for key, parameter in task_weights(self.trainer.model, task).items():
                    parameter.copy_(at.weights[key])
            self.trainer.plan.steps[task] = at.steps
            if task in self.trainer.task_optimizers:
                self.trainer.task_optimizers[task].load_state_tensors(at.moments)
                self.trainer.task_optimizers[task].rewind(at.steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_training_stop |= state.global_step >= self.rounds
