"""The errors that users meet, and the two phrases that make them helpful.

Every message says what was expected, what was found and where, which choices are valid, and what to do next.
All errors derive from `HfMtlError`, so one `except` clause catches whatever the library itself raises.

    >>> did_you_mean("sentimant", ["sentiment", "topic"])
    " Did you mean 'sentiment'?"
    >>> listing(["topic", "sentiment"])
    "'sentiment', 'topic'"
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from hf_mtl.printable import printable

__all__ = [
    "CheckpointDamagedError",
    "CheckpointError",
    "CheckpointWriteError",
    "ConfigError",
    "DataError",
    "HfMtlError",
    "HubError",
    "RoutingError",
    "SavedAdapterError",
    "TrainingError",
    "WriteError",
    "did_you_mean",
    "listing",
]

_MOST_LETTERS = 5000  # of a message
_END_LETTERS = 1500  # of what is left of a longer one, at either end
_MOST_LISTED = 100
_LONGEST_NAME = 120


class HfMtlError(Exception):
    """Base of all errors that this library raises.

    Args:
        message: The message; what a terminal or a log would act on is written out, as messages quote rows and files.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(_shortened(printable(message)))


class ConfigError(HfMtlError):
    """Settings that cannot work: in a recipe, in arguments, in a task's declaration.

    Args:
        problems: One message, or all the problems that were found, which are then listed one below the other.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        every = (problems,) if isinstance(problems, str) else problems
        self.problems: tuple[str, ...] = tuple(_shortened(printable(problem)) for problem in every)
        super().__init__(_as_text(self.problems))


class DataError(HfMtlError):
    """A row, a file or a field that cannot be used; the message names task, file, row and field.

    Args:
        message: The message.
        reason: What is wrong, in a few words without the row's own values, by which skipped rows are counted.
    """

    def __init__(self, message: str, *, reason: str = "other") -> None:
        super().__init__(message)
        self.reason = printable(reason)


class RoutingError(HfMtlError):
    """A forward pass for which it is not known which adapter the tokens belong to."""


class CheckpointError(HfMtlError):
    """A saved folder that is incomplete, foreign, or made by a newer version."""


class SavedAdapterError(CheckpointError):
    """Saved adapters that are refused; the model that they were meant for is as it was.

    Args:
        problems: What was found, over all the adapters that were asked for.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems: tuple[str, ...] = tuple(_shortened(printable(problem)) for problem in problems)
        super().__init__(_as_text(self.problems))


class CheckpointDamagedError(CheckpointError):
    """A checkpoint whose files are not the ones that were written: missing, shortened or changed."""


class CheckpointWriteError(CheckpointError):
    """A checkpoint that could not be written; everything that was there before is still there."""


class WriteError(HfMtlError):
    """A file that could not be written; what was there before is still there.

    Args:
        file: The file.
        reason: Why, as a sentence.
        action: What to do, as a sentence.
        notes: What is finished and usable all the same.
    """

    def __init__(self, file: str, reason: str, action: str, notes: Sequence[str] = ()) -> None:
        self.file, self.reason, self.action, self.notes = file, reason, action, tuple(notes)
        super().__init__(" ".join([f"{file} could not be written: {reason}", *self.notes, action]))

    def with_notes(self, *notes: str) -> WriteError:
        """The same error, which also says what is finished."""
        return WriteError(self.file, self.reason, self.action, (*self.notes, *notes))

    @classmethod
    def of(cls, errors: Sequence[WriteError]) -> WriteError:
        """Several errors as one: those of one reason are named together, and reason and action are the first one's."""
        first, *others = errors
        if not others:
            return first
        same = [error.file for error in others if error.reason == first.reason]
        also = [f"Nor could {', '.join(same)}, for the same reason."] if same else []
        also += [f"{error.file}: {error.reason}" for error in others if error.reason != first.reason]
        return cls(first.file, first.reason, first.action, [*first.notes, *also])


class HubError(HfMtlError):
    """What the Hub refused, or could not be asked; the message holds no token."""


class TrainingError(HfMtlError):
    """A run that cannot go on, and where it stands."""


def _as_text(problems: Sequence[str]) -> str:
    """One problem as it is, several one below the other; of very many, the first ones and how many more there are."""
    if len(problems) == 1:
        return problems[0]
    lines, room = [f"{len(problems)} problems:"], _MOST_LETTERS
    for number, problem in enumerate(problems):
        room -= len(problem)
        if room < 0 and number:
            lines.append(f"  - and {len(problems) - number} more problems.")
            break
        lines.append(f"  - {problem}")
    return "\n".join(lines)


def _shortened(text: str) -> str:
    """A message without its middle, where it quotes so much that nobody would find what it says."""
    if len(text) <= _MOST_LETTERS:
        return text
    left_out = len(text) - 2 * _END_LETTERS
    return f"{text[:_END_LETTERS]} [... {left_out:,} characters ...] {text[-_END_LETTERS:]}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the choice nearest to `word`, or an empty string when none is near."""
    if len(word) > _LONGEST_NAME:
        return ""
    every = list(choices)
    same = [choice for choice in every if choice.lower() == word.lower() and choice != word]
    near = same[:1] or difflib.get_close_matches(word, every, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def listing(items: Iterable[str]) -> str:
    """Return the items quoted, sorted and separated by commas, as messages list valid choices; of very many, some."""
    names = sorted(items)
    more = f" and {len(names) - _MOST_LISTED:,} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(_quoted(name) for name in names[:_MOST_LISTED]) + more


def _quoted(name: str) -> str:
    text = repr(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 4]}...'"
