"""One optimizer, one clipping and one schedule per task, under the two objects that a Trainer drives.

A task's step depends on its own gradient and its own count of steps alone: a neighbour's large gradient does
not clip it, and a round that it sits out moves neither its weights, nor its moments, nor its schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import get_scheduler

from hf_mtl.training.flat import FlatParameters
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.state import State

__all__ = ["SuiteOptimizer", "SuiteSchedule", "TaskOptimizer", "schedule_problem"]

OptimizerFactory = Callable[
    [list[dict[str, Any]]], Optimizer
]  # Any: param groups, as torch.optim declares them


def _schedule(optimizer: Optimizer, settings: TaskSettings) -> LRScheduler:
    """The schedule that the settings name."""
    schedule: LRScheduler = get_scheduler(
        settings.lr_scheduler_type,
        optimizer,
        settings.warmup(),
        settings.steps,
        scheduler_specific_kwargs=dict(settings.lr_scheduler_kwargs),
    )
    return schedule


def schedule_problem(settings: TaskSettings) -> str | None:
    """Why a schedule cannot be made of the settings, or gives no learning rate; found before training."""
    trial = torch.optim.SGD([torch.zeros(1)], lr=settings.learning_rate)
    try:
        schedule = _schedule(trial, settings)
        assert isinstance(schedule, LambdaLR)
        warmup, last = settings.warmup(), settings.steps
        steps = {0, 1, warmup, warmup + 1, last // 2, last - 1, last}
        factors = [float(schedule.lr_lambdas[0](step)) for step in sorted(steps) if step <= last]
        reason = None if all(map(math.isfinite, factors)) else "it gives a learning rate that is not finite"
    except (ArithmeticError, TypeError, ValueError) as error:
        reason = f"{error}"
    if reason is None:
        return None
    options = f"lr_scheduler_kwargs={dict(settings.lr_scheduler_kwargs)!r:.200}"
    return f"{options} for lr_scheduler_type={settings.lr_scheduler_type!r}: {reason}. Change one of the two."


class TaskOptimizer:
    """The update of the parameters that one owner has: a task its private ones, the suite a shared adapter's.

    Args:
        parameters: By name.
        settings: The owner's settings.
        factory: Makes the optimizer from parameter groups.
        undecayed: Those of the parameters that weight decay leaves alone.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        settings: TaskSettings,
        factory: OptimizerFactory,
        undecayed: Collection[nn.Parameter] = (),
    ) -> None:
        left_alone = {id(parameter) for parameter in undecayed}
        spared = {key: parameter for key, parameter in parameters.items() if id(parameter) in left_alone}
        others = {key: parameter for key, parameter in parameters.items() if key not in spared}
        decays = ((others, settings.weight_decay), (spared, 0.0))
        groups = [(FlatParameters(members), decay) for members, decay in decays if members]
        self.flats = tuple(flat for flat, _ in groups)
        self.max_grad_norm = settings.max_grad_norm
        self.optimizer = factory(
            [
                {"params": [flat.flat], "lr": settings.learning_rate, "weight_decay": decay}
                for flat, decay in groups
            ]
        )
        self.schedule = _schedule(self.optimizer, settings)
        self.stepped = False
        self.learning_rate = self.next_learning_rate  # of the latest step, for the log

    @property
    def next_learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def gradients(self) -> list[Tensor]:
        """The flat gradients, none if the owner takes no part in the round."""
        return [flat.flat.grad for flat in self.flats if flat.flat.grad is not None]

    def norm(self) -> Tensor:
        """The norm of the whole gradient, a scalar."""
        norms = [torch.linalg.vector_norm(gradient) for gradient in self.gradients()]
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return total

    def clip(self, norm: float) -> None:
        """Clip the gradient, whose norm is `norm`, to the owner's own largest norm."""
        if self.max_grad_norm > 0:
            factor = min(1.0, self.max_grad_norm / (norm + 1e-6))  # as torch.nn.utils.clip_grad_norm_
            for gradient in self.gradients() if factor < 1 else ():
                gradient.mul_(factor)

    def start_round(self) -> None:
        """Open the gradients: the coming backward passes add up in them."""
        for flat in self.flats:
            flat.collect_gradients()

    def drop_gradients(self) -> None:
        """Leave no gradient; None, never zero, or an absent task would drift."""
        for flat in self.flats:
            flat.drop_gradients()

    def step(self) -> None:
        """Make the update, if there is a gradient."""
        self.stepped = bool(self.gradients())
        if self.stepped:
            self.learning_rate = self.next_learning_rate
            self.optimizer.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """The optimizer's state by the names of parameters (`<parameter>:exp_avg`), counters by their group."""
        state: dict[str, Tensor] = {}
        for i, flat in enumerate(self.flats):
            for key, value in self.optimizer.state[flat.flat].items():
                if value.shape == flat.flat.shape:  # a counter has no dimension, a single weight has one
                    state |= {f"{name}:{key}": part for name, part in flat.by_name(value).items()}
                else:
                    state[f"group {i}:{key}"] = value
        return state

    def load_state_tensors(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` gave."""
        keys = {key.rpartition(":")[2] for key in state}
        for i, flat in enumerate(self.flats):
            for key in sorted(keys):
                if f"group {i}:{key}" in state:
                    value = state[f"group {i}:{key}"].clone()
                elif f"{flat.names[0]}:{key}" in state:
                    value = torch.cat([state[f"{name}:{key}"].reshape(-1) for name in flat.names])
                    value = value.to(flat.flat.device)
                    if value.shape != flat.flat.shape:
                        raise ValueError(f"{key}: expected {len(flat.flat)} values, found {len(value)}")
                elif f"group 0:{key}" in state:
                    # There were fewer groups when it was saved; an owner's groups all step together.
                    value = state[f"group 0:{key}"].clone()
                else:
                    continue
                if key == "step" and value.dim():
                    raise ValueError(f"{key}: expected one number, found the shape {list(value.shape)}")
                self.optimizer.state[flat.flat][key] = value

    def state_dict(self) -> State:
        """The optimizer's state, the updates so far (the place in the schedule), and the latest learning rate."""
        return {"tensors": self.state_tensors(), "updates": self.steps, "learning_rate": self.learning_rate}

    def load_state_dict(self, state: State) -> None:
        """Go on where `state_dict` was called."""
        self.load_state_tensors(state["tensors"])
        self.rewind(state["updates"])
        self.learning_rate = state["learning_rate"]

    def copied_state(self) -> list[dict[str, Tensor]]:
        """A copy of the optimizer's state of each flat buffer."""
        return [
            {key: value.clone() for key, value in self.optimizer.state[flat.flat].items()}
            for flat in self.flats
        ]

    def put_back_state(self, copied: Sequence[Mapping[str, Tensor]]) -> None:
        """Restore what `copied_state` gave; nothing where there was no step yet."""
        for flat, state in zip(self.flats, copied, strict=True):
            present = self.optimizer.state[flat.flat]
            moved = {key: value.to(present[key].device, copy=True) for key, value in state.items()}
            present.clear()
            present.update(moved)

    def rewind(self, steps: int) -> None:
        """Set the schedule to where it stands after so many steps; every schedule is a function of their number."""
        self.schedule.last_epoch = steps
        self.schedule._step_count = steps + 1
        assert isinstance(self.schedule, LambdaLR)
        for group, start, factor in zip(
            self.optimizer.param_groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True
        ):
            group["lr"] = start * factor(steps)
        self.schedule._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def steps(self) -> int:
        """The updates so far."""
        return self.schedule.last_epoch


class SuiteOptimizer(Optimizer):
    """All owners' optimizers as the one that the Trainer steps.

    Args:
        tasks: The optimizers by owner.
    """

    def __init__(self, tasks: Mapping[str, TaskOptimizer]) -> None:
        super().__init__([flat.flat for task in tasks.values() for flat in task.flats], defaults={})
        self.tasks = tasks
        self.param_groups = [group for task in tasks.values() for group in task.optimizer.param_groups]

    def start_round(self, names: Collection[str]) -> None:
        """Open the gradients of the owners that take part in a round; all others have None."""
        for name, task in self.tasks.items():
            if name in names:
                task.start_round()
            else:
                task.drop_gradients()

    def present(self) -> dict[str, TaskOptimizer]:
        """The owners that have a gradient."""
        return {name: task for name, task in self.tasks.items() if task.gradients()}

    def norms(self) -> dict[str, Tensor]:
        """The gradient norms of the owners that have a gradient, scalars."""
        return {name: task.norm() for name, task in self.present().items()}

    def clip(self, norms: Mapping[str, float]) -> None:
        """Clip every owner by itself; `norms` are those of `norms()`."""
        for name, task in self.present().items():
            task.clip(norms[name])

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # closures have no use here
        """Step every owner that has a gradient."""
        for task in self.tasks.values():
            task.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients."""
        for task in self.tasks.values():
            task.drop_gradients()


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
