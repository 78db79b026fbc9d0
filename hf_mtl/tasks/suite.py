"""The named collection of tasks that one model is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.tasks.task import UNNAMED, Task

__all__ = ["TaskSuite"]


class TaskSuite(Mapping[str, Task]):
    """Tasks by name, in the order given.

    Args:
        tasks: The tasks; their names must differ.

    Raises:
        ConfigError: If there is no task, one without a name, or two of one name.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        tasks = list(tasks)
        if not tasks:
            raise ConfigError(
                "A suite needs at least one task: tasks=[Task('sentiment', train=..., eval=...), ...]."
            )
        if any(task.name == UNNAMED for task in tasks):
            raise ConfigError(
                "A task has no name. Write it first, Task('sentiment', train=...), or pass "
                "tasks={'sentiment': Task(train=...)}."
            )
        twice = [name for name, count in Counter(task.name for task in tasks).items() if count > 1]
        if twice:
            raise ConfigError(
                f"Task names must differ; used more than once: {listing(twice)}. Rename all but one."
            )
        self._tasks = {task.name: task for task in tasks}

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(self._tasks)

    def __getitem__(self, name: str) -> Task:
        if name not in self._tasks:
            raise KeyError(
                f"There is no task {name!r}; there are {listing(self._tasks)}.{did_you_mean(name, self._tasks)}"
            )
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)
