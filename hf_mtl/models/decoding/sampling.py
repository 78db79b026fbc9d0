"""Which token comes next, row by row, by each request's own settings and random numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hf_mtl.models.decoding.row import Row

__all__ = ["choose"]


def choose(logits_NV: Tensor, rows: Sequence[Row], *, penalty: float, with_prompts: bool) -> list[int]:
    """Choose each row's next token.

    Args:
        logits_NV: One line per row.
        rows: The rows.
        penalty: The repetition penalty of rows that name none; 1 is none.
        with_prompts: Whether a penalty counts the prompt's tokens, as in decoders, or the answer's alone.

    Returns:
        A token for each row.
    """
    penalised = {
        i: value for i, row in enumerate(rows) if (value := row.settings.repetition_penalty or penalty) != 1
    }
    if penalised:
        logits_NV = logits_NV.clone()
    for i, value in penalised.items():
        seen = [*(rows[i].request.input_ids if with_prompts else ()), *rows[i].token_ids]
        if seen:
            ids = torch.tensor([seen], device=logits_NV.device)
            logits_NV[i] = RepetitionPenaltyLogitsProcessor(value)(ids, logits_NV[i : i + 1].float())[0]
    # `max` and not `argmax`, which is several times slower on half precision
    chosen: list[int] = logits_NV.max(dim=-1).indices.tolist()
    alike = defaultdict(list)
    for i, row in enumerate(rows):
        if not row.settings.greedy:
            alike[row.settings.temperature, row.settings.top_k, row.settings.top_p].append(i)
    for (temperature, top_k, top_p), members in alike.items():
        assert temperature is not None
        warpers = _warpers(temperature, top_k, top_p, logits_NV.shape[1])
        scores = logits_NV[members].float()
        # the warpers take token ids, and do not look at them
        probabilities = warpers(torch.empty(len(members), 0, dtype=torch.long), scores).softmax(-1).cpu()  # type: ignore[arg-type]
        for i, own in zip(members, probabilities, strict=True):
            chosen[i] = int(torch.multinomial(own, 1, generator=rows[i].generator).item())
    return chosen


def _warpers(temperature: float, top_k: int | None, top_p: float | None, size: int) -> LogitsProcessorList:
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(temperature))])
    if top_k is not None:
        warpers.append(TopKLogitsWarper(min(top_k, size)))
    if top_p is not None and top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    return warpers
