"""Adapters as other people save them: plain `peft` on the stock classes of transformers, no manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from tiny_bases import CASES
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from hf_mtl.data import Chunk, Sequence, pack
from hf_mtl.models import RoutedModel, load_base

HUB_ID = "tests/base"
STOCK: dict[str, Any] = {
    "causal": AutoModelForCausalLM,
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
    "span": AutoModelForQuestionAnswering,
    "image": AutoModelForImageClassification,
}
OF_CASE = {
    "llama": "LlamaForCausalLM",
    "bert": "BertModel",
    "roberta": "RobertaModel",
    "modernbert": "ModernBertModel",
    "gpt2": "GPT2LMHeadModel",
    "vit": "ViTModel",
}
IDS = [5, 6, 7, 8, 9, 10]

Save = Callable[..., Path]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny base."""
    root = tmp_path_factory.mktemp("bases")

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            case = CASES[OF_CASE[name]]
            case.config.pad_token_id = 1
            case.base(torch.float32).save_pretrained(root / name)
        return root / name

    return folder


def stock(folder: Path, kind: str, **config: Any) -> PreTrainedModel:
    model: PreTrainedModel = STOCK[kind].from_pretrained(folder, attn_implementation="sdpa", **config)
    model.name_or_path = HUB_ID  # PEFT takes the base's name from here
    return model.eval()


def save_plain(folder: Path, model: PreTrainedModel, config: PeftConfig, *, seed: int = 0) -> PeftModel:
    """Save an adapter with plain PEFT, its weights moved to where they change something."""
    plain = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in plain.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    plain.save_pretrained(folder)
    return plain.eval()


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(**({"r": 4, "lora_alpha": 8, "target_modules": "all-linear"} | options))


def routed(folder: Path, **options: Any) -> RoutedModel:
    loaded, identity = load_base(folder, hub_id=HUB_ID, **options)
    return RoutedModel(loaded, identity=identity).eval()


def answers(model: RoutedModel, route: str, labels: list[int], ids: list[int] | None = None) -> Tensor:
    """A route's logits at some places of a text, beside one of another route."""
    ids = ids or IDS
    own = Sequence(route, ids, labels, [0] * len(labels), 0, 0)
    others = [name for name in model.routes if name != route][:1]
    chunks = [Chunk(route, [own])] + [
        Chunk(name, [Sequence(name, [5, 9, 7], [2], [0], 1, 1)]) for name in others
    ]
    with torch.no_grad():
        return model.by_route(pack(chunks))[route]


@pytest.fixture
def plain_lora(base: Callable[[str], Path], tmp_path: Path) -> Path:
    """A LoRA of the tiny Llama."""
    save_plain(tmp_path / "plain", stock(base("llama"), "causal"), lora(task_type="CAUSAL_LM"))
    return tmp_path / "plain"
