"""Where a suite is on the Hub, as far as a card has to say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_mtl.export.cards.facts import SuiteFacts, TaskFacts
from hf_mtl.files import repo_name

__all__ = ["Place", "Places"]

_NOT_YET = "your-name"  # whose the repositories will be is not known before they are pushed


@dataclass(frozen=True)
class Place:
    """One adapter on the Hub: a repository, and a folder in it or None."""

    repository: str
    subfolder: str | None = None


@dataclass(frozen=True)
class Places:
    """A suite on the Hub.

    Args:
        suite: The repository of the suite; None as long as it is not known.
        tasks: By name, the repositories of those tasks that have one of their own; the others are folders of the
            suite's.

    Example:
        >>> Places("someone/quickstart", {"topics": "someone/quickstart-topics"}).tasks["topics"]
        'someone/quickstart-topics'
    """

    suite: str | None = None
    tasks: Mapping[str, str] = field(default_factory=dict)

    def suite_of(self, facts: SuiteFacts) -> str:
        """The repository of the suite, or what it may be called."""
        return self.suite or f"{_NOT_YET}/{repo_name(facts.name)}"

    def of(self, facts: SuiteFacts, task: TaskFacts) -> Place:
        """Where the adapter of a task is, or may be."""
        if task.name in self.tasks:
            return Place(self.tasks[task.name])
        return Place(self.suite_of(facts), task.folder)
