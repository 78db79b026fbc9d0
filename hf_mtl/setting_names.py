"""Which optimizers and schedules a task may name, wherever they are written.

>>> name_problems({"optim": "adam_torch", "lr_scheduler_type": "cosine"})
{'optim': "unknown or unsupported optimizer 'adam_torch'. Did you mean 'adamw_torch'? Valid: 'adagrad', \
'adamw_torch', 'adamw_torch_fused', 'rmsprop', 'sgd'."}
"""

from __future__ import annotations

from collections.abc import Mapping

from hf_mtl.errors import did_you_mean, listing

__all__ = ["ELEMENTWISE_OPTIMIZERS", "SCHEDULES_BY_LOSS", "name_problems"]

ELEMENTWISE_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop")
"""Those that treat every element of a parameter by itself, so that an adapter may be one flat buffer."""

SCHEDULES_BY_LOSS = ("reduce_lr_on_plateau", "greedy")
"""Those that are driven by a loss and not by the number of steps."""

_USUAL_SCHEDULES = ("constant", "constant_with_warmup", "cosine", "linear")


def name_problems(values: Mapping[str, object]) -> dict[str, str]:
    """By setting, what is wrong with the names that a task gives; None takes the training arguments' name."""
    found = {
        "lr_scheduler_type": _schedule_problem(values["lr_scheduler_type"]),
        "optim": _optimizer_problem(values["optim"]),
    }
    return {name: problem for name, problem in found.items() if problem is not None}


def _optimizer_problem(name: object) -> str | None:
    if name is None or name in ELEMENTWISE_OPTIMIZERS:
        return None
    near = did_you_mean(name, ELEMENTWISE_OPTIMIZERS) if isinstance(name, str) else ""
    return f"unknown or unsupported optimizer {name!r:.80}.{near} Valid: {listing(ELEMENTWISE_OPTIMIZERS)}."


def _schedule_problem(name: object) -> str | None:
    if name is None or name in _USUAL_SCHEDULES:
        return None
    from transformers import SchedulerType  # which takes a second where nothing has imported torch yet

    names = [kind.value for kind in SchedulerType if kind.value not in SCHEDULES_BY_LOSS]
    if name in names:
        return None
    near = did_you_mean(name, names) if isinstance(name, str) else ""
    why = "" if name not in SCHEDULES_BY_LOSS else " A schedule here is a function of the task's steps."
    return f"unknown or unsupported schedule {name!r:.80}.{why}{near} Valid: {listing(names)}."
