"""Tags of tokens as entities of a sentence, in the forms and by the rules of `transformers`' token classification.

Without an aggregation, every token comes with its tag. `"simple"` joins neighbours of one tag; `"first"`, `"max"` and
`"average"` first settle on one tag for each word: that of its first token, that of its surest one, or that of the mean
of their probabilities.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers.models import BPE, WordPiece

from hf_mtl.tasks.kinds.sentences import Sentence

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["AGGREGATIONS", "entities_of"]

Entity = dict[str, Any]  # Any: texts and numbers


class _Piece(NamedTuple):
    """A token, or a word of several: `scores` are its probabilities, `continues` whether it goes on with a word."""

    word: str
    scores: Tensor
    place: int
    start: int
    end: int
    continues: bool


def _first(pieces: Sequence[_Piece]) -> Tensor:
    return pieces[0].scores


def _surest(pieces: Sequence[_Piece]) -> Tensor:
    return max(pieces, key=lambda piece: float(piece.scores.max())).scores


def _mean(pieces: Sequence[_Piece]) -> Tensor:
    from torch import stack

    return stack([piece.scores for piece in pieces]).mean(0)


_OF_WORDS: Mapping[str, Callable[[Sequence[_Piece]], Tensor]] = {
    "first": _first,
    "max": _surest,
    "average": _mean,
}
AGGREGATIONS = ("none", "simple", *_OF_WORDS)


def entities_of(
    sentence: Sentence,
    ends: Sequence[int] | None,
    logits_NC: Tensor,
    names: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    options: Mapping[str, Any],  # Any: those of the kind
) -> list[Entity]:
    """The entities of a sentence.

    Args:
        sentence: The sentence.
        ends: The character behind each of its words; None where the words are not known.
        logits_NC: The logits at the tokens that are not special.
        names: The tags' names.
        tokenizer: The base's tokenizer.
        options: `aggregation_strategy`, and `ignore_labels`, the tags that are left out.

    Returns:
        Without an aggregation `entity`, `score`, `index`, `word`, `start` and `end` of every token, else
        `entity_group`, `score`, `word`, `start` and `end` of every entity.
    """
    strategy, ignored = options["aggregation_strategy"], options["ignore_labels"]
    pieces = list(_pieces(sentence, ends, logits_NC.double().softmax(-1), tokenizer))
    if strategy in _OF_WORDS:
        pieces = [_joined(own, _OF_WORDS[strategy], tokenizer) for own in _words(pieces)]
    told = [_told(piece, names) for piece in pieces]
    if strategy == "none":
        return [entity for entity in told if entity["entity"] not in ignored]
    grouped = [_group(own, tokenizer) for own in _neighbours(told)]
    return [entity for entity in grouped if entity["entity_group"] not in ignored]


def _pieces(
    sentence: Sentence, ends: Sequence[int] | None, scores_NC: Tensor, tokenizer: PreTrainedTokenizerBase
) -> Iterable[_Piece]:
    places = [place for place, special in enumerate(sentence.special) if not special]
    prefixed = _marks_continuations(tokenizer)
    before = -1
    for place, scores in zip(places, scores_NC, strict=True):
        start, end = sentence.offsets[place]
        word, there = (
            str(tokenizer.convert_ids_to_tokens(sentence.input_ids[place])),
            sentence.text[start:end],
        )
        if ends is not None:
            number = bisect_left(ends, end)
            continues, before = number == before, number
        elif sentence.input_ids[place] == tokenizer.unk_token_id:
            continues = False
        elif prefixed:
            continues = len(word) != len(there)
        else:
            continues = start > 0 and " " not in sentence.text[start - 1 : start + 1]
        if sentence.input_ids[place] == tokenizer.unk_token_id:
            word = there
        yield _Piece(word, scores, place, start, end, continues)


def _marks_continuations(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a token's own text says that it goes on with a word, as WordPiece's `##` does."""
    from transformers import PreTrainedTokenizerFast

    assert isinstance(tokenizer, PreTrainedTokenizerFast)  # checked where the sentence was tokenised
    model = tokenizer.backend_tokenizer.model
    return isinstance(model, BPE | WordPiece) and bool(model.continuing_subword_prefix)


def _words(pieces: Iterable[_Piece]) -> list[list[_Piece]]:
    words: list[list[_Piece]] = []
    for piece in pieces:
        if words and piece.continues:
            words[-1].append(piece)
        else:
            words.append([piece])
    return words


def _joined(
    own: Sequence[_Piece], scores: Callable[[Sequence[_Piece]], Tensor], tokenizer: PreTrainedTokenizerBase
) -> _Piece:
    word = tokenizer.convert_tokens_to_string([piece.word for piece in own])
    return _Piece(word, scores(own), own[0].place, own[0].start, own[-1].end, False)


def _told(piece: _Piece, names: Sequence[str]) -> Entity:
    best = int(piece.scores.argmax())
    return {
        "entity": names[best],
        "score": float(piece.scores[best]),
        "index": piece.place,
        "word": piece.word,
        "start": piece.start,
        "end": piece.end,
    }


def _neighbours(told: Iterable[Entity]) -> list[list[Entity]]:
    """Runs of one type, in which none but the first begins an entity."""
    runs = 0
    last = None
    numbered: list[tuple[int, Entity]] = []
    for entity in told:
        begins, _, own = entity["entity"].partition("-")
        own = own if begins in ("B", "I") and own else entity["entity"]
        if own != last or entity["entity"].startswith("B-"):
            runs += 1
        last = own
        numbered.append((runs, entity))
    return [[entity for _, entity in run] for _, run in groupby(numbered, key=lambda each: each[0])]


def _group(own: Sequence[Entity], tokenizer: PreTrainedTokenizerBase) -> Entity:
    return {
        "entity_group": own[0]["entity"].split("-", 1)[-1],
        "score": sum(entity["score"] for entity in own) / len(own),
        "word": tokenizer.convert_tokens_to_string([entity["word"] for entity in own]),
        "start": own[0]["start"],
        "end": own[-1]["end"],
    }
