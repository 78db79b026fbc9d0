"""Private heads on every device against the CPU in fp32. The GPU's cases have not been run yet.

python -m pytest -m gpu tests
"""

from __future__ import annotations

import pytest
import torch
from devices import on_every_device
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM

from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models import RoutedModel

SHAPES = {"topic": HeadShape.SEQUENCE, "tags": HeadShape.TOKEN, "span": HeadShape.SPAN, "text": None}


def _model(device: str, dtype: torch.dtype) -> RoutedModel:
    config = LlamaConfig(
        vocab_size=97, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    torch.manual_seed(0)
    base = LlamaForCausalLM(config)
    base.to(dtype)  # type: ignore[arg-type]  # transformers wraps `to` without its self
    model = RoutedModel(base)
    for name, shape in SHAPES.items():
        lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        model.add_adapter(name, lora, head=None if shape is None else HeadSpec(shape, 2))
    return model.to(device).train()


def _batch() -> PackedBatch:
    generator = torch.Generator().manual_seed(0)
    chunks = []
    for row, (name, shape) in enumerate(SHAPES.items()):
        ids = torch.randint(0, 97, (20 + 7 * row,), generator=generator).tolist()
        if shape is None:
            chunks.append(Chunk(name, [Sequence.next_token(name, ids, ids, row=row)]))
            continue
        places = [len(ids) - 1] if shape is HeadShape.SEQUENCE else list(range(len(ids)))
        chunks.append(Chunk(name, [Sequence(name, ids, places, [0] * len(places), row, head=shape)]))
    return pack(chunks)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])
@on_every_device
def test_every_kind_of_head_gives_what_it_gives_on_the_cpu_in_fp32(
    device: str, dtype: torch.dtype, tolerance: float
) -> None:
    expected = _model("cpu", torch.float32).by_route(_batch())
    model = _model(device, dtype)
    found = model.by_route(_batch().to(model.device))
    assert found.keys() == expected.keys()
    for name, logits in expected.items():
        assert found[name].device.type == device
        difference = (found[name].float().cpu() - logits).norm() / logits.norm()
        assert difference < tolerance, name


@on_every_device
def test_heads_stay_in_full_precision_and_get_gradients(device: str) -> None:
    model = _model(device, torch.bfloat16)
    outputs = model.by_route(_batch().to(model.device))
    torch.stack([logits.float().square().mean() for logits in outputs.values()]).sum().backward()
    for name in ("topic", "tags", "span"):
        heads = {k: p for k, p in model.adapter_parameters(name).items() if "lora" not in k}
        assert heads and all(p.dtype == torch.float32 and p.grad is not None for p in heads.values())
