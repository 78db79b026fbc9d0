"""What a base can read at most, checked for rows and inputs of all kinds before anything is run.

Token ids beyond its vocabulary, tokens beyond its positions, images of another size than it reads: without a check each
of them ends in an IndexError or ValueError deep in the base, which names neither task nor row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hf_mtl.data import BEYOND_VOCABULARY, Example, unknown_token
from hf_mtl.errors import DataError
from hf_mtl.tasks.kinds.kind import Context, Kind
from hf_mtl.tasks.kinds.language import LanguageModelling
from hf_mtl.tasks.kinds.query import Query
from hf_mtl.tasks.kinds.ranking import candidates_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_examples", "check_pixels", "check_query"]


def check_examples(kind: Kind, examples: Iterable[Example], context: Context) -> None:
    """Refuse sequences that the base cannot read.

    Args:
        kind: The task's kind.
        examples: The sequences of a row or an input.
        context: The task on its base.

    Raises:
        DataError: If the base lacks a token or its type, or there are more tokens than positions.
    """
    for example in examples:
        _check_tokens("the text", example.input_ids, context)
        _check_types(example, context)
        for what, tokens in _lengths(kind, example, context):
            if context.longest is not None and tokens > context.longest:
                raise DataError(
                    f"{what} has {tokens} tokens, and the base has positions for {context.longest}. Shorten it, cut "
                    f"rows at their end with max_length={context.longest} or less, or take a base with more positions.",
                    reason="more tokens than positions",
                )


def check_query(kind: Kind, query: Query, context: Context) -> None:
    """Refuse an input that the base cannot read, or an answer that it has no positions for.

    Args:
        kind: The task's kind.
        query: The input.
        context: The task on its base.

    Raises:
        DataError: As `check_examples`.
    """
    check_examples(kind, query.examples, context)
    if query.prompt is None:
        return
    _check_tokens("the prompt", query.prompt_ids, context)
    tokens, new = len(query.prompt_ids), int(query.options.get("max_new_tokens", 0))
    if context.longest is None:
        return
    # An encoder reads an end token behind the prompt, and a decoder begins with a token of its own.
    most = max(tokens + 1, new) if context.encoder_decoder else tokens + new
    if most > context.longest:
        raise DataError(
            f"the prompt has {tokens} tokens, and {new} more are to follow, but the base has positions for "
            f"{context.longest}. Shorten the prompt or lower max_new_tokens."
        )


def check_pixels(pixels: Tensor, context: Context) -> Tensor:
    """Return an image `[C, H, W]` of the size that the base reads.

    Raises:
        DataError: If it has another one.
    """
    if context.image is not None and tuple(pixels.shape) != context.image:
        found, wanted = (f"{c} x {h} x {w}" for c, h, w in (tuple(pixels.shape), context.image))
        raise DataError(
            f"the image processor makes an image of {found} (channels x height x width), and the base reads {wanted}. "
            f"Use the base's own image processor, or change its size.",
            reason="image of another size",
        )
    return pixels


def _check_tokens(what: str, ids: Iterable[int], context: Context) -> None:
    tokens = list(ids)
    if tokens and (problem := unknown_token(tokens, context.vocabulary, context.tokenizer)) is not None:
        raise DataError(f"{what} {problem}. {BEYOND_VOCABULARY}", reason="token beyond the vocabulary")


def _check_types(example: Example, context: Context) -> None:
    known, found = context.token_types, 1 + max(example.token_types, default=0)
    if known is not None and found > known:
        raise DataError(
            f"the tokenizer gives the text {found} types of token, and the base has an embedding for {known}. They do "
            f"not belong together: use the base's own tokenizer.",
            reason="token type beyond the base's",
        )


def _lengths(kind: Kind, example: Example, context: Context) -> Iterator[tuple[str, int]]:
    """What an example fills with tokens, and with how many."""
    if kind.shape is not None or not example.label_positions:
        yield "the text", len(example.input_ids)
        return
    prompt, whole = example.label_positions[0] + 1, len(example.input_ids)
    if isinstance(kind, LanguageModelling) and (candidates := candidates_of(context)):
        # Each label is run behind the prompt; with an end, as where it is the row's.
        whole = max(whole, prompt + max(map(len, candidates)) + 1)
    if context.encoder_decoder:
        yield "the prompt with its end token", prompt + 1
        yield "the completion", whole - prompt
    else:
        yield "the prompt with its completion", whole
