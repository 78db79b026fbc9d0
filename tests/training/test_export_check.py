"""The check of exported folders by plain PEFT, on packed and padded bases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from plain_peft import shake
from tiny_bases import CASES, make_sequence

from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel
from hf_mtl.training.export_check import plain_difference, routed_row


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "GPTNeoXForCausalLM", "T5ForConditionalGeneration"])
def test_a_folder_gives_the_routed_logits_and_another_one_does_not(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = RoutedModel(case.base())
    model.add_adapter("a", LoraConfig(r=4, target_modules="all-linear"), seed=0)
    shake(model, "a", seed=1)
    expected = routed_row(model, make_sequence(case, "a", 9, row=0), autocast=None)
    assert expected.effect > 1e-2
    differences = []
    for folder in ("same", "other"):
        save_suite(model, tmp_path / folder, names=["a"], processor=None)
        found = plain_difference(
            case.base(), tmp_path / folder / "a", expected, device=torch.device("cpu"), autocast=None
        )
        differences.append(found)
        shake(model, "a", seed=2)
    assert differences[0] < 1e-12 < 1e-3 < differences[1]
