"""From tokens to text while they are written: no half characters, nothing behind a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

__all__ = ["TextWriter"]

_BROKEN = "\ufffd"  # what tokenizers give for bytes that are no character yet


class TextWriter:
    """The text of one answer, piece by piece.

    Args:
        tokenizer: The base's tokenizer.
        stop: Texts before which the answer ends.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: tuple[str, ...] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._begin = 0  # the tokens from here on give the next piece its context ...
        self._given = 0  # ... and those up to here have been made to text
        self._held = ""  # text that may be the beginning of a stop string
        self.stopped = False

    def take(self, token_ids: Sequence[int], *, last: bool = False) -> str:
        """What of the text is new.

        A piece is what its tokens add behind their predecessors, since a tokenizer may write a token otherwise at the
        beginning of a text.

        Args:
            token_ids: All tokens of the answer so far.
            last: Whether no more will come: what was held back is given.
        """
        before = self._decode(token_ids[self._begin : self._given])
        now = self._decode(token_ids[self._begin :])
        if not last and (now.endswith(_BROKEN) or len(now) <= len(before)):
            return ""
        self._begin, self._given = self._given, len(token_ids)
        self._held += now[len(before) :]
        return self._release(last=last)

    def _decode(self, token_ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(list(token_ids), skip_special_tokens=True)
        assert isinstance(text, str)
        return text

    def _release(self, *, last: bool) -> str:
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            piece, self._held = self._held[: min(found)], ""
            return piece
        kept = 0 if last else max((_overlap(self._held, stop) for stop in self._stop), default=0)
        cut = len(self._held) - kept
        piece, self._held = self._held[:cut], self._held[cut:]
        return piece


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
