"""Adapters on the vocabulary head, which sees the labelled tokens alone, on padded and on packed bases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel
from tiny_bases import CASES, by_itself, laid_out, make_sequence, outputs_of

from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel


@pytest.mark.parametrize("name", ["GPTNeoXForCausalLM", "LlamaForCausalLM"])
def test_equal_plain_peft(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = RoutedModel(case.base())
    for seed, adapter in enumerate(("a", "b")):
        config = LoraConfig(r=2, target_modules=["lm_head", "embed_out"], init_lora_weights=False)
        model.add_adapter(adapter, config, seed=seed)
    routes = [("a", 12), ("a", 5), ("b", 7), ("b", 16), ("b", 4)]
    sequences = [make_sequence(case, route, length, row) for row, (route, length) in enumerate(routes)]
    with torch.no_grad():
        outputs = outputs_of(model, laid_out(model, sequences))
        save_suite(model, tmp_path, processor=None)
        bare = case.base()
        for sequence in sequences:
            plain = PeftModel.from_pretrained(case.base(), tmp_path / sequence.route)
            expected, without = by_itself(plain, sequence), by_itself(bare, sequence)
            torch.testing.assert_close(
                outputs[sequence.route, sequence.row], expected, rtol=1e-10, atol=1e-10
            )
            assert (expected - without).norm() > 0.01 * without.norm()
