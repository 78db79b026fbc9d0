"""Sequences that are more than one row of tokens: text pairs for encoder-decoders, and images.

>>> whole = Sequence("past tense", [5, 6, 7, 8], [1, 2], [7, 8], row=0)
>>> pair = EncoderDecoderSequence.split(whole, start_id=0, end_id=1)
>>> pair.input_ids, pair.decoder_input_ids, pair.label_positions
([5, 6, 1], [0, 7], [0, 1])
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from hf_mtl.data.packing import Sequence
from hf_mtl.head_shapes import HeadShape

__all__ = ["EncoderDecoderSequence", "ImageSequence"]


@dataclass(frozen=True, slots=True)
class EncoderDecoderSequence(Sequence):
    """One example for an encoder-decoder: `input_ids` are the encoder's; labels are read from the decoder.

    Args:
        decoder_input_ids: The decoder's tokens `[S_dec]`; `label_positions` index into them, or for a head on tokens
            into the encoder's.
    """

    decoder_input_ids: list[int] = field(default_factory=list)

    @classmethod
    def split(cls, sequence: Sequence, *, start_id: int, end_id: int | None) -> EncoderDecoderSequence:
        """The same example for an encoder-decoder: what is read before the first label goes to the encoder.

        A text that is read by a head of its own goes to both: the decoder gets it shifted by one, as in
        `T5ForSequenceClassification` and `T5ForQuestionAnswering`; for a head on tokens the encoder does all.

        Args:
            sequence: A prompt and, behind it, what is learned.
            start_id: The token that the decoder starts with.
            end_id: The token that ends the encoder's text; None for none.
        """
        if sequence.head is not None:
            return cls._headed(sequence, start_id)
        first, last = sequence.label_positions[0], sequence.label_positions[-1]
        prompt = sequence.input_ids[: first + 1]
        return cls(
            sequence.route,
            prompt if end_id is None else [*prompt, end_id],
            [position - first for position in sequence.label_positions],
            sequence.label_ids,
            sequence.row,
            sequence.dropout_key,
            decoder_input_ids=[start_id, *sequence.input_ids[first + 1 : last + 1]],
        )

    @classmethod
    def _headed(cls, sequence: Sequence, start_id: int) -> EncoderDecoderSequence:
        own = {each.name: getattr(sequence, each.name) for each in fields(sequence)}
        shifted = [] if sequence.head is HeadShape.TOKEN else sequence.input_ids[:-1]
        return cls(**own, decoder_input_ids=[start_id, *shifted])


@dataclass(frozen=True, slots=True)
class ImageSequence(Sequence):
    """One image.

    Args:
        pixel_values: `[C, H, W]`; the images of a batch have one size.
    """

    pixel_values: Tensor = field(default_factory=lambda: torch.empty(0))

    @classmethod
    def of(cls, route: str, pixel_values: Tensor, *, row: int, dropout_key: int = 0) -> ImageSequence:
        """An image without labels of its own: a vision base gives its hidden states."""
        return cls(route, [], [], [], row, dropout_key, pixel_values=pixel_values)

    @property
    def tokens(self) -> int:
        """It counts as one token where room is measured, for all images are alike."""
        return 1
