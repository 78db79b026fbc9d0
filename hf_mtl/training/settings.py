"""A task's training settings, after the defaults of the training arguments have been filled in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from transformers import SchedulerType, TrainingArguments

from hf_mtl.tasks import Task

__all__ = ["TaskSettings"]


@dataclass(frozen=True)
class TaskSettings:
    """What one task is trained with; all fields mean what they mean in `TrainingArguments`, for this task alone.

    Args:
        batch_size: Rows of one optimizer step.
        steps: Optimizer steps in all.
        learning_rate: Peak learning rate.
        lr_scheduler_type: The schedule's name.
        warmup_steps: Steps of warm-up; below 1 a share of `steps`.
        weight_decay: Decoupled weight decay.
        max_grad_norm: Largest gradient norm; 0 does not clip.
    """

    batch_size: int
    steps: int
    learning_rate: float
    lr_scheduler_type: str
    warmup_steps: float
    weight_decay: float
    max_grad_norm: float

    @classmethod
    def resolve(cls, task: Task, args: TrainingArguments, *, rows: int) -> TaskSettings:
        """Fill in what the task leaves open.

        The number of steps is the task's own `max_steps` or `num_train_epochs`, else the arguments'
        `max_steps` or `num_train_epochs`.
        """
        batch_size = task.batch_size or args.per_device_train_batch_size * args.gradient_accumulation_steps
        per_epoch = math.ceil(rows / batch_size)
        if task.max_steps is not None:
            steps = task.max_steps
        elif task.num_train_epochs is not None:
            steps = math.ceil(task.num_train_epochs * per_epoch)
        elif args.max_steps > 0:
            steps = args.max_steps
        else:
            steps = math.ceil(args.num_train_epochs * per_epoch)
        if args.max_steps > 0:
            steps = min(steps, args.max_steps)
        own = task.settings
        return cls(
            batch_size=batch_size,
            steps=steps,
            learning_rate=float(own.get("learning_rate", args.learning_rate)),
            lr_scheduler_type=SchedulerType(own.get("lr_scheduler_type", args.lr_scheduler_type)).value,
            warmup_steps=float(own.get("warmup_steps", args.warmup_steps)),
            weight_decay=float(own.get("weight_decay", args.weight_decay)),
            max_grad_norm=float(own.get("max_grad_norm", args.max_grad_norm or 0.0)),
        )

    def warmup(self) -> int:
        """Warm-up in whole steps."""
        return math.ceil(self.steps * self.warmup_steps) if self.warmup_steps < 1 else int(self.warmup_steps)
