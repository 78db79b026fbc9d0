"""Inputs of many tasks, checked and made ready to be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.tasks import Context, Kind, Query, check_query, sequence_of

__all__ = ["Answerer", "Asked", "asked_of"]

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
        task: Who answers.
        query: The input.
    """

    number: int
    task: Answerer
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


def asked_of(inputs: Iterable[tuple[int, object]], tasks: Mapping[str, Answerer]) -> list[Asked]:
    """Check inputs, all of them, before anything is run.

    Args:
        inputs: Their numbers, counted from 1, and they themselves: `(task, input)` or `(task, input, options)`.
        tasks: The tasks by name.

    Raises:
        DataError: If any cannot be used; each is listed with its number, its task and what was expected.
    """
    asked: list[Asked] = []
    problems: list[str] = []
    total = 0
    for number, item in inputs:
        total += 1
        try:
            asked.append(_asked(number, item, tasks))
        except (DataError, ConfigError) as error:
            problems.append(str(error))
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        more = f"\n  and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        told = "\n".join(f"  - {problem}" for problem in problems[:_MOST_TOLD])
        raise DataError(f"{len(problems)} of {total} inputs cannot be used:\n{told}{more}")
    return asked


def _asked(number: int, item: object, tasks: Mapping[str, Answerer]) -> Asked:
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) not in (2, 3):
        raise DataError(
            f"input {number}: expected (task, input) or (task, input, options), found {item!r:.80}"
        )
    name, given, options = item if len(item) == 3 else (*item, {})
    if not isinstance(name, str) or name not in tasks:
        hint = did_you_mean(name, tasks) if isinstance(name, str) else ""
        raise DataError(f"input {number}: there is no task {name!r}.{hint} Tasks: {listing(tasks)}.")
    task = tasks[name]
    if not isinstance(options, Mapping):
        raise DataError(
            f"task {name!r}, input {number}: expected the options as a dict, such as "
            f"{{{next(iter(task.kind.options), 'top_k')!r}: ...}}, found {options!r:.80}"
        )
    try:
        query = task.kind.query(given, options, task.context)
        check_query(task.kind, query, task.context)
        return Asked(number, task, query)
    except (DataError, ConfigError) as error:
        raise DataError(f"task {name!r}, input {number}: {error}") from error
