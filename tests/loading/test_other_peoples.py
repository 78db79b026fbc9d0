"""Folders that plain `peft` wrote on stock classes: the same logits here, beside other adapters, on any base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
)
from plain_folders import HUB_ID, IDS, answers, lora, routed, save_plain, stock
from torch import Tensor

from hf_mtl import RoutedModel
from hf_mtl.data import Chunk, ImageSequence
from hf_mtl.errors import SavedAdapterError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec

Bases = Callable[[str], Path]
PLACES = {"token": [0, 2, 5], "span": list(range(6))}
CAUSAL: dict[str, PeftConfig] = {
    "lora": lora(task_type="CAUSAL_LM"),
    "rslora": lora(task_type="CAUSAL_LM", use_rslora=True, r=6),
    "dora": lora(task_type="CAUSAL_LM", use_dora=True),
    "patterns": lora(
        task_type="CAUSAL_LM",
        target_modules=r".*\.layers\.[01]\.(self_attn\.q_proj|mlp\.down_proj)",
        rank_pattern={"q_proj": 2, r"layers.1.mlp.down_proj": 7},
        alpha_pattern={"q_proj": 16},
    ),
    "own copy": lora(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["lm_head"]),
    "eva": lora(task_type="CAUSAL_LM", target_modules=["q_proj"]),
    "ia3": IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
}


def _plain(model: PeftModel, kind: str, places: list[int]) -> Tensor:
    """What plain PEFT gives for one text by itself."""
    with torch.no_grad():
        output = model(input_ids=torch.tensor([IDS]))
    if kind == "span":
        return torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1)[-len(IDS) :]
    logits: Tensor = output.logits
    return logits if kind == "sequence" else logits[0, -len(IDS) :][places]


def _edit_eva(folder: Path) -> None:
    config: Any = PeftConfig.from_pretrained(str(folder))
    config.init_lora_weights = "eva"
    config.eva_config = {"rho": 2.0}
    config.save_pretrained(folder)


@pytest.mark.parametrize("kind", CAUSAL)
def test_adapters_of_a_language_model(base: Bases, tmp_path: Path, kind: str) -> None:
    expected = _plain(
        save_plain(tmp_path / "own", stock(base("llama"), "causal"), CAUSAL[kind]), "causal", [1, 4, 5]
    )
    save_plain(tmp_path / "other", stock(base("llama"), "causal"), lora(r=3), seed=1)
    if kind == "eva":
        _edit_eva(tmp_path / "own")
    model = RoutedModel.from_pretrained(
        base("llama"), {"other": tmp_path / "other", "own": str(tmp_path / "own")}, hub_id=HUB_ID
    )
    assert not model.training
    assert (answers(model, "own", [1, 4, 5]) - expected).abs().max() < 1e-5
    assert (answers(model, "other", [1, 4, 5]) - expected).abs().max() > 1e-3


HEADS: list[tuple[str, str, dict[str, Any]]] = [
    ("bert", "sequence", {"task_type": "SEQ_CLS", "target_modules": ["query", "pooler.dense"]}),
    ("bert", "token", {"task_type": "TOKEN_CLS", "target_modules": ["query", "output.dense"], "use_dora": True}),
    ("bert", "span", {"task_type": "QUESTION_ANS", "target_modules": ["query", "value"]}),
    ("bert", "token", {"modules_to_save": ["classifier"], "target_modules": ["query"]}),  # no type of task
    ("bert", "token", {
        "task_type": "TOKEN_CLS",
        "target_modules": r"bert\.encoder\.layer\.1\..*\.(query|value)",
        "rank_pattern": {"bert.encoder.layer.1.attention.self.query": 2},
    }),
    ("roberta", "sequence", {"task_type": "SEQ_CLS", "target_modules": ["query", "value"]}),
    ("llama", "sequence", {"task_type": "SEQ_CLS", "target_modules": ["q_proj", "v_proj"]}),
    ("gpt2", "sequence", {"task_type": "SEQ_CLS", "target_modules": ["c_attn"], "fan_in_fan_out": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "options"), HEADS)
def test_heads_follow_from_the_files(
    base: Bases, tmp_path: Path, name: str, kind: str, options: dict[str, Any]
) -> None:
    labels = 2 if kind == "span" else 5
    plain = save_plain(tmp_path, stock(base(name), kind, num_labels=labels), lora(**options))
    model = routed(base(name))
    model.load_adapter("own", tmp_path)
    assert model.route_head("own") == HeadSpec(HeadShape(kind), labels)
    assert model.pool is not None
    places = PLACES.get(kind, model.pool.places(len(IDS)))
    assert (answers(model, "own", places) - _plain(plain, kind, places)).abs().max() < 1e-5
    assert model.adapter_configs["own"].task_type == options.get("task_type", "TOKEN_CLS") or kind == "span"


@pytest.mark.parametrize("virtual", [PrefixTuningConfig, PromptTuningConfig])
def test_heads_on_virtual_tokens(base: Bases, tmp_path: Path, virtual: type[PeftConfig]) -> None:
    config = virtual(task_type="SEQ_CLS", num_virtual_tokens=4)  # type: ignore[call-arg]
    plain = save_plain(tmp_path, stock(base("llama"), "sequence", num_labels=3), config)
    model = routed(base("llama"))
    model.load_adapter("own", tmp_path)
    expected = _plain(plain, "sequence", [5])
    assert (answers(model, "own", [5]) - expected).abs().max() < 1e-5


def test_a_classifier_of_images(base: Bases, tmp_path: Path) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    plain = save_plain(tmp_path, stock(base("vit"), "image", num_labels=3), config)
    model = routed(base("vit"))
    model.load_adapter("own", tmp_path)
    pixels = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(0))
    row = ImageSequence("own", [], [0], [0], 0, pixel_values=pixels)
    with torch.no_grad():
        found = model.by_route(model.layout.lay_out([Chunk("own", [row])]))["own"]
        expected = plain(pixel_values=pixels[None]).logits
    assert (found - expected).abs().max() < 1e-5


def test_a_head_that_was_saved_in_part_is_refused(base: Bases, tmp_path: Path) -> None:
    config = lora(task_type="SEQ_CLS", target_modules=["Wqkv"])
    save_plain(tmp_path, stock(base("modernbert"), "sequence", num_labels=3), config)
    model = routed(base("modernbert"))
    with pytest.raises(
        SavedAdapterError, match=r"missing .*head\.dense\.weight.*A part of its head was not saved"
    ):
        model.load_adapter("own", tmp_path)
    assert not model.routes


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_on_a_quantised_base(base: Bases, tmp_path: Path, quantization: str) -> None:
    save_plain(tmp_path, stock(base("llama"), "causal"), lora(task_type="CAUSAL_LM"))
    model = RoutedModel.from_pretrained(
        base("llama"), {"own": tmp_path}, quantization=quantization, hub_id=HUB_ID
    )
    full = RoutedModel.from_pretrained(base("llama"), {"own": tmp_path}, hub_id=HUB_ID)
    found, exact = answers(model, "own", [1, 4, 5]), answers(full, "own", [1, 4, 5])
    model.remove_adapter("own")
    model.add_route("bare", {})
    bare = answers(model, "bare", [1, 4, 5])
    assert 0 < (found - exact).norm() < 0.5 * (found - bare).norm()
