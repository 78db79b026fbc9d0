"""Sources, selections, templates, tokens, images, streams, packed and padded batches; no task or model is known here.

>>> from hf_mtl.data import PromptCompletion
>>> PromptCompletion("{lemma} ->", " {past}").fields
('lemma', 'past')
"""

from hf_mtl.data.assets import ASSET_PREFIX, ASSETS, Asset, PackageFile, resolve_asset
from hf_mtl.data.encoding import IGNORED, Encoded, Example, encode_rendered, encode_rows, prompt_ids
from hf_mtl.data.files import read_rows
from hf_mtl.data.images import pixel_values
from hf_mtl.data.layout import Layout, PackedLayout, PaddedLayout, chunk_per_route, without_labels_of
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
from hf_mtl.data.patterns import fill_pattern, pattern_fields
from hf_mtl.data.rows import Row
from hf_mtl.data.selection import few_shot, max_examples, renamed, split_off
from hf_mtl.data.sequences import EncoderDecoderSequence, ImageSequence
from hf_mtl.data.sources import load_rows
from hf_mtl.data.streams import StreamingRows, TaskStream, derived_seed
from hf_mtl.data.templates import Chat, Piece, PromptCompletion, Rendered, RowTemplate, render

__all__ = [
    "ASSETS",
    "ASSET_PREFIX",
    "IGNORED",
    "Asset",
    "Chat",
    "Chunk",
    "Encoded",
    "EncoderDecoderSequence",
    "Example",
    "ImageSequence",
    "Layout",
    "PackageFile",
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
    "chunk_per_route",
    "cut_into_chunks",
    "derived_seed",
    "encode_rendered",
    "encode_rows",
    "few_shot",
    "fill_micro_batches",
    "fill_pattern",
    "load_rows",
    "max_examples",
    "pack",
    "pad",
    "pattern_fields",
    "pixel_values",
    "prompt_ids",
    "read_rows",
    "renamed",
    "render",
    "resolve_asset",
    "route_parts",
    "split_off",
    "without_labels_of",
]
