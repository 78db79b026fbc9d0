r"""Regular expressions from others' files: those that could keep a processor busy for ever are refused before use.

Python's engine tries one way after the other in which an expression can fit, and cannot be interrupted. How many ways
there can be is bounded here from the expression's parts, for a text of some length: an expression of which one repeat
can begin at one place only has few, `(a+)+` has more than there are atoms. Nothing is run.

>>> expression_problem(r".*\.(q|v)_proj") is None
True
>>> expression_problem("(a+)+b")
'a repeat inside a repeat can fit one text in more ways than could ever be tried'
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from hf_mtl.character_sets import ALL, END, characters_of

__all__ = ["MAX_EXPRESSION", "expression_problem"]

MAX_EXPRESSION: Final = 10_000
"""Characters of an expression; the longest in use list a base's layers one by one."""

_LENGTH: Final = 100  # of a layer's name; those of real models have up to 80 characters
_MAX_STEPS: Final = 1.5e7  # at most some 20 ms: the bound is a generous one
_MAX_SEARCH: Final = 2e9  # some seconds, for one repeat that begins at each of 20,000 places
_ENDLESS: Final = 1e30
_MAX_NESTING: Final = 40
_PLAIN: Final = re.compile(r"[\w.\-]*")

# How many places of a name a literal of so many characters stands at, at most: one in 6, in 12, in 24.
_SHARES: Final = (1.0, 1 / 6, 1 / 12, 1 / 18, 1 / 24)

# Python's own parser, so that what is looked at is what will be run. Typing knows nothing of it.
_parser: Any = importlib.import_module("re._parser")  # Any: see above
_Node: TypeAlias = "tuple[Any, Any]"  # Any: an operation of the parser and its arguments
_Nodes: TypeAlias = "Sequence[_Node]"


class _TooDeep(Exception):
    """Groups inside groups inside groups."""


class _Start(NamedTuple):
    """How a part of an expression begins: with which characters, at what share of places, and if it may be empty."""

    characters: int
    share: float
    empty: bool

    def before(self, follow: _Start) -> _Start:
        """The same with what comes behind it."""
        if not self.empty:
            return self
        return _Start(self.characters | follow.characters, min(1.0, self.share + follow.share), follow.empty)


class _Cost(NamedTuple):
    """In how many ways a part can fit at one place, and how many steps it takes to try them all."""

    ways: float
    steps: float


_NOTHING: Final = _Start(0, 0.0, empty=True)


def expression_problem(
    expression: str, *, length: int = _LENGTH, whole: bool = True, searched: bool = False
) -> str | None:
    """Say what keeps a regular expression from being used, if anything does.

    Args:
        expression: The expression.
        length: Of the texts that it will be tried on, in characters.
        whole: Whether it has to fit the whole text.
        searched: Whether it is looked for at every place of a text; it then has to fit no whole text.

    Returns:
        A clause such as "it is not a regular expression: ..."; None where it is fine.
    """
    if len(expression) > MAX_EXPRESSION:
        return f"it has {len(expression):,} characters; at most {MAX_EXPRESSION:,} are read"
    if _PLAIN.fullmatch(expression):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what may change in a later Python
            parsed = _parser.parse(expression)
            analysis = _Analysis(length)
            steps = analysis.steps(parsed.data, whole=whole and not searched)
            if searched and not _begins_once(parsed):
                steps *= length
            re.compile(expression)
    except (_TooDeep, RecursionError):
        return f"its groups are nested more than {_MAX_NESTING} levels deep"
    except (re.error, OverflowError) as error:
        return f"it is not a regular expression: {error}"
    if steps > _ENDLESS:
        return "a repeat inside a repeat can fit one text in more ways than could ever be tried"
    if steps > (_MAX_SEARCH if searched else _MAX_STEPS * max(1.0, length / _LENGTH) ** 2):
        return f"its repeats, one behind the other, can fit one text in up to {steps:.0e} ways"
    return None


