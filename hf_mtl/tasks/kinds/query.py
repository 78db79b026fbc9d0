"""A question to a task's adapter: an input without a label, the options of its answer, and what the base gives for it.

>>> settled({"top_k": 3}, {"top_k": TOP_K}, "text-classification")
{'top_k': 3}
>>> settled({}, {"top_k": TOP_K}, "text-classification")
{'top_k': 1}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_mtl.bounds import COUNT
from hf_mtl.data import Example
from hf_mtl.errors import DataError, did_you_mean, listing

if TYPE_CHECKING:
    from torch import Tensor

    from hf_mtl.data import Sequence as TokenSequence

__all__ = ["TOP_K", "Found", "Option", "Query", "count", "one_of", "settled", "truth"]


class Option(NamedTuple):
    """An option of a kind's answers.

    Args:
        default: Its value where the input says nothing.
        expected: What values it takes, for messages.
        fits: Whether a value is one of them.
    """

    default: object
    expected: str
    fits: Callable[[object], bool]


def count(default: int | None, *, or_none: str = "") -> Option:
    """A whole number of at least 1; `or_none` says what None stands for, if it may be given."""
    expected = "a whole number of at least 1" + (f", or None for {or_none}" if or_none else "")

    def fits(value: object) -> bool:
        return bool(or_none) if value is None else COUNT.problem(value) is None

    return Option(default, expected, fits)


def truth(default: bool | None) -> Option:
    """True or False; a default of None is settled by the kind."""
    return Option(default, "True or False", lambda value: isinstance(value, bool))


def one_of(*choices: str) -> Option:
    """One of some words, of which the first is the default."""
    return Option(choices[0], f"one of {listing(choices)}", lambda value: value in choices)


TOP_K = count(1, or_none="all labels")


def settled(given: Mapping[str, object], known: Mapping[str, Option], kind: str) -> dict[str, Any]:
    """All options of a kind, those that are not given at their defaults.

    Raises:
        DataError: If there is no such option, or it does not take the value.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise DataError(
            f"an answer of the kind {kind!r} has no option {unknown[0]!r}; its options are "
            f"{listing(known) or 'none'}.{did_you_mean(unknown[0], known)}"
        )
    for name, value in given.items():
        if not known[name].fits(value):
            raise DataError(f"the option {name!r} is {value!r}; expected {known[name].expected}.")
    return {name: option.default for name, option in known.items()} | dict(given)


@dataclass(frozen=True)
class Query:
    """An input of a task, ready to be run.

    Args:
        options: All options of the answer.
        examples: The sequences that the base reads, without labels; none where text is written.
        prompt: The text that is continued, where text is written.
        prompt_ids: Its tokens.
        pixels: Reads the image `[C, H, W]`, for kinds that read images.
        source: What the kind keeps of the input for its reply.
    """

    options: Mapping[str, Any]
    examples: tuple[Example, ...] = ()
    prompt: str | None = None
    prompt_ids: tuple[int, ...] = ()
    pixels: Callable[[], Tensor] | None = None
    source: Any = None  # Any: each kind has its own


class Found(NamedTuple):
    """What the base gave for a query.

    Args:
        asked: The sequences that were run, those of `Kind.questions` for each example.
        logits: Of each, on the CPU: `[1, C]` of a head on sequences, else `[N, C]` at its places.
        text: What was written behind the prompt.
    """

    asked: tuple[TokenSequence, ...] = ()
    logits: tuple[Tensor, ...] = ()
    text: str = ""
