"""What a GPU would compute, asked on a machine without one.

Tensors of the meta device have dtypes and shapes, and no values. With a GPU's compute capability, whole passes forward
and backward go the way that they would take there, through every call with its arguments. What needs a value fails, so
no step of a pass waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from hf_mtl.adapters import routed_linear
from hf_mtl.adapters.forms import Capability
from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models import RoutedModel, attention

KERNELS = VARLEN, GROUPED = "torch_attn._varlen_attn_backward", "aten._grouped_mm"
HOPPER, AMPERE, TURING = (9, 0), (8, 0), (7, 5)
CONFIGS = {
    "lora": LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False),
    "wide": LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False),
    "dora": LoraConfig(r=4, target_modules=["q_proj"], use_dora=True, init_lora_weights=False),
    "ia3": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "prefix": PrefixTuningConfig(num_virtual_tokens=5),
    "prompt": PromptTuningConfig(num_virtual_tokens=3),
}


class _Operations(TorchDispatchMode):
    """The operations that are called, by name."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func).removesuffix(".default"))
        return func(*args, **(kwargs or {}))


def _model(dtype: torch.dtype) -> RoutedModel:
    config = LlamaConfig(
        vocab_size=96, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    base = LlamaForCausalLM(config)
    base.to(dtype)  # type: ignore[arg-type]  # transformers wraps `to` without its self
    model = RoutedModel(base)
    for name, adapter in CONFIGS.items():
        model.add_adapter(name, adapter)
    model.add_adapter("topic", CONFIGS["lora"], head=HeadSpec(HeadShape.SEQUENCE, 3))
    return model.train()


def _batch() -> PackedBatch:
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    rows = [Sequence.next_token(name, ids[i:], ids[i:], row=i) for i, name in enumerate(CONFIGS)]
    rows.append(Sequence("topic", ids, [7], [1], 9, head=HeadShape.SEQUENCE))
    return pack([Chunk(row.route, [row]) for row in rows])


@pytest.mark.parametrize(
    ("dtype", "capability", "kernels"),
    [
        (torch.bfloat16, HOPPER, {VARLEN, GROUPED}),
        (torch.bfloat16, (10, 0), {VARLEN, GROUPED}),
        (torch.bfloat16, (12, 0), {VARLEN}),
        (torch.bfloat16, AMPERE, {VARLEN}),
        (torch.float16, HOPPER, {VARLEN}),
        (torch.bfloat16, TURING, set()),
        (torch.float32, HOPPER, set()),
    ],
)
def test_a_pass_of_all_kinds_of_adapters(
    dtype: torch.dtype, capability: Capability, kernels: set[str], of_capability: Callable[[Capability], None]
) -> None:
    of_capability(capability)
    model = _model(dtype)
    nn.Module.to(model, "meta")
    with _Operations() as operations:
        outputs = model.by_route(_batch().to(torch.device("meta")))
        torch.stack([logits.float().square().mean() for logits in outputs.values()]).sum().backward()
    assert {*outputs} == {*CONFIGS, "topic"}
    for name, logits in outputs.items():
        assert logits.shape[-1] == (3 if name == "topic" else 96)
        assert all(
            p.grad is not None and p.grad.dtype == p.dtype for p in model.adapter_parameters(name).values()
        )
    assert {name for name in KERNELS if any(name in called for called in operations.names)} == kernels


@pytest.fixture
def of_capability(monkeypatch: pytest.MonkeyPatch) -> Callable[[Capability], None]:
    """Give the GPU, which is not here, a compute capability."""
    # Autocast knows no meta device; here it is off.
    monkeypatch.setattr(torch, "autocast", lambda device, *args, **options: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    # transformers looks whether rows are packed, and waits for the answer: the one wait of a pass, and not ours.
    monkeypatch.setattr("transformers.masking_utils.find_packed_sequence_indices", lambda position_ids: None)

    def give(capability: Capability) -> None:
        monkeypatch.setattr(routed_linear, "capability_of", lambda device: capability)
        monkeypatch.setattr(attention, "capability_of", lambda device: capability)

    return give
