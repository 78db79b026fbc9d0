"""Tasks in the forms in which people write them: a list, a mapping of tasks or of rows, a dict as `train_dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from datasets import DatasetDict, IterableDatasetDict
from peft import PeftConfig

from hf_mtl.data import SPLITS, RowsLike, train_and_eval
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.tasks import Task, TaskSuite

__all__ = ["Adapters", "TaskLike", "Tasks", "tasks_of", "tasks_of_rows", "with_adapters"]

TaskLike: TypeAlias = Task | Mapping[str, Any] | RowsLike  # Any: the keywords of `Task`
Tasks: TypeAlias = Iterable[Task] | TaskSuite | Mapping[str, TaskLike]
Adapters: TypeAlias = PeftConfig | Mapping[str, PeftConfig]


def tasks_of(given: Tasks) -> tuple[list[Task], list[str]]:
    """The tasks, and what is wrong with them.

    Args:
        given: Tasks, or by name a task, the keywords of one, its rows to learn from, or a `DatasetDict` of its splits.
    """
    if isinstance(given, TaskSuite):
        return list(given.values()), []
    if isinstance(given, Mapping):
        return _each(given, _task, "tasks")
    tasks = tuple(given)
    odd = {type(task).__name__ for task in tasks if not isinstance(task, Task)}
    if odd:
        return [], [
            f"tasks must be Task objects, found {listing(odd)}. Pass tasks=[Task('name', train=...), ...] or "
            f"tasks={{'name': rows}}; rows for a stock Trainer go into train_dataset=..."
        ]
    return list(tasks), []


def tasks_of_rows(train: Mapping[str, RowsLike], evaluated: object) -> tuple[list[Task], list[str]]:
    """One task for each entry of a dict of data sets, and what is wrong with them.

    Args:
        train: By task, the rows to learn from.
        evaluated: By task, the rows to measure on; or None.
    """
    problems = []
    by_task: Mapping[str, Any] = {}  # Any: rows, which a task looks at
    if isinstance(evaluated, Mapping):
        by_task = evaluated
        problems += [
            f"eval_dataset has rows of {name!r}, which is no key of train_dataset: {listing(map(str, train))}."
            f"{did_you_mean(str(name), map(str, train))}"
            for name in evaluated
            if name not in train
        ]
    elif evaluated is not None:
        first = next(iter(train), "task")
        problems.append(
            f"train_dataset is a dict of tasks, and eval_dataset is of type {type(evaluated).__name__}; pass a dict by "
            f"the same names: eval_dataset={{{first!r}: rows}}."
        )

    def task(name: str, rows: Any) -> Task:  # Any: as above
        if isinstance(rows, Task):
            raise ConfigError(f"train_dataset[{name!r}] is a Task; pass tasks={{{name!r}: Task(...)}}.")
        return Task(name, train=rows, eval=by_task.get(name))

    tasks, wrong = _each(train, task, "train_dataset")
    return tasks, [*problems, *wrong]


def with_adapters(tasks: list[Task], adapters: Adapters | None) -> tuple[list[Task], list[str]]:
    """The tasks with the adapters of `peft_config` where they declare none, and what is wrong with these.

    Args:
        tasks: The tasks.
        adapters: The adapter of all tasks that declare none; or adapters by task.
    """
    if adapters is None:
        return tasks, []
    names = [task.name for task in tasks]
    by_task = adapters if isinstance(adapters, Mapping) else dict.fromkeys(names, adapters)
    problems = [
        f"peft_config has an adapter for {name!r}, and there is no such task; there are {listing(names)}."
        f"{did_you_mean(str(name), names)}"
        for name in by_task
        if name not in names
    ]
    odd = {type(own).__name__ for own in by_task.values() if not isinstance(own, PeftConfig)}
    if odd:
        problems.append(
            f"peft_config holds {listing(odd)}; expected a configuration of peft, such as LoraConfig(r=8), or a "
            f"dict of them by task."
        )
    declared = [task.name for task in tasks if not task.has_default_adapter and task.name in by_task]
    # One configuration for all is for those that are left, a configuration by name is for that very task.
    if declared and (isinstance(adapters, Mapping) or len(declared) == len(tasks)):
        problems.append(
            f"peft_config and Task(adapter=...) both give an adapter to {listing(declared)}; leave one of them out."
        )
    if problems:
        return tasks, problems
    return [task.with_defaults(adapter=by_task.get(task.name)) for task in tasks], []


def _each(
    given: Mapping[str, Any],  # Any: what the function takes
    make: Callable[[str, Any], Task],
    parameter: str,
) -> tuple[list[Task], list[str]]:
    names = list(given)
    if "train" in names and set(names) <= set(SPLITS):
        return [], [
            f"{parameter} has the keys {listing(names)}, which are splits of one data set; expected a key for each "
            f"task: {parameter}={{'sentiment': rows['train']}}."
        ]
    tasks: list[Task] = []
    problems: list[str] = []
    for name, value in given.items():
        try:
            tasks.append(make(name, value))
        except ConfigError as error:
            problems += error.problems
    if not given:
        problems.append(f"{parameter} is an empty dict; at least one task is needed: {{'sentiment': rows}}.")
    return tasks, problems


def _task(name: str, given: Any) -> Task:  # Any: a TaskLike, which is what is found out here
    if isinstance(given, Task):
        if given.name not in (name, Task.name):  # the class's is the default
            raise ConfigError(
                f"tasks[{name!r}] is a task that calls itself {given.name!r}; leave one of the two names out."
            )
        return given.named(name)
    if isinstance(given, DatasetDict | IterableDatasetDict):
        try:
            train, evaluated = train_and_eval(given)
        except ConfigError as error:
            raise ConfigError([f"task {name!r}: {problem}" for problem in error.problems]) from error
        return Task(name, train=train, eval=evaluated)
    if isinstance(given, Mapping) and ("train" in given or "eval" in given):
        if "name" in given:
            raise ConfigError(f"tasks[{name!r}] has the key 'name' too; leave it out.")
        return Task(name, **given)
    return Task(name, train=given)
