"""Rows, templates, tokens, streams, packed and padded batches; nothing here knows a task or a model.

>>> from hf_mtl.data import PromptCompletion
>>> PromptCompletion("{lemma} ->", " {past}").fields
('lemma', 'past')
"""

from hf_mtl.data.encoding import IGNORED, Encoded, Example, encode_rendered, encode_rows
from hf_mtl.data.files import read_rows
from hf_mtl.data.images import pixel_values
from hf_mtl.data.layout import Layout, PackedLayout, PaddedLayout, without_labels_of
from hf_mtl.data.packing import (
    Chunk,
    PackedBatch,
    RoutePart,
    Segment,
    Sequence,
    cut_into_chunks,
    fill_micro_batches,
    pack,
    route_parts,
)
from hf_mtl.data.padding import PaddedBatch, pad
from hf_mtl.data.sequences import EncoderDecoderSequence, ImageSequence
from hf_mtl.data.streams import StreamingRows, TaskStream, derived_seed
from hf_mtl.data.templates import (
    Chat,
    Piece,
    PromptCompletion,
    Rendered,
    Row,
    RowTemplate,
    fill_pattern,
    pattern_fields,
    render,
)

__all__ = [
    "IGNORED",
    "Chat",
    "Chunk",
    "Encoded",
    "EncoderDecoderSequence",
    "Example",
    "ImageSequence",
    "Layout",
    "PackedBatch",
    "PackedLayout",
    "PaddedBatch",
    "PaddedLayout",
    "Piece",
    "PromptCompletion",
    "Rendered",
    "RoutePart",
    "Row",
    "RowTemplate",
    "Segment",
    "Sequence",
    "StreamingRows",
    "TaskStream",
    "cut_into_chunks",
    "derived_seed",
    "encode_rendered",
    "encode_rows",
    "fill_micro_batches",
    "fill_pattern",
    "pack",
    "pad",
    "pattern_fields",
    "pixel_values",
    "read_rows",
    "render",
    "route_parts",
    "without_labels_of",
]
