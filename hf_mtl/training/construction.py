"""What the trainer's constructor is given: tasks, or what the stock Trainer takes, and never both.

The third argument is `tasks` here and `data_collator` in `Trainer`. A script that was written for `Trainer` passes a
function there, tasks are a collection: so what it is tells what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn
from transformers import PreTrainedModel, TrainingArguments

from hf_mtl.errors import ConfigError, listing
from hf_mtl.models import RoutedModel
from hf_mtl.tasks import Task, TaskSuite
from hf_mtl.training.argument_table import PARAMETERS
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.treatments import Refused

__all__ = [
    "Collator",
    "Tasks",
    "refuse_stock",
    "split_third",
    "stock_model",
    "suite_of",
    "task_arguments",
    "task_model",
]

Tasks: TypeAlias = Iterable[Task] | TaskSuite
Collator: TypeAlias = Callable[[list[Any]], dict[str, Any]]  # Any: as in transformers


def split_third(
    third: Tasks | Collator | None, data_collator: Collator | None
) -> tuple[Tasks | None, Collator | None]:
    """Tell tasks from a data collator in the place that both may stand in.

    Raises:
        ConfigError: If it is a single task, a mapping, or a second data collator.
    """
    if isinstance(third, Task):
        raise ConfigError(f"tasks is one task, {third.name!r}; pass a list: tasks=[task].")
    if isinstance(third, Mapping) and not isinstance(third, TaskSuite):
        raise ConfigError(
            "tasks is a mapping, but a task has its own name; pass tasks=list(mapping.values())."
        )
    if third is None or isinstance(third, TaskSuite | Iterable):
        return third, data_collator
    if data_collator is not None:
        raise ConfigError(
            f"There are two data collators: the third argument, {third!r}, and "
            f"data_collator={data_collator!r}. Pass one."
        )
    return None, third


def suite_of(tasks: Tasks | None) -> TaskSuite:
    """The suite of some tasks; an empty one for None.

    Raises:
        ConfigError: If it is a collection without tasks, or of something else.
    """
    if tasks is None:
        return {}  # type: ignore[return-value]  # as false as a suite can be
    if isinstance(tasks, TaskSuite):
        return tasks
    tasks = tuple(tasks)
    odd = {type(task).__name__ for task in tasks if not isinstance(task, Task)}
    if odd:
        raise ConfigError(
            f"tasks must be Task objects, found {listing(odd)}. Pass tasks=[Task('name', train=...), ...]; "
            f"rows for a stock Trainer go into train_dataset=..."
        )
    return TaskSuite(tasks)


def stock_model(model: str | Path | nn.Module | None) -> Any:  # Any: whatever the stock Trainer takes
    """A model for the stock Trainer.

    Raises:
        ConfigError: If only tasks can be trained on it: a name, a folder, a `RoutedModel`.
    """
    if isinstance(model, str | Path | RoutedModel):
        found = "a RoutedModel" if isinstance(model, RoutedModel) else repr(str(model))
        raise ConfigError(
            f"model is {found}, which needs tasks=[Task(...), ...]. Without tasks this is the stock Trainer, "
            f"which takes a model object: AutoModelForCausalLM.from_pretrained(...)."
        )
    return model


def task_model(model: str | Path | nn.Module | None) -> str | Path | PreTrainedModel | RoutedModel:
    """A model for tasks.

    Raises:
        ConfigError: If it is something else.
    """
    if isinstance(model, str | Path | PreTrainedModel | RoutedModel):
        return model
    raise ConfigError(
        f"model is of type {type(model).__name__}; with tasks pass a Hub id, a folder, a model of transformers "
        f"without adapters, or a RoutedModel. Each task declares its own: Task(adapter=LoraConfig(...))."
    )


def refuse_stock(given: Mapping[str, object]) -> list[str]:
    """Problems of arguments of the stock Trainer that are given beside tasks; its defaults are none.

    Args:
        given: By the parameters' names.
    """
    return [
        f"{name} cannot be given together with tasks: {treatment.text}. Without tasks it works as in Trainer."
        for name, treatment in PARAMETERS.items()
        if isinstance(treatment, Refused)
        and not (given[name] is None or (isinstance(given[name], tuple) and given[name] == (None, None)))
    ]


def task_arguments(args: TrainingArguments | None) -> MultiTaskTrainingArguments:
    """The arguments of a run with tasks; `TrainingArguments` of other classes get the defaults of what they lack.

    Raises:
        ConfigError: If it is something else.
    """
    if args is None:
        return MultiTaskTrainingArguments("tmp_trainer")
    if isinstance(args, MultiTaskTrainingArguments):
        return args
    if not isinstance(args, TrainingArguments):
        raise ConfigError(
            f"args is of type {type(args).__name__}; pass MultiTaskTrainingArguments('runs/mine', ...), or plain "
            f"TrainingArguments."
        )
    own = MultiTaskTrainingArguments.__new__(MultiTaskTrainingArguments)
    lacking = {field.name: field.default for field in fields(own) if field.name not in vars(args)}
    vars(own).update(vars(args) | lacking)  # and not by the constructor: what that derived is derived once
    return own
