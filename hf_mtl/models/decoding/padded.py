"""Rows of any routes on a base that is not packed (an encoder-decoder): one call of the base's own `generate`.

Rows are sorted by route, and each adapter acts on its own rows. Every row's settings hold by a processor that chooses
the row's token and leaves `generate` no other. The call runs until its last row has ended: rows neither join nor leave
it, and their tokens come when it is done.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from hf_mtl.adapters import RoutedPass, install
from hf_mtl.data import Segment
from hf_mtl.models.decoding.row import Row
from hf_mtl.models.decoding.sampling import choose
from hf_mtl.models.decoding.settings import Event
from hf_mtl.models.routed_model import RoutedModel

__all__ = ["write_padded"]


def write_padded(model: RoutedModel, rows: Sequence[Row], *, pad_id: int, penalty: float) -> list[Event]:
    """Answer requests together.

    Args:
        model: The routed model.
        rows: The requests.
        pad_id: Fills rows up: on the right in an encoder, on the left elsewhere.
        penalty: The repetition penalty of requests that name none.

    Returns:
        Their events, in the order in which the tokens were written.
    """
    rows = sorted(rows, key=lambda row: (row.request.route is not None, row.request.route or ""))
    paired = model.config.is_encoder_decoder
    prompts = [list(row.request.input_ids) for row in rows]
    width = max(map(len, prompts))
    fill = [[0] * (width - len(prompt)) for prompt in prompts]
    masks = [
        [1] * len(own) + gap if paired else gap + [1] * len(own)
        for own, gap in zip(prompts, fill, strict=True)
    ]
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.tensor(masks)
    ids[mask.bool()] = torch.tensor([token for prompt in prompts for token in prompt])
    chooser = _Chooser(rows, penalty=penalty, with_prompts=not paired)
    segments = [
        Segment(row.request.route, i, i + 1) for i, row in enumerate(rows) if row.request.route is not None
    ]
    with install(RoutedPass(spans=model.spans(_joined(segments)), rows=len(rows), widths=(width, 1))):
        model.base.generate(  # type: ignore[operator]  # nn.Module types attributes loosely
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=_bare_config(model.base, rows, pad_id),
            logits_processor=LogitsProcessorList([chooser]),
            stopping_criteria=StoppingCriteriaList([_AllEnded(rows)]),
        )
    return chooser.events


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbours of one route as one segment."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and joined[-1].route == segment.route:
            joined[-1] = joined[-1]._replace(stop=segment.stop)
        else:
            joined.append(segment)
    return joined


def _bare_config(base: PreTrainedModel, rows: Sequence[Row], pad_id: int) -> GenerationConfig:
    """Nothing but lengths and the decoder's first token: the rest is each row's own."""
    own = base.generation_config
    return GenerationConfig(
        max_new_tokens=max(row.settings.max_new_tokens for row in rows),
        do_sample=False,
        num_beams=1,
        pad_token_id=pad_id,
        decoder_start_token_id=own.decoder_start_token_id,
        bos_token_id=own.bos_token_id,
        use_cache=True,
    )


class _Chooser(LogitsProcessor):
    """Chooses each row's next token, tells it, and makes it the only one with a score."""

    def __init__(self, rows: Sequence[Row], *, penalty: float, with_prompts: bool) -> None:
        self._rows, self._penalty, self._with_prompts = rows, penalty, with_prompts
        self.events: list[Event] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        going = [i for i, row in enumerate(self._rows) if row.finish is None]
        rows = [self._rows[i] for i in going]
        chosen = choose(scores[going], rows, penalty=self._penalty, with_prompts=self._with_prompts)
        self.events += [row.take(token) for row, token in zip(rows, chosen, strict=True)]
        only = torch.full_like(scores, float("-inf"))
        only[:, 0] = 0.0
        only[going, 0] = float("-inf")
        only[going, chosen] = 0.0
        return only


class _AllEnded(StoppingCriteria):
    """Says of each row whether it has ended."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        return torch.tensor([row.finish is not None for row in self._rows], device=input_ids.device)
