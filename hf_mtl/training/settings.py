"""A task's training settings, after the defaults of the training arguments have been filled in."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import SchedulerType, TrainingArguments
from transformers.training_args import OptimizerNames

from hf_mtl.tasks import Task

__all__ = ["TaskSettings", "defaults_of_shared"]


@dataclass(frozen=True)
class TaskSettings:
    """What one task is trained with; all fields mean what they mean in `TrainingArguments`, for this task alone.

    Args:
        batch_size: Rows of one optimizer step, over all processes; accumulation is in it.
        steps: Optimizer steps in all.
        learning_rate: Peak learning rate.
        lr_scheduler_type: The schedule's name.
        warmup_steps: Steps of warm-up; below 1 a share of `steps`.
        weight_decay: Decoupled weight decay.
        max_grad_norm: Largest gradient norm; 0 does not clip.
        optim: The optimizer's name.
        adam_beta1: Decay of the gradient's running mean.
        adam_beta2: Decay of the squared gradient's running mean.
        adam_epsilon: Added to the denominator of the update.
        metric: What decides which weights are the task's best: a key of its evaluation, such as `loss`.
        greater_is_better: Whether a larger figure is a better one.
        patience: Evaluations without a better figure after which the task stops; None never stops it.
        lr_scheduler_kwargs: Further arguments of the schedule.
    """

    batch_size: int
    steps: int
    learning_rate: float
    lr_scheduler_type: str
    warmup_steps: float
    weight_decay: float
    max_grad_norm: float
    optim: str = "adamw_torch_fused"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    metric: str = "loss"
    greater_is_better: bool = False
    patience: int | None = None
    lr_scheduler_kwargs: Mapping[str, Any] = field(default_factory=dict)  # Any: as in `TrainingArguments`

    @classmethod
    def resolve(cls, task: Task, args: TrainingArguments, *, rows: int | None) -> TaskSettings:
        """Fill in what the task leaves open.

        The number of steps is the task's own `max_steps` or `num_train_epochs`, else the arguments'
        `max_steps` or `num_train_epochs`.

        Args:
            task: The task.
            args: The defaults.
            rows: The task's training rows; None for a stream, whose length is not known and which needs `max_steps`.
        """
        batch_size = _rows_per_step(task, args)
        if task.max_steps is not None:
            steps = task.max_steps
        elif rows is not None and (task.num_train_epochs is not None or args.max_steps <= 0):
            steps = math.ceil((task.num_train_epochs or args.num_train_epochs) * math.ceil(rows / batch_size))
        else:
            steps = args.max_steps
        if args.max_steps > 0:
            steps = min(steps, args.max_steps)
        own = task.settings
        metric = (task.metric_for_best_model or args.metric_for_best_model or "loss").removeprefix("eval_")
        greater = task.greater_is_better
        if greater is None:
            greater = (
                not metric.endswith("loss") if task.metric_for_best_model else bool(args.greater_is_better)
            )
        return cls(
            batch_size=batch_size,
            steps=steps,
            learning_rate=float(own.get("learning_rate", args.learning_rate)),
            lr_scheduler_type=SchedulerType(own.get("lr_scheduler_type", args.lr_scheduler_type)).value,
            warmup_steps=float(own.get("warmup_steps", args.warmup_steps)),
            weight_decay=float(own.get("weight_decay", args.weight_decay)),
            max_grad_norm=float(own.get("max_grad_norm", args.max_grad_norm or 0.0)),
            optim=OptimizerNames(own.get("optim", args.optim)).value,
            adam_beta1=float(own.get("adam_beta1", args.adam_beta1)),
            adam_beta2=float(own.get("adam_beta2", args.adam_beta2)),
            adam_epsilon=float(own.get("adam_epsilon", args.adam_epsilon)),
            metric=metric,
            greater_is_better=greater,
            patience=task.early_stopping_patience,
            lr_scheduler_kwargs=_schedule_options(args),
        )

    def arguments(self, args: TrainingArguments) -> TrainingArguments:
        """The training arguments with this task's optimizer, from which `Trainer` finds the class and its options."""
        own = copy.copy(args)
        own.optim = OptimizerNames(self.optim)
        own.learning_rate = self.learning_rate
        own.adam_beta1, own.adam_beta2 = self.adam_beta1, self.adam_beta2
        own.adam_epsilon = self.adam_epsilon
        return own

    def warmup(self) -> int:
        """Warm-up in whole steps."""
        return math.ceil(self.steps * self.warmup_steps) if self.warmup_steps < 1 else int(self.warmup_steps)


def _schedule_options(args: TrainingArguments) -> dict[str, Any]:
    """The schedule's further arguments, which a command line gives as JSON."""
    options = args.lr_scheduler_kwargs or {}
    return dict(json.loads(options) if isinstance(options, str) else options)


def _rows_per_step(task: Task, args: TrainingArguments) -> int:
    own = task.batch_size or args.per_device_train_batch_size * args.world_size
    return own * (task.gradient_accumulation_steps or args.gradient_accumulation_steps)


def defaults_of_shared(args: TrainingArguments, *, rounds: int) -> TaskSettings:
    """The settings of adapters that several tasks share: those of the arguments; `rounds` are their steps."""
    return TaskSettings(
        batch_size=0,
        steps=rounds,
        learning_rate=args.learning_rate,
        lr_scheduler_type=SchedulerType(args.lr_scheduler_type).value,
        warmup_steps=float(args.warmup_steps),
        weight_decay=args.weight_decay,
        max_grad_norm=args.max_grad_norm or 0.0,
        optim=OptimizerNames(args.optim).value,
        adam_beta1=args.adam_beta1,
        adam_beta2=args.adam_beta2,
        adam_epsilon=args.adam_epsilon,
        lr_scheduler_kwargs=_schedule_options(args),
    )
