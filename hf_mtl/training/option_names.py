"""The names of the options that optimizers and schedules of transformers read."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from transformers import Trainer, TrainingArguments
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.training_args import OptimizerNames

from hf_mtl.errors import listing

__all__ = ["schedule_options", "unread_options"]

# What `optim_args` cannot set, since every group of parameters comes with its own.
_BY_GROUP = ("lr", "weight_decay")


def schedule_options() -> tuple[str, ...]:
    """What the schedules of transformers take besides what every one does."""
    usual = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "kwargs"}
    makers: list[Any] = list(TYPE_TO_SCHEDULER_FUNCTION.values())  # Any: functions of different parameters
    return tuple(
        dict.fromkeys(
            name for make in makers for name in inspect.signature(make).parameters if name not in usual
        )
    )


def unread_options(args: TrainingArguments, text: str, optimizers: list[str]) -> str | None:
    """Why some of the options of `optim_args` would have no effect on any of the optimizers in use."""
    pairs = [pair.partition("=") for pair in text.replace(" ", "").split(",")]
    if any(not equals for _, equals, _ in pairs):
        return "expected key=value pairs with commas between them, such as 'momentum=0.9,nesterov=true'"
    if overruled := [key for key, _, _ in pairs if key in _BY_GROUP]:
        return f"{listing(overruled)} would be overruled; set learning_rate and weight_decay themselves"
    try:
        unread = [
            pair[0] for pair in pairs if not any(_reads(args, own, "".join(pair)) for own in optimizers)
        ]
    except ValueError as error:
        return f"{error}; write a number"
    if not unread:
        return None
    return f"no optimizer in use ({listing(optimizers)}) reads {listing(unread)}; leave it out, or choose another optim"


def _reads(args: TrainingArguments, optimizer: str, option: str) -> bool:
    """Whether transformers makes anything of an option of an optimizer."""

    def made_of(options: str | None) -> object:
        changed = copy.copy(args)
        vars(changed).update(optim=OptimizerNames(optimizer), optim_args=options)
        return Trainer.get_optimizer_cls_and_kwargs(changed)

    return made_of(option) != made_of(None)
