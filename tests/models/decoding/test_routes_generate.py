"""The base's own `generate` inside `model.route(...)` writes what the packed decoder writes, token by token."""

from __future__ import annotations

import pytest
import torch
from decoding_cases import PACKED, letters, prompts, request, routed
from tiny_bases import TESTED

from hf_mtl.models import Decoder, RoutedModel

STACKS = {
    "prefix and lora": {"prefix": 1.0, "mlp": 1.0},
    "prompt and lora": {"prompt": 1.0, "wide": 0.5},
}


def _written(model: RoutedModel, route: str | None, prompt: tuple[int, ...], new: int) -> tuple[int, ...]:
    with model.route(route) as base:
        output = base.generate(  # type: ignore[operator]
            input_ids=torch.tensor([prompt]),
            max_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
        )
    return tuple(output[0, len(prompt) :].tolist())


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
@pytest.mark.parametrize("name", PACKED)
def test_prefix_lora_and_prompt_in_generate_equal_the_packed_decoder(name: str) -> None:
    model = routed(TESTED[name], kinds=("mlp", "wide", "prefix", "prompt"))
    for route, stack in STACKS.items():
        model.add_route(route, stack)
    routes = [None, "mlp", "prefix", "prompt", *STACKS]
    rows = list(zip(routes, prompts((9, 4, 11, 6, 8, 3)), strict=True))
    answers = Decoder(model, letters()).generate(request(route, ids, 12) for route, ids in rows)
    expected = [_written(model, route, ids, 12) for route, ids in rows]
    assert [answer.token_ids for answer in answers] == expected
    bare = [_written(model, None, ids, 12) for _, ids in rows]
    # Nearly every adapter changes the text; a short window leaves a prefix out of sight.
    assert sum(a != b for a, b in zip(bare, expected, strict=True)) >= len(rows) - 2
