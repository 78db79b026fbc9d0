"""Names that fit a column, no two of them alike: what all share is left out first, then the middle.

>>> short_names(["glue/mnli-matched-fold-07", "glue/mnli-matched-fold-12"], 14)
{'glue/mnli-matched-fold-07': 'glue/mnli-m…07', 'glue/mnli-matched-fold-12': 'glue/mnli-m…12'}
>>> short_names(["sentiment", "names of persons, places and things"], 16)
{'sentiment': 'sentiment', 'names of persons, places and things': 'names o…d things'}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.cells import cell_len

__all__ = ["short_names", "widest"]

CUT = "…"
SEPARATORS = "/-_.: "
LEAST = 4  # cells: less of a shared beginning says nothing
# Of the cells that are left of a name, how many are its beginning: the first share with which all names differ.
HEADS = (0.45, 0.3, 0.7, 0.0, 1.0)


def short_names(names: Iterable[str], width: int) -> dict[str, str]:
    """Return how each name is shown; one that fits stays as it is, unless what all of them share is left out.

    Args:
        names: The names; a repeated one counts once.
        width: The most cells of a shown name; a Chinese character takes two.
    """
    every = list(dict.fromkeys(names))
    if widest(every) <= width:
        return {name: name for name in every}
    left, cores, right = _shared_ends(every)
    room = width - len(left[-1:]) - len(right[:1])  # a cell for the mark in the place of each end
    if widest(cores) > room:
        shown = _without_middles(cores, width)
        return dict(zip(every, shown, strict=True))
    begin = _head(left, width - widest(cores) - 1 - len(right[:1]))
    before = (begin if cell_len(begin) >= LEAST else "") + CUT if left else ""
    return {name: f"{before}{core}{CUT if right else ''}" for name, core in zip(every, cores, strict=True)}


def widest(texts: Iterable[str]) -> int:
    """The cells of the widest text."""
    return max(map(cell_len, texts), default=0)


def _shared_ends(names: Sequence[str]) -> tuple[str, list[str], str]:
    """What all names begin with, what they differ by, and what they end with; ends are whole words."""
    left = _common_beginning(names) if len(names) > 1 else ""
    left = left[: 1 + max(left.rfind(mark) for mark in SEPARATORS)]
    rests = [name[len(left) :] for name in names]
    right = _common_beginning([rest[::-1] for rest in rests])[::-1] if len(names) > 1 else ""
    right = right[
        min((place for mark in SEPARATORS if (place := right.find(mark)) >= 0), default=len(right)) :
    ]
    cores = [rest.removesuffix(right) for rest in rests]
    return (left, cores, right) if all(cores) else ("", list(names), "")


def _without_middles(names: Sequence[str], width: int) -> list[str]:
    """Cut the names that are too long in one place, the first of `HEADS` that leaves no two alike."""
    for share in HEADS:
        shown = [_without_middle(name, width, share) for name in names]
        if len(set(shown)) == len(names):
            return shown
    return list(_by_difference(names, width))


def _without_middle(name: str, width: int, share: float) -> str:
    if cell_len(name) <= width:
        return name
    head = round(share * (width - 1))
    begin = _head(name, head)
    return f"{begin}{CUT}{_tail(name, width - 1 - cell_len(begin))}"


def _by_difference(names: Sequence[str], width: int) -> Iterator[str]:
    """Cut names that no single place distinguishes: each is shown from where it differs from those it looks like."""
    first = [_without_middle(name, width, HEADS[0]) for name in names]
    groups: Mapping[str, list[str]] = {
        text: [name for name, own in zip(names, first, strict=True) if own == text] for text in first
    }
    second = [
        text if len(groups[text]) == 1 else _from_difference(name, groups[text], width)
        for name, text in zip(names, first, strict=True)
    ]
    counts = Counter(second)
    for number, (name, text) in enumerate(zip(names, second, strict=True), start=1):
        ends = f"{CUT}#{number}"
        yield text if counts[text] == 1 else _head(name, width - cell_len(ends)) + ends


def _from_difference(name: str, alike: Sequence[str], width: int) -> str:
    shared = len(_common_beginning(alike))
    while shared > 0 and name[shared - 1].isdecimal():  # a number is shown from its first digit
        shared -= 1
    begin = _head(name, width // 3) + CUT
    rest = name[shared:]
    room = width - cell_len(begin)
    return begin + (rest if cell_len(rest) <= room else _head(rest, room - 1) + CUT)


def _common_beginning(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)  # all others lie between them
    end = 0
    while end < min(len(first), len(last)) and first[end] == last[end]:
        end += 1
    return first[:end]


def _head(text: str, cells: int) -> str:
    """The longest beginning of so many cells."""
    end = 0
    while end < len(text) and cell_len(text[: end + 1]) <= cells:
        end += 1
    return text[:end]


def _tail(text: str, cells: int) -> str:
    """The longest end of so many cells, which does not begin with an accent of a letter that is left out."""
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= cells:
        start -= 1
    while start < len(text) and cell_len(text[start]) == 0:
        start += 1
    return text[start:]
