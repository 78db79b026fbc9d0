"""A row as the model sees it: its sequences, token by token, with what is learned, and what was cut off.

The sequences are those of `Kind.examples`, which training, evaluation and checks use as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from hf_mtl.data import IGNORED, Example, Row
from hf_mtl.errors import DataError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.tasks.kinds import Context, Kind
from hf_mtl.tasks.kinds.scores import label_names
from hf_mtl.tasks.row_encoder import RowEncoder
from hf_mtl.tasks.token_texts import token_texts

__all__ = ["SeenPiece", "SeenRow", "SeenSequence", "seen_row"]


@dataclass(frozen=True)
class SeenPiece:
    """One token, or several that are text only together.

    Args:
        text: Its text.
        ids: The token ids.
        learned: Whether the model learns to write it, or, of an answer in a context, to point at it.
        special: Whether it is a special token.
        cut: Whether `max_length` cut it off: it is in the row, and not in the sequence.
        label: The label that a head learns at this token.
    """

    text: str
    ids: tuple[int, ...]
    learned: bool = False
    special: bool = False
    cut: bool = False
    label: str | None = None


@dataclass(frozen=True)
class SeenSequence:
    """One sequence.

    Args:
        pieces: Its tokens in order, and between them those that were cut off.
        tokens: The number of its tokens.
        target: What a head learns for the sequence as a whole, in words; None where there is no such target.
    """

    pieces: tuple[SeenPiece, ...]
    tokens: int
    target: str | None = None

    @property
    def learned(self) -> int:
        """The number of learned tokens."""
        return sum(len(piece.ids) for piece in self.pieces if piece.learned or piece.label is not None)

    @property
    def cut(self) -> int:
        """The number of tokens that were cut off."""
        return sum(len(piece.ids) for piece in self.pieces if piece.cut)


@dataclass(frozen=True)
class SeenRow:
    """One row.

    Args:
        number: Its number, counted from 0.
        sequences: Its sequences; none if it has no label or cannot be used.
        windows: Whether a long context was cut into several sequences, so that nothing is lost.
        problem: Why training refuses the row.
    """

    number: int
    sequences: tuple[SeenSequence, ...] = ()
    windows: bool = False
    problem: str | None = None


def seen_row(encoder: RowEncoder, row: Row, number: int) -> SeenRow:
    """A row as the model sees it.

    Args:
        encoder: The task's encoder, the one that training uses.
        row: The row.
        number: Its number.
    """
    try:
        examples = encoder.examples(row)
    except DataError as error:
        return SeenRow(number, problem=str(error))
    whole = _without_limit(encoder, row) if any(example.truncated for example in examples) else examples
    windows = len(examples) > len(whole)
    uncut = examples if windows else [*whole, *examples[len(whole) :]]
    kind, context = encoder.task.own_kind, encoder.context
    pairs = zip(examples, uncut[: len(examples)], strict=True)
    return SeenRow(number, tuple(_seen(kind, context, *pair) for pair in pairs), windows=windows)


def _without_limit(encoder: RowEncoder, row: Row) -> list[Example]:
    """The sequences that the row would have if `max_length` were no limit."""
    context = encoder.context
    free = replace(
        context,
        declared=replace(context.declared, max_length=None),
        longest=None,
        vocabulary=None,
        _memory={},
    )
    return replace(encoder, context=free).examples(row)


def _seen(kind: Kind, context: Context, example: Example, whole: Example) -> SeenSequence:
    if kind.reads_images:
        return SeenSequence((), 0, _target(kind, context, example))
    pieces: list[SeenPiece] = []
    read: Sequence[int] = ()
    for ids, start in _runs(example.input_ids, whole.input_ids):
        cut = start is None
        own = [
            SeenPiece(part.text, tuple(ids[part.start : part.stop]), special=part.special, cut=cut)
            for part in token_texts(ids, context.tokenizer, behind=read)
        ]
        read = ids
        pieces += own if start is None else _marked(own, start, kind, context, example)
    return SeenSequence(tuple(pieces), len(example.input_ids), _target(kind, context, example))


def _runs(kept: Sequence[int], whole: Sequence[int]) -> Iterator[tuple[Sequence[int], int | None]]:
    """Runs of tokens that are kept, with the place of the first, and of tokens that are cut off, with None."""
    if list(kept) == list(whole):
        yield kept, 0
        return
    if list(whole[: len(kept)]) == list(kept):
        yield kept, 0
        yield whole[len(kept) :], None
        return
    matcher = SequenceMatcher(a=kept, b=whole, autojunk=False)
    for _, first, last, start, stop in matcher.get_opcodes():
        if last > first:
            yield kept[first:last], first
        if stop > start and kept[first:last] != whole[start:stop]:
            yield whole[start:stop], None


def _marked(
    pieces: Sequence[SeenPiece], start: int, kind: Kind, context: Context, example: Example
) -> Iterator[SeenPiece]:
    """The pieces of a run with what is learned at each; a piece of several tokens is learned if one of them is."""
    learned, labels = _places(kind, context, example)
    for piece in pieces:
        own = range(start, start + len(piece.ids))
        start += len(piece.ids)
        label = next((labels[place] for place in own if place in labels), None)
        yield replace(piece, learned=not learned.isdisjoint(own), label=label)


def _places(kind: Kind, context: Context, example: Example) -> tuple[set[int], dict[int, str]]:
    """The places of learned tokens, and the labels that a head learns at places."""
    if kind.shape is None:
        # A token is learned from the output before it; an encoder-decoder's examples are stored alike.
        return {place + 1 for place in example.label_positions}, {}
    if kind.shape is HeadShape.TOKEN:
        names = label_names(context.declared)
        pairs = zip(example.label_positions, example.label_ids, strict=True)
        return set(), {place: names[number] for place, number in pairs if number != IGNORED}
    if kind.shape is HeadShape.SPAN and _has_answer(context, example):
        first, last = map(int, example.targets)
        return set(range(first, last + 1)), {}
    return set(), {}


def _has_answer(context: Context, example: Example) -> bool:
    null = float(context.places(len(example.input_ids))[0])
    return example.targets != [null, null]


def _target(kind: Kind, context: Context, example: Example) -> str | None:
    """What the sequence as a whole is to give."""
    if kind.shape is HeadShape.SPAN:
        return None if _has_answer(context, example) else "no answer in this text"
    if kind.shape is not HeadShape.SEQUENCE:
        return None
    if kind.label_role is None:
        return ", ".join(f"{value:g}" for value in example.targets)
    names = label_names(context.declared)
    if not kind.multi_label:
        return names[int(example.targets[0])]
    right = [name for name, value in zip(names, example.targets, strict=True) if value == 1]
    unknown = [name for name, value in zip(names, example.targets, strict=True) if math.isnan(value)]
    return (", ".join(right) or "no label") + (f" (not known: {', '.join(unknown)})" if unknown else "")
