"""The routed pass against plain PEFT on the same device. The GPU's cases have not been run yet; the CPU's always are.

python -m pytest -m gpu tests
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from decoding_cases import letters
from devices import GPU, on_every_device
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from hf_mtl.adapters import Term, segment_delta
from hf_mtl.adapters.grouped import grouped_delta
from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.models import Decoder, GenerationRequest, GenerationSettings, RoutedModel
from hf_mtl.models.attention import _flash, _Form, _one_by_one
from hf_mtl.training import TaskSettings
from hf_mtl.training.optimization import TaskOptimizer

NAMES = ("a", "b")
LENGTHS = {("a", 0): 33, ("b", 1): 7, ("a", 2): 64, ("b", 3): 130}

Lengths = tuple[tuple[int, ...], tuple[int, ...]]
Kernel = Callable[[Tensor, Tensor, Tensor, Lengths, _Form], Tensor]
Results = tuple[dict[tuple[str, int], Tensor], dict[str, Tensor]]  # logits by row, gradients by key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "llama"
    config = LlamaConfig(
        vocab_size=97, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def _base(folder: Path, device: str, dtype: torch.dtype, quantised: bool = False) -> PreTrainedModel:
    options: dict[str, Any] = {}
    if quantised:
        pytest.importorskip("bitsandbytes", reason="needs pip install hf-mtl[4bit]")
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, device_map={"": device}, **options
    )
    return base


def _routed(folder: Path, device: str, dtype: torch.dtype, quantised: bool = False) -> RoutedModel:
    model = RoutedModel(_base(folder, device, dtype, quantised))
    for i, name in enumerate(NAMES):
        model.add_adapter(name, LoraConfig(r=4 + 4 * i, target_modules="all-linear", init_lora_weights=False))
    return model.train()


def _batch(device: str) -> PackedBatch:
    generator = torch.Generator().manual_seed(0)
    chunks = []
    for (name, row), length in LENGTHS.items():
        ids = torch.randint(0, 97, (length,), generator=generator).tolist()
        chunks.append(Chunk(name, [Sequence.next_token(name, ids, ids, row=row)]))
    return pack(chunks).to(torch.device(device))


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.float().clone()


def _run_routed(model: RoutedModel, device: str) -> Results:
    batch = _batch(device)
    model.zero_grad()
    logits = model(batch)
    assert logits.device.type == device
    logits.float().square().mean().backward()
    parts = dict(zip(batch.rows, logits.detach().float().split(batch.label_counts), strict=True))
    return parts, {f"{n}/{k}": _gradient(p) for n in NAMES for k, p in model.adapter_parameters(n).items()}


def _run_plain(
    folder: Path, device: str, dtype: torch.dtype, model: RoutedModel, quantised: bool = False
) -> Results:
    batch = _batch(device)
    parts: dict[tuple[str, int], Tensor] = {}
    gradients: dict[str, Tensor] = {}
    sequences = dict(zip(batch.rows, batch.input_ids.split(batch.lengths), strict=True))
    elements = sum(batch.label_counts) * 97
    for name in NAMES:
        plain: PeftModel = get_peft_model(
            _base(folder, device, dtype, quantised), copy.deepcopy(model.adapter_configs[name])
        ).train()
        parameters = dict(plain.named_parameters())
        keys = {key: key.replace(".weight", ".default.weight") for key in model.adapter_parameters(name)}
        with torch.no_grad():
            for key, parameter in model.adapter_parameters(name).items():
                parameters[keys[key]].copy_(parameter)
        for row in (row for row in sequences if row[0] == name):
            logits = plain(sequences[row][None]).logits[0, :-1]
            (logits.float().square().sum() / elements).backward()
            parts[row] = logits.detach().float()
        gradients |= {f"{name}/{key}": _gradient(parameters[keys[key]]) for key in keys}
    return parts, gradients


def _distance(left: Mapping[Any, Tensor], right: Mapping[Any, Tensor]) -> float:
    """The error of all tensors together, relative to their norm."""
    keys: list[Hashable] = list(right)
    error = sum(float((left[key] - right[key]).square().sum()) for key in keys)
    return float((error / sum(float(value.square().sum()) for value in right.values())) ** 0.5)


def _assert_near(ours: Results, theirs: Results, tolerance: float) -> None:
    assert _distance(ours[0], theirs[0]) <= tolerance
    assert _distance(ours[1], theirs[1]) <= tolerance


@on_every_device
def test_fp32_equals_plain_peft(folder: Path, device: str) -> None:
    assert torch.get_float32_matmul_precision() == "highest"  # no TF32
    model = _routed(folder, device, torch.float32)
    _assert_near(_run_routed(model, device), _run_plain(folder, device, torch.float32, model), 1e-5)


@pytest.mark.parametrize("quantised", [False, True])
@on_every_device
def test_half_precision_is_as_exact_as_plain_peft(folder: Path, device: str, quantised: bool) -> None:
    """Two roundings of one computation: each factor to 2^-9, over two layers; 3 % of the norm."""
    model = _routed(folder, device, torch.bfloat16, quantised)
    plain = _run_plain(folder, device, torch.bfloat16, model, quantised)
    _assert_near(_run_routed(model, device), plain, 0.03)


def _attended(kernel: Kernel, device: str, form: _Form, prefix: int) -> list[Tensor]:
    """The output and the gradients of queries, keys and values; fewer heads of keys than of queries."""
    lengths = tuple(LENGTHS.values())
    seen = tuple(length + prefix for length in lengths)
    generator = torch.Generator().manual_seed(0)
    leaves = [
        torch.randn(1, heads, tokens, 64, generator=generator).to(device, torch.bfloat16).requires_grad_()
        for heads, tokens in ((4, sum(lengths)), (2, sum(seen)), (2, sum(seen)))
    ]
    query, key, value = leaves
    output = kernel(query, key, value, (lengths, seen), form)
    return [output, *torch.autograd.grad(output.float().square().sum(), leaves)]


FORMS = [
    (_Form(True, None, 0.125), 0),
    (_Form(True, None, 0.125), 5),
    (_Form(True, 16, 0.125), 0),
    (_Form(True, 16, 0.125), 5),
    (_Form(False, None, None), 0),
    (_Form(False, 16, None), 0),
]


@pytest.mark.parametrize(("form", "prefix"), FORMS)
@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=GPU)])
def test_packed_flash_attention_equals_one_by_one(device: str, form: _Form, prefix: int) -> None:
    """The kernel is CUDA's alone. On the meta device its call is checked all the same: arguments, dtypes, shapes."""
    flash = _attended(_flash, device, form, prefix)
    single = _attended(_one_by_one, "cpu" if device == "meta" else device, form, prefix)
    for ours, theirs in zip(flash, single, strict=True):
        assert (ours.shape, ours.dtype, ours.device.type) == (theirs.shape, theirs.dtype, device)
        if device == "cuda":
            assert (ours.float() - theirs.float()).norm() <= 0.02 * theirs.float().norm()


