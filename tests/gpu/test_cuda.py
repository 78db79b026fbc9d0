"""The routed pass on CUDA against plain PEFT on CUDA. Written without a GPU at hand: these tests have not been run yet.

python -m pytest -m gpu tests/gpu
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from decoding_cases import letters
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from hf_mtl.adapters import RoutedPass, Term, install, segment_delta
from hf_mtl.adapters.grouped import grouped_delta
from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.models import Decoder, GenerationRequest, GenerationSettings, RoutedModel
from hf_mtl.models.attention import _flash, _one_by_one
from hf_mtl.training.optimization import TaskOptimizer
from hf_mtl.training.settings import TaskSettings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

NAMES = ("a", "b")
LENGTHS = {("a", 0): 33, ("b", 1): 7, ("a", 2): 64, ("b", 3): 130}


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


def _base(folder: Path, dtype: torch.dtype, quantised: bool = False) -> PreTrainedModel:
    options = {}
    if quantised:
        pytest.importorskip("bitsandbytes", reason="needs pip install hf-mtl[4bit]")
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
        options["device_map"] = {"": 0}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options).to("cuda")


def _routed(folder: Path, dtype: torch.dtype, quantised: bool = False) -> RoutedModel:
    model = RoutedModel(_base(folder, dtype, quantised))
    for i, name in enumerate(NAMES):
        model.add_adapter(name, LoraConfig(r=4 + 4 * i, target_modules="all-linear", init_lora_weights=False))
    return model.to("cuda").train()


def _batch() -> PackedBatch:
    generator = torch.Generator().manual_seed(0)
    chunks = []
    for (name, row), length in LENGTHS.items():
        ids = torch.randint(0, 97, (length,), generator=generator).tolist()
        chunks.append(Chunk(name, [Sequence.next_token(name, ids, ids, row=row)]))
    return pack(chunks).to(torch.device("cuda"))


def _run_routed(model: RoutedModel) -> tuple[dict[tuple[str, int], Tensor], dict[str, Tensor]]:
    batch = _batch()
    model.zero_grad()
    logits = model(batch)
    logits.float().square().mean().backward()
    parts = dict(zip(batch.rows, logits.detach().float().split(batch.label_counts), strict=True))
    return parts, {f"{n}/{k}": p.grad.clone() for n in NAMES for k, p in model.adapter_parameters(n).items()}


def _run_plain(
    folder: Path, dtype: torch.dtype, model: RoutedModel, quantised: bool = False
) -> tuple[dict[tuple[str, int], Tensor], dict[str, Tensor]]:
    batch, parts, gradients = _batch(), {}, {}
    sequences = dict(zip(batch.rows, batch.input_ids.split(batch.lengths), strict=True))
    elements = sum(batch.label_counts) * 97
    for name in NAMES:
        plain: PeftModel = get_peft_model(
            _base(folder, dtype, quantised), copy.deepcopy(model.adapter_configs[name])
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
        gradients |= {f"{name}/{key}": parameters[keys[key]].grad.float() for key in keys}
    return parts, gradients


def _distance(left: dict, right: dict) -> float:
    """The error of all tensors together, relative to their norm."""
    error = sum(float((left[key] - right[key]).square().sum()) for key in right)
    return (error / sum(float(value.square().sum()) for value in right.values())) ** 0.5


def test_fp32_equals_plain_peft(folder: Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    model = _routed(folder, torch.float32)
    for routed, plain in zip(_run_routed(model), _run_plain(folder, torch.float32, model), strict=True):
        assert _distance(routed, plain) <= 1e-5


@pytest.mark.parametrize("quantised", [False, True])
def test_half_precision_is_as_exact_as_plain_peft(folder: Path, quantised: bool) -> None:
    """Two roundings of one computation: each factor to 2^-9, over two layers; 3 % of the norm."""
    model = _routed(folder, torch.bfloat16, quantised)
    plain = _run_plain(folder, torch.bfloat16, model, quantised)
    for routed, expected in zip(_run_routed(model), plain, strict=True):
        assert _distance(routed, expected) <= 0.03


@pytest.mark.parametrize("window", [None, 16])
def test_packed_flash_attention_equals_one_by_one(window: int | None) -> None:
    lengths = tuple(LENGTHS.values())
    shapes = ((4, 64), (2, 64), (2, 64))
    leaves = [
        torch.randn(1, heads, sum(lengths), width, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        for heads, width in shapes
    ]
    results = []
    for kernel in (_flash, _one_by_one):
        output = kernel(*leaves, lengths, 0.125, window)
        results.append((output, *torch.autograd.grad(output.float().square().sum(), leaves)))
    for flash, single in zip(*results, strict=True):
        assert (flash.float() - single.float()).norm() <= 0.02 * single.float().norm()


def test_grouped_products_equal_segments() -> None:
    terms = [
        Term(
            start,
            stop,
            0.5,
            (torch.randn(rank, 256, device="cuda") / 16).requires_grad_(),
            torch.randn(128, rank, device="cuda").requires_grad_(),
        )
        for start, stop, rank in ((0, 7, 8), (7, 7, 8), (7, 40, 4), (41, 64, 16))
    ]
    x = torch.randn(64, 256, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    used = [term for term in terms if term.stop > term.start]
    leaves = [x, *(t.a_RI for t in used), *(t.b_OR for t in used)]
    results = []
    for function in (segment_delta, grouped_delta):
        y = function(torch.zeros(64, 128, device="cuda", dtype=torch.bfloat16), x, terms)
        results.append((y, *torch.autograd.grad(y.float().square().sum(), leaves)))
    for segments, grouped in zip(*results, strict=True):
        assert (grouped.float() - segments.float()).norm() <= 0.02 * segments.float().norm()


def test_checkpointing_changes_nothing(folder: Path) -> None:
    model = _routed(folder, torch.float32)
    plain = _run_routed(model)
    model.activation_checkpointing_enable()
    for recomputed, kept in zip(_run_routed(model), plain, strict=True):
        assert _distance(recomputed, kept) <= 1e-6


def test_generation_runs_through_a_route(folder: Path) -> None:
    model = _routed(folder, torch.bfloat16).eval()
    with install(RoutedPass(everywhere=(("mtl_0", 1.0),))):
        output = model.base.generate(
            torch.tensor([[1, 2, 3]], device="cuda"), max_new_tokens=4, do_sample=False, pad_token_id=0
        )
    assert output.shape[1] <= 7


@pytest.mark.parametrize("quantised", [False, True])
def test_mixed_decoding_writes_what_each_route_writes_alone(folder: Path, quantised: bool) -> None:
    """In fp32; on a quantised base too, whose layers give the same for one row and for many."""
    model = _routed(folder, torch.float32, quantised).eval()
    settings = GenerationSettings(max_new_tokens=12)
    requests = [
        GenerationRequest(route, (3 + i, 5, 7), settings) for i, route in enumerate((*NAMES, None) * 3)
    ]
    together = Decoder(model, letters()).generate(requests)
    for request, answer in zip(requests, together, strict=True):
        with model.route(request.route) as base:
            output = base.generate(
                torch.tensor([request.input_ids], device="cuda"),
                max_new_tokens=12,
                do_sample=False,
                pad_token_id=0,
            )
        assert answer.token_ids == tuple(output[0, 3:].tolist())


def test_the_flat_fused_optimizer_equals_the_ordinary_one() -> None:
    values = [torch.randn(8, 33), torch.randn(65, 8)]
    settings = TaskSettings(2, 10, 1e-2, "constant", 0.0, 0.1, 1.0)
    flat = [nn.Parameter(value.cuda()) for value in values]
    single = [nn.Parameter(value.cuda()) for value in values]
    named = {f"{i}.weight": parameter for i, parameter in enumerate(flat)}
    task = TaskOptimizer(named, settings, lambda groups: torch.optim.AdamW(groups, fused=True))
    optimizer = torch.optim.AdamW(single, lr=1e-2, weight_decay=0.1, fused=False)
    for _ in range(3):
        task.start_round()
        optimizer.zero_grad()
        for parameters in (flat, single):
            sum((p * p).sum() for p in parameters).backward()
        task.clip(task.norm().item())
        torch.nn.utils.clip_grad_norm_(single, 1.0)
        task.step()
        optimizer.step()
    for ours, theirs in zip(flat, single, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
