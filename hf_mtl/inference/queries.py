"""Inputs of many tasks, checked and made ready to be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.inference.inputs import Input
from hf_mtl.tasks import Context, Kind, Query, check_query, sequence_of

__all__ = ["Answerer", "Asked", "asked_of", "unusable"]

_MOST_TOLD = 20  # of many bad inputs, so many are listed


@dataclass(frozen=True)
class Answerer:
    """A task that answers.

    Args:
        name: Its route.
        kind: Its kind.
        context: The task on its base.
        virtual: The virtual tokens that its route puts before each sequence.
        end_ids: The tokens that end what it writes.
    """

    name: str
    kind: Kind
    context: Context
    virtual: int
    end_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Asked:
    """An input that is ready.

    Args:
        number: Its number, counted from 1.
        name: How messages name it.
        task: Who answers.
        given: The input as it came.
        query: The input as the task's kind reads it.
    """

    number: int
    name: str
    task: Answerer
    given: object
    query: Query

    def sequences(self) -> list[TokenSequence]:
        """The sequences that are run for it, whose `row` is its number."""
        pixels = None if self.query.pixels is None else self.query.pixels()
        task = self.task
        own = [
            sequence_of(
                task.kind, task.name, asdict(example), row=self.number, virtual=task.virtual, pixels=pixels
            )
            for example in self.query.examples
        ]
        return [asked for sequence in own for asked in task.kind.questions(sequence, task.context)]

    @property
    def truncated(self) -> bool:
        """Whether a part of the input is not read; a long context is read in several windows."""
        return len(self.query.examples) == 1 and self.query.examples[0].truncated


def asked_of(inputs: Iterable[Input], tasks: Mapping[str, Answerer]) -> tuple[list[Asked], dict[int, str]]:
    """Check inputs, all of them, before anything is run.

    Args:
        inputs: The inputs.
        tasks: The tasks by name.

    Returns:
        Those that can be run; and, by number, what is wrong with each of the others.
    """
    asked: list[Asked] = []
    problems: dict[int, str] = {}
    for one in inputs:
        try:
            asked.append(_asked(one, tasks))
        except (DataError, ConfigError) as error:
            problems[one.number] = str(error)
    return asked, problems


def unusable(problems: Sequence[str], total: int) -> DataError:
    """The error that lists what is wrong with some of `total` inputs."""
    if len(problems) == 1:
        return DataError(problems[0])
    more = f"\n  and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
    listed = "\n".join(f"  - {problem}" for problem in problems[:_MOST_TOLD])
    return DataError(f"{len(problems)} of {total} inputs cannot be used:\n{listed}{more}")


def _asked(one: Input, tasks: Mapping[str, Answerer]) -> Asked:
    item = one.item
    if isinstance(item, DataError):
        raise item
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) not in (2, 3):
        raise DataError(f"{one.name}: expected (task, input) or (task, input, options), found {item!r:.80}")
    name, given, options = item if len(item) == 3 else (*item, {})
    if not isinstance(name, str) or name not in tasks:
        hint = did_you_mean(name, tasks) if isinstance(name, str) else ""
        raise DataError(f"{one.name}: there is no task {name!r}.{hint} Tasks: {listing(tasks)}.")
    task = tasks[name]
    if not isinstance(options, Mapping):
        raise DataError(
            f"task {name!r}, {one.name}: expected the options as a dict, such as "
            f"{{{next(iter(task.kind.options), 'top_k')!r}: ...}}, found {options!r:.80}"
        )
    try:
        query = task.kind.query(given, options, task.context)
        check_query(task.kind, query, task.context)
        return Asked(one.number, one.name, task, given, query)
    except (DataError, ConfigError) as error:
        raise DataError(f"task {name!r}, {one.name}: {error}") from error
