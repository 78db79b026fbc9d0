"""One optimizer, one clipping and one schedule per task, under the two objects that a Trainer drives.

A task's step depends on its own gradient and its own count of steps alone: a neighbour's large gradient does
not clip it, and a round that it sits out moves neither its weights, nor its moments, nor its schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from hf_mtl.training.flat import FlatParameters
from hf_mtl.training.settings import TaskSettings

__all__ = ["SuiteOptimizer", "SuiteSchedule", "TaskOptimizer"]

OptimizerFactory = Callable[
    [list[dict[str, Any]]], Optimizer
]  # Any: param groups, as torch.optim declares them


class TaskOptimizer:
    """The update of one task's private parameters.

    Args:
        parameters: The task's parameters, by their keys in PEFT's files; biases are not decayed.
        settings: The task's settings.
        factory: Makes the optimizer from parameter groups.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], settings: TaskSettings, factory: OptimizerFactory
    ) -> None:
        biases = [parameter for key, parameter in parameters.items() if key.endswith(".bias")]
        others = [parameter for key, parameter in parameters.items() if not key.endswith(".bias")]
        decays = ((others, settings.weight_decay), (biases, 0.0))  # as in transformers.Trainer
        groups = [(FlatParameters(members), decay) for members, decay in decays if members]
        self.flats = tuple(flat for flat, _ in groups)
        self.max_grad_norm = settings.max_grad_norm
        self.optimizer = factory(
            [
                {"params": [flat.flat], "lr": settings.learning_rate, "weight_decay": decay}
                for flat, decay in groups
            ]
        )
        self.schedule: LRScheduler = get_scheduler(
            settings.lr_scheduler_type, self.optimizer, settings.warmup(), settings.steps
        )
        self.stepped = False
        self.learning_rate = self.next_learning_rate  # of the latest step, for the log

    @property
    def next_learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def clip(self) -> Tensor | None:
        """Clip the task's gradient to its own largest norm.

        Returns:
            The norm before clipping, or None if the task has no gradient.
        """
        gradients = [flat.flat.grad for flat in self.flats if flat.flat.grad is not None]
        if not gradients:
            return None
        norm: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        if self.max_grad_norm > 0:
            factor = (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
            for gradient in gradients:
                gradient.mul_(factor)
        return norm

    def start_round(self) -> None:
        """Open the task's gradients: the coming backward passes add up in them."""
        for flat in self.flats:
            flat.collect_gradients()

    def drop_gradients(self) -> None:
        """Leave no gradient; None, never zero, or an absent task would drift."""
        for flat in self.flats:
            flat.drop_gradients()

    def step(self) -> None:
        """Make the update, if the task has a gradient."""
        self.stepped = any(flat.flat.grad is not None for flat in self.flats)
        if self.stepped:
            self.learning_rate = self.next_learning_rate
            self.optimizer.step()


class SuiteOptimizer(Optimizer):
    """All tasks' optimizers as the one that the Trainer steps.

    Args:
        tasks: The optimizers by task.
    """

    def __init__(self, tasks: Mapping[str, TaskOptimizer]) -> None:
        super().__init__([flat.flat for task in tasks.values() for flat in task.flats], defaults={})
        self.tasks = tasks
        self.param_groups = [group for task in tasks.values() for group in task.optimizer.param_groups]

    def start_round(self, names: Collection[str]) -> None:
        """Open the gradients of the tasks that take part in a round; all others have None."""
        for name, task in self.tasks.items():
            if name in names:
                task.start_round()
            else:
                task.drop_gradients()

    def clip(self) -> dict[str, Tensor]:
        """Clip every task by itself; returns the norms before clipping of the tasks that have a gradient."""
        norms = {name: task.clip() for name, task in self.tasks.items()}
        return {name: norm for name, norm in norms.items() if norm is not None}

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # closures have no use here
        """Step every task that has a gradient."""
        for task in self.tasks.values():
            task.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients."""
        for task in self.tasks.values():
            task.drop_gradients()

    def state_dict(self) -> dict[str, Any]:  # Any: as torch.optim declares it
        """Each task's optimizer state."""
        return {name: task.optimizer.state_dict() for name, task in self.tasks.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # Any: as torch.optim declares it
        """Restore each task's optimizer state."""
        for name, task in self.tasks.items():
            task.optimizer.load_state_dict(state_dict[name])
        self.param_groups = [group for task in self.tasks.values() for group in task.optimizer.param_groups]


class SuiteSchedule:
    """All tasks' schedules as the one that the Trainer steps; each counts its own task's steps.

    Args:
        tasks: The optimizers by task.
    """

    def __init__(self, tasks: Mapping[str, TaskOptimizer]) -> None:
        self.tasks = tasks

    def step(self) -> None:
        """Advance the schedules of the tasks that made a step in this round."""
        for task in self.tasks.values():
            if task.stepped:
                task.schedule.step()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each task's next step."""
        return [task.next_learning_rate for task in self.tasks.values()]

    def state_dict(self) -> dict[str, Any]:  # Any: as torch declares it
        """Each task's schedule."""
        return {name: task.schedule.state_dict() for name, task in self.tasks.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # Any: as torch declares it
        """Restore each task's schedule."""
        for name, task in self.tasks.items():
            task.schedule.load_state_dict(state_dict[name])