@on_every_device
def test_grouped_products_equal_segments(device: str) -> None:
    torch.manual_seed(0)
    terms = [
        Term(
            start,
            stop,
            0.5,
            (torch.randn(rank, 256, device=device) / 16).requires_grad_(),
            torch.randn(128, rank, device=device).requires_grad_(),
        )
        for start, stop, rank in ((0, 7, 8), (7, 7, 8), (7, 40, 4), (41, 64, 16))
    ]
    x = torch.randn(64, 256, device=device, dtype=torch.bfloat16, requires_grad=True)
    used = [term for term in terms if term.stop > term.start]
    leaves = [x, *(t.a_RI for t in used), *(t.b_OR for t in used)]
    results = []
    for function in (segment_delta, grouped_delta):
        y = function(torch.zeros(64, 128, device=device, dtype=torch.bfloat16), x, terms)
        results.append((y, *torch.autograd.grad(y.float().square().sum(), leaves)))
    for segments, grouped in zip(*results, strict=True):
        assert (grouped.float() - segments.float()).norm() <= 0.02 * segments.float().norm()


@on_every_device
def test_checkpointing_changes_nothing(folder: Path, device: str) -> None:
    model = _routed(folder, device, torch.float32)
    kept = _run_routed(model, device)
    model.activation_checkpointing_enable()
    _assert_near(_run_routed(model, device), kept, 1e-6)


@on_every_device
def test_generation_through_a_route(folder: Path, device: str) -> None:
    model = _routed(folder, device, torch.bfloat16).eval()
    tokens = torch.tensor([[1, 2, 3]], device=device)
    with model.route("a") as base:
        output = _generated(base, tokens, 4)
        bare = base(tokens).logits
    with model.route(None) as base:
        assert not torch.equal(base(tokens).logits, bare)
    assert output.device.type == device and output.shape == (1, 7)


def _generated(base: Any, tokens: Tensor, new: int) -> Tensor:
    written: Tensor = base.generate(
        tokens, max_new_tokens=new, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    return written


@pytest.mark.parametrize("quantised", [False, True])
@on_every_device
def test_mixed_decoding_writes_what_each_route_writes_alone(
    folder: Path, device: str, quantised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32; on a quantised base too, whose layers give the same for one row and for many."""
    if quantised and device == "cpu":
        # On some CPUs it evaluates 4-bit layers in bf16, whose rounding turns with the number of rows.
        monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)
    model = _routed(folder, device, torch.float32, quantised).eval()
    settings = GenerationSettings(max_new_tokens=12)
    requests = [
        GenerationRequest(route, (3 + i, 5, 7), settings) for i, route in enumerate((*NAMES, None) * 3)
    ]
    tokenizer = letters()
    assert model.base.generation_config is not None
    model.base.generation_config.eos_token_id = None  # so that all write as many
    together = Decoder(model, tokenizer).generate(requests)
    for request, answer in zip(requests, together, strict=True):
        with model.route(request.route) as base:
            output = _generated(base, torch.tensor([request.input_ids], device=device), 12)
        assert answer.token_ids == tuple(output[0, 3:].tolist())


@on_every_device
def test_the_flat_fused_optimizer_equals_the_ordinary_one(device: str) -> None:
    torch.manual_seed(0)
    values = [torch.randn(8, 33), torch.randn(65, 8)]
    settings = TaskSettings(
        batch_size=2, steps=10, learning_rate=1e-2, lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.1,
        max_grad_norm=1.0,
    )  # fmt: skip
    flat, single = ([nn.Parameter(value.to(device, copy=True)) for value in values] for _ in range(2))
    named = {f"{i}.weight": parameter for i, parameter in enumerate(flat)}
    task = TaskOptimizer(named, settings, lambda groups: torch.optim.AdamW(groups, fused=True))
    optimizer = torch.optim.AdamW(single, lr=1e-2, weight_decay=0.1, fused=False)
    for _ in range(3):
        task.start_round()
        optimizer.zero_grad()
        for parameters in (flat, single):
            torch.stack([(p * p).sum() for p in parameters]).sum().backward()
        task.clip(task.norm().item())
        torch.nn.utils.clip_grad_norm_(single, 1.0)
        task.step()
        optimizer.step()
    for ours, theirs in zip(flat, single, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
