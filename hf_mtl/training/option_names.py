"""The names of the options that optimizers and schedules of transformers read."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection
from typing import Any

from transformers import SchedulerType, Trainer, TrainingArguments
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.training_args import OptimizerNames

from hf_mtl.errors import listing

__all__ = ["schedule_options_problem", "unread_options"]

_OPTIONLESS = ("constant", "constant_with_warmup")  # to which transformers hands none
_USUAL = ("optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "kwargs")

# What `optim_args` cannot set, since every group of parameters comes with its own.
_BY_GROUP = ("lr", "weight_decay")


def schedule_options_problem(schedules: Collection[str], given: Collection[str]) -> str | None:
    """Why some of the names of `lr_scheduler_kwargs` do not go with the schedules in use.

    >>> schedule_options_problem({"cosine"}, {"num_cycles"}) is None
    True
    >>> schedule_options_problem({"linear"}, {"num_cycles"})
    "the schedule 'linear' has no option 'num_cycles', or any other"
    """
    reading = [name for name in sorted(schedules) if name not in _OPTIONLESS]
    if given and not reading:
        return f"the schedules in use ({listing(schedules)}) have no options"
    for name in reading:
        make: Any = TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]  # Any: functions of different parameters
        options = [own for own in inspect.signature(make).parameters if own not in _USUAL]
        if unknown := sorted(set(given) - set(options)):
            known = f"; its options are {listing(options)}" if options else ", or any other"
            return f"the schedule {name!r} has no option {listing(unknown)}{known}"
    return None


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
