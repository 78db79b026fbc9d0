"""A request while it is being answered."""

from __future__ import annotations

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.models.decoding.settings import Event, Finish, Generation, GenerationRequest
from hf_mtl.models.decoding.text import TextWriter

__all__ = ["Row"]


class Row:
    """What is known of one request: its tokens so far, its random numbers, its text.

    Args:
        number: The request's number.
        request: The request.
        tokenizer: The base's tokenizer.
        end_ids: The tokens that end an answer.
        room: Most tokens that the base has positions for.
        streams: Whether each token's text is wanted as it comes; else it is made at the end.

    Attributes:
        token_ids: The answer so far.
        finish: Why it ended; None if it goes on.
    """

    def __init__(
        self,
        number: int,
        request: GenerationRequest,
        tokenizer: PreTrainedTokenizerBase,
        *,
        end_ids: frozenset[int],
        room: int,
        streams: bool,
    ) -> None:
        self.number = number
        self.request = request
        self.settings = request.settings
        self.token_ids: list[int] = []
        self.finish: Finish | None = None
        self._end_ids = end_ids
        self._length = min(self.settings.max_new_tokens, room)
        self._tokenizer = tokenizer
        self._writer = TextWriter(tokenizer, self.settings.stop) if streams or self.settings.stop else None
        self._pieces: list[str] = []
        self.generator = torch.Generator().manual_seed(self.settings.seed)

    def take(self, token_id: int) -> Event:
        """Add a token to the answer."""
        self.token_ids.append(token_id)
        if token_id in self._end_ids:
            self.finish = "stop"
        elif len(self.token_ids) >= self._length:
            self.finish = "length"
        piece = ""
        if self._writer is not None:
            piece = self._writer.take(self._told(), last=self.finish is not None)
            if self._writer.stopped:
                self.finish = "stop"
            self._pieces.append(piece)
        return Event(self.number, token_id, piece, self.finish)

    def generation(self) -> Generation:
        """The answer, when it has ended."""
        assert self.finish is not None
        if self._writer is None:
            text = self._tokenizer.decode(self._told(), skip_special_tokens=True)
            assert isinstance(text, str)
        else:
            text = "".join(self._pieces)
        return Generation(tuple(self.token_ids), self.finish, text)

    def _told(self) -> list[int]:
        """The tokens that make the text: not the one that ends it, which a tokenizer may not know as special."""
        return self.token_ids[:-1] if self.token_ids[-1] in self._end_ids else self.token_ids
