"""Tokens as the text that each of them adds, for people to read.

A token alone may be no text: byte-level tokenizers spread one character over several tokens, and others drop the blank
before a word that is decoded alone. So each token is decoded behind the one before it, and tokens that only together
are whole characters stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["TokenText", "token_texts"]

_BROKEN = "\N{REPLACEMENT CHARACTER}"  # what a part of a character decodes to
_MOST = 16  # tokens that are waited for to make a character whole


@dataclass(frozen=True)
class TokenText:
    """The text of one token, or of several that are text only together.

    Args:
        start: The first token.
        stop: Behind the last token.
        text: What they add to the text; of a special token its name.
        special: Whether it is a special token.
    """

    start: int
    stop: int
    text: str
    special: bool = False


def token_texts(
    ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, *, behind: Sequence[int] = ()
) -> list[TokenText]:
    """The texts of a sequence of tokens; every token is in exactly one of them, in order.

    Args:
        ids: Token ids `[S]`.
        tokenizer: Their tokenizer.
        behind: Token ids before the sequence.
    """
    anchor = behind[-1:]
    texts = _Reader([*anchor, *ids], tokenizer).texts(len(anchor))
    return [
        TokenText(own.start - len(anchor), own.stop - len(anchor), own.text, own.special) for own in texts
    ]


class _Reader:
    def __init__(self, ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> None:
        self._ids = list(ids)
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self._special = {*tokenizer.all_special_ids, *(own for own, token in added.items() if token.special)}
        # A text may hold the replacement character itself.
        self._genuine = list(tokenizer(_BROKEN, add_special_tokens=False)["input_ids"])

    def texts(self, first: int) -> list[TokenText]:
        found: list[TokenText] = []
        before, start = 0, first  # the token that the next ones are decoded behind, and the first of these
        for place in range(first, len(self._ids)):
            token = self._ids[place]
            if token in self._special:
                if start < place:
                    found.append(TokenText(start, place, self._added(before, start, place)))
                found.append(TokenText(place, place + 1, self._name(token), special=True))
                before, start = place, place + 1
                continue
            text = self._added(before, start, place + 1)
            if self._is_whole(text, start, place + 1):
                found.append(TokenText(start, place + 1, text))
                before, start = start, place + 1
        if start < len(self._ids):
            found.append(TokenText(start, len(self._ids), self._added(before, start, len(self._ids))))
        return found

    def _is_whole(self, text: str, start: int, stop: int) -> bool:
        own = self._ids[start:stop]
        return not text.endswith(_BROKEN) or own == self._genuine or len(own) >= _MOST

    def _added(self, before: int, start: int, stop: int) -> str:
        """What the tokens from `start` on add behind those from `before` on."""
        head, whole = self._decoded(before, start), self._decoded(before, stop)
        if whole.startswith(head):
            return whole[len(head) :]
        # The decoder changes what is before, as some do at a sentence's end.
        return "".join(map(self._name, self._ids[start:stop]))

    def _decoded(self, start: int, stop: int) -> str:
        return str(
            self._tokenizer.decode(
                self._ids[start:stop], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _name(self, token: int) -> str:
        return str(self._tokenizer.convert_ids_to_tokens([token])[0])
