"""What every way of training many adapters looks like to the worker, and what several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from workload import SHAPES, Example, Spec

IGNORED = -100
LEARNING_RATE = 1e-4
MAX_NORM = 1.0


class Variant(ABC):
    """Abstract: one way of computing a round."""

    libraries: tuple[str, ...] = ("torch", "transformers")  # whose versions belong to the result

    @abstractmethod
    def step(self, examples: Sequence[Example]) -> float:
        """Forward and backward of a round, from Python lists to gradients; returns a loss to compare by."""

    @abstractmethod
    def update(self) -> None:
        """The optimizer's part of the round: clip, step, drop the gradients."""


def llama(spec: Spec, weights: str, **options: Any) -> transformers.LlamaForCausalLM:
    """The base that all variants compute with: a Llama of the asked shape, with the weights of the file."""
    config = transformers.LlamaConfig(**SHAPES[spec.shape], pad_token_id=0, **options)
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(load_file(weights), strict=False)
    model.tie_weights()
    model.to(torch_dtype(spec))  # type: ignore[arg-type]  # transformers wraps `to` without its self
    model.train()
    return model


def torch_dtype(spec: Spec) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[spec.dtype]


def label_count(examples: Sequence[Example]) -> int:
    return sum(len(example["ids"]) - example["learned"] for example in examples)


def labels_of(example: Example) -> list[int]:
    """One label per token, in place (the model shifts); tokens that are not learned are ignored."""
    return [IGNORED] * example["learned"] + example["ids"][example["learned"] :]


def padded(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Examples as rows of one width, padded on the right: ids, mask and labels `[B, S]`."""
    width = max(len(example["ids"]) for example in examples)
    rows = [(e["ids"], labels_of(e), width - len(e["ids"])) for e in examples]
    return {
        "input_ids": torch.tensor([ids + [0] * missing for ids, _, missing in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * missing for ids, _, missing in rows]),
        "labels": torch.tensor([labels + [IGNORED] * missing for _, labels, missing in rows]),
    }


def packed(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Examples one after the other as `[1, T]`: ids, positions and labels; no label crosses a border."""
    return {
        "input_ids": torch.tensor([[token for e in examples for token in e["ids"]]]),
        "position_ids": torch.cat([torch.arange(len(e["ids"])) for e in examples])[None],
        "labels": torch.tensor([[label for e in examples for label in labels_of(e)]]),
    }
