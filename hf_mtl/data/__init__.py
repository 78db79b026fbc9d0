"""Sources, selections, templates, tokens, images, streams, packed and padded batches; no task or model is known here.

>>> from hf_mtl.data import PromptCompletion
>>> PromptCompletion("{lemma} ->", " {past}").fields
('lemma', 'past')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.data.assets import ASSET_PREFIX, ASSETS, Asset, PackageFile, resolve_asset
from hf_mtl.data.conversation import Conversation, Message
from hf_mtl.data.ends import EndFinder, EndToken, answer_text, check_ends, last_run
from hf_mtl.data.examples import IGNORED, Encoded, Example
from hf_mtl.data.limits import BEYOND_VOCABULARY, unknown_token
from hf_mtl.data.patterns import fill_pattern, pattern_fields
from hf_mtl.data.plain_rows import read_plain_rows
from hf_mtl.data.row_table import RowTable
from hf_mtl.data.row_tokens import Prompt, RowTokens, prompt_ids
from hf_mtl.data.rows import Row
from hf_mtl.data.skipping import SkippedRows, bad_row, count_reasons
from hf_mtl.data.templates import Chat, PromptCompletion, RowTemplate, TextPair, render
from hf_mtl.data.tokens import added_ids, checked_text, encode_texts
from hf_mtl.lazy import lazy_names

if TYPE_CHECKING:
    from hf_mtl.data.encoding import encode_rows
    from hf_mtl.data.files import read_rows
    from hf_mtl.data.images import pixel_values, with_raw_images
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
    from hf_mtl.data.row_forms import SPLITS, RowsLike, as_rows, train_and_eval
    from hf_mtl.data.selection import few_shot, max_examples, renamed, split_off
    from hf_mtl.data.sequences import EncoderDecoderSequence, ImageSequence
    from hf_mtl.data.sources import load_rows
    from hf_mtl.data.streams import StreamingRows, TaskStream, derived_seed


__all__ = [
    "ASSETS",
    "ASSET_PREFIX",
    "BEYOND_VOCABULARY",
    "IGNORED",
    "SPLITS",
    "Asset",
    "Chat",
    "Chunk",
    "Conversation",
    "Encoded",
    "EncoderDecoderSequence",
    "EndFinder",
    "EndToken",
    "Example",
    "ImageSequence",
    "Layout",
    "Message",
    "PackageFile",
    "PackedBatch",
    "PackedLayout",
    "PaddedBatch",
    "PaddedLayout",
    "Prompt",
    "PromptCompletion",
    "RoutePart",
    "Row",
    "RowTable",
    "RowTemplate",
    "RowTokens",
    "RowsLike",
    "Segment",
    "Sequence",
    "SkippedRows",
    "StreamingRows",
    "TaskStream",
    "TextPair",
    "added_ids",
    "answer_text",
    "as_rows",
    "bad_row",
    "check_ends",
    "checked_text",
    "chunk_per_route",
    "count_reasons",
    "cut_into_chunks",
    "derived_seed",
    "encode_rows",
    "encode_texts",
    "few_shot",
    "fill_micro_batches",
    "fill_pattern",
    "last_run",
    "load_rows",
    "max_examples",
    "pack",
    "pad",
    "pattern_fields",
    "pixel_values",
    "prompt_ids",
    "read_plain_rows",
    "read_rows",
    "renamed",
    "render",
    "resolve_asset",
    "route_parts",
    "split_off",
    "train_and_eval",
    "unknown_token",
    "with_raw_images",
    "without_labels_of",
]

__getattr__ = lazy_names(
    __name__,
    {
        "encoding": "encode_rows",
        "files": "read_rows",
        "images": "pixel_values with_raw_images",
        "layout": "Layout PackedLayout PaddedLayout chunk_per_route without_labels_of",
        "packing": "Chunk PackedBatch RoutePart Segment Sequence cut_into_chunks fill_micro_batches pack route_parts",
        "padding": "PaddedBatch pad",
        "row_forms": "SPLITS RowsLike as_rows train_and_eval",
        "selection": "few_shot max_examples renamed split_off",
        "sequences": "EncoderDecoderSequence ImageSequence",
        "sources": "load_rows",
        "streams": "StreamingRows TaskStream derived_seed",
    },
)