@dataclass
class _Analysis:
    """The bounds of one expression on texts of one length."""

    length: int

    def __post_init__(self) -> None:
        self._starts: dict[int, _Start] = {}
        self._level = 0

    def steps(self, nodes: _Nodes, *, whole: bool) -> float:
        """How many steps the expression takes at most, from one place of a text."""
        if whole:
            return self._sequence(nodes, _Start(END, 1 / self.length, empty=False)).steps
        follow, steps, needed = _Start(ALL | END, 1.0, empty=False), 0.0, list(nodes)
        # Nothing has to follow: what may be empty at the end cannot fail, and no other way is ever tried before it.
        while needed and (least := _least(needed[-1])) is not None:
            last = needed.pop()
            steps += self._sequence([last], follow).steps
            if least > 0:
                needed.append((last[0], (least, least, last[1][2])))
                break
        return steps + self._sequence(needed, follow).steps

    def _sequence(self, nodes: _Nodes, follow: _Start) -> _Cost:
        costs = []
        for place in range(len(nodes) - 1, -1, -1):
            costs.append(self._cost(nodes[place], follow))
            start = self._first(nodes, place) if _is_literal(nodes[place]) else self._start(nodes[place])
            follow = start.before(follow)
        ways, steps = 1.0, 1.0
        for cost in reversed(costs):
            steps += ways * cost.steps
            ways *= cost.ways
        return _Cost(ways, steps)

    def _cost(self, node: _Node, follow: _Start) -> _Cost:
        kind, argument = str(node[0]), node[1]
        self._level += 1
        if self._level > _MAX_NESTING:
            raise _TooDeep
        try:
            if kind.endswith("_REPEAT"):
                cost = self._repeat(argument, follow)
                return _Cost(1.0, cost.steps) if kind.startswith("POSSESSIVE") else cost
            if kind == "BRANCH":
                return self._branch(argument[1], follow)
            if kind == "GROUPREF_EXISTS":
                return self._branch([part or [] for part in argument[1:]], follow)
            inner = _inside(kind, argument)
            if inner is None:
                return _Cost(1.0, float(self.length) if kind == "GROUPREF" else 1.0)
            cost = self._sequence(inner, follow)
            return cost if kind == "SUBPATTERN" else _Cost(1.0, cost.steps)
        finally:
            self._level -= 1

    def _repeat(self, argument: Any, follow: _Start) -> _Cost:  # Any: least, most, what
        least, most, inner = int(argument[0]), int(argument[1]), argument[2]
        most = min(most, max(least, self.length // max(1, inner.getwidth()[0])), self.length)
        least = min(least, most)
        start = self._first(inner, 0)
        again = _Start(start.characters, start.share, empty=True).before(follow)
        one = self._sequence(inner, again if most > 1 else follow)
        if one.ways > 1 and most > 1:
            return _Cost(_power(one.ways, most), _power(one.ways, most) * one.steps)
        ends = float(most - least + 1)
        if ends > 1:
            clear = not start.characters & follow.characters
            ends = 1.0 if clear else min(ends, max(2.0, most * follow.share))
        return _Cost(ends * one.ways, max(most, 1) * one.steps)

    def _branch(self, branches: Sequence[_Nodes], follow: _Start) -> _Cost:
        """Of the branches, those count together that can begin with one character."""
        costs = [self._sequence(branch, follow) for branch in branches]
        starts = [self._first(branch, 0).before(follow).characters for branch in branches]
        together = [
            sum(cost.ways for cost, start in zip(costs, starts, strict=True) if start & bit)
            for bit in _bits(starts)
        ]
        return _Cost(max(together, default=1.0), sum(cost.steps for cost in costs) + 1)

    def _first(self, nodes: _Nodes, place: int) -> _Start:
        """How the part of a sequence from a place on begins."""
        start = _NOTHING
        while start.empty and place < len(nodes):
            node = nodes[place]
            begins = self._start(node)
            if _is_literal(node):
                run = place
                while run < len(nodes) and run - place < len(_SHARES) and _is_literal(nodes[run]):
                    run += 1
                begins = _Start(begins.characters, _SHARES[min(run - place, len(_SHARES) - 1)], empty=False)
            start = start.before(begins)
            place += 1
        return start

    def _start(self, node: _Node) -> _Start:
        if id(node) not in self._starts:
            self._level += 1
            if self._level > _MAX_NESTING:
                raise _TooDeep
            self._starts[id(node)] = self._beginning(str(node[0]), node[1])
            self._level -= 1
        return self._starts[id(node)]

    def _beginning(self, kind: str, argument: Any) -> _Start:  # Any: of the parser's operation
        if kind in ("LITERAL", "NOT_LITERAL", "IN", "ANY", "CATEGORY"):
            characters = characters_of(kind, argument)
            return _Start(characters, min(1.0, characters.bit_count() / 6), empty=False)
        if kind == "AT" and str(argument).startswith("AT_END"):
            return _Start(END, 1 / self.length, empty=False)
        if kind in ("AT", "ASSERT", "ASSERT_NOT"):
            return _NOTHING
        if kind == "BRANCH" or kind == "GROUPREF_EXISTS":
            branches = argument[1] if kind == "BRANCH" else [part or [] for part in argument[1:]]
            starts = [self._first(branch, 0) for branch in branches]
            characters = 0
            for start in starts:
                characters |= start.characters
            return _Start(
                characters, _shared([start.share for start in starts]), any(s.empty for s in starts)
            )
        inner = _inside(kind, argument)
        if kind.endswith("_REPEAT"):
            start = self._first(argument[2], 0)
            return _Start(start.characters, start.share, start.empty or int(argument[0]) == 0)
        return _Start(ALL, 1.0, empty=True) if inner is None else self._first(inner, 0)


def _inside(kind: str, argument: Any) -> _Nodes | None:  # Any: of the parser's operation
    """The part that an operation holds, if it holds one."""
    if kind == "SUBPATTERN":
        nodes: _Nodes = argument[3]
        return nodes
    if kind in ("ASSERT", "ASSERT_NOT"):
        nodes = argument[1]
        return nodes
    if kind == "ATOMIC_GROUP":
        nodes = argument
        return nodes
    return None


def _least(node: _Node) -> int | None:
    """The least count of a repeat; None if the node is not a repeat, or its count is fixed."""
    if not str(node[0]).endswith("_REPEAT") or node[1][0] == node[1][1]:
        return None
    return int(node[1][0])


def _begins_once(parsed: Any) -> bool:  # Any: what Python's parser returns
    """Whether an expression fits at the beginning of a text only."""
    if not parsed.data or str(parsed.data[0][0]) != "AT":
        return False
    where = str(parsed.data[0][1])
    return where == "AT_BEGINNING_STRING" or (
        where == "AT_BEGINNING" and not parsed.state.flags & re.MULTILINE
    )


def _shared(shares: Sequence[float]) -> float:
    """The share of places at which one of several parts begins; different words leave no room for each other."""
    together = min(1.0, sum(shares))
    return min(together, _SHARES[1]) if max(shares, default=1.0) <= _SHARES[2] else together


def _is_literal(node: _Node) -> bool:
    return str(node[0]) == "LITERAL"


def _power(base: float, exponent: int) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return float("inf")


def _bits(masks: Sequence[int]) -> Iterator[int]:
    together = 0
    for mask in masks:
        together |= mask
    while together:
        bit = together & -together
        yield bit
        together ^= bit
