"""Adapters as other people save them: plain `peft` on the stock classes of transformers, no manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from plain_peft import for_plain_peft
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
__all__ = ["HUB_ID", "IDS", "OF_CASE", "answers", "lora", "routed", "save_plain", "stock"]

IDS = [5, 6, 7, 8, 9, 10]


def stock(folder: Path, kind: str, **config: Any) -> PreTrainedModel:
    model: PreTrainedModel = STOCK[kind].from_pretrained(folder, attn_implementation="sdpa", **config)
    model.name_or_path = HUB_ID  # PEFT takes the base's name from here
    model.eval()
    return model


def save_plain(folder: Path, model: PreTrainedModel, config: PeftConfig, *, seed: int = 0) -> PeftModel:
    """Save an adapter with plain PEFT, its weights moved to where they change something."""
    plain = get_peft_model(for_plain_peft(model), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in plain.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    plain.save_pretrained(str(folder), save_embedding_layers=False)
    return plain.eval()


def lora(**options: Any) -> LoraConfig:
    given: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
    return LoraConfig(**(given | options))


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
