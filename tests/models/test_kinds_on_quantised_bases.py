"""Every kind of adapter on bases quantised by bitsandbytes: one mixed batch against plain PEFT on the same base.

In training both sides de-quantise to the very same weights, in 4 bits and, on the CPU, in 8 bits too, and multiply in
the base's dtype. So the fp32 tolerance holds as on any other base. In bf16, as QLoRA computes, both sides are measured
against the fp32 result: ours may be no farther from it than plain PEFT's by more than the scatter of rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from all_kinds import ABSENT, BARE, adapters_for, mixed_model, mixed_sequences
from plain_peft import assert_as_near, from_folder, relative_error
from tiny_bases import CASES, TESTED, by_itself, laid_out, outputs_of, score
from torch import Tensor
from transformers import AutoModel, BitsAndBytesConfig, PreTrainedModel

from hf_mtl.adapters import quantised_layers
from hf_mtl.data import Sequence
from hf_mtl.export import save_suite

pytestmark = pytest.mark.filterwarnings("ignore:.*tied layer is part of the adapter:UserWarning")
pytest.importorskip("bitsandbytes", reason="needs pip install hf-mtl[4bit]")

SOME = ["LlamaForCausalLM", "Qwen2ForCausalLM", "BertForMaskedLM"]
BASES = [name for name, case in TESTED.items() if case.auto is not AutoModel]  # with a vocabulary head


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    for name in BASES:
        CASES[name].base(torch.float32).save_pretrained(folder / name)
    return folder


def _base(folder: Path, name: str, bits: int, dtype: torch.dtype) -> PreTrainedModel:
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": dtype}
    config = (
        BitsAndBytesConfig(load_in_4bit=True, **four) if bits == 4 else BitsAndBytesConfig(load_in_8bit=True)
    )
    base: PreTrainedModel = CASES[name].auto.from_pretrained(
        folder / name, dtype=dtype, quantization_config=config
    )
    # An evaluation pass would repack the weights on some CPUs, after which bitsandbytes gives no gradients.
    base.train()
    return base


def gradients_of(route: str, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{route} {key}": p.grad for key, p in parameters.items() if p.grad is not None}


def _by_plain_peft(
    base: PreTrainedModel, folder: Path | None, sequences: list[Sequence]
) -> dict[str, Tensor]:
    """Logits by row and gradients by key of one route; without a folder, of the bare base."""
    plain, parameters = (base, {}) if folder is None else from_folder(base, folder)
    plain.train()
    results = {}
    for sequence in sequences:
        output = by_itself(plain, sequence)
        results[f"row {sequence.row}"] = output.detach()
        if folder is not None:
            score(output).backward()
    return results | gradients_of(sequences[0].route, parameters)


def _both(
    folders: Path, name: str, bits: int, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """By the routed pass and by plain PEFT with the exported folders, where that runs."""
    adapters = adapters_for(CASES[name], quantised=bits)
    model = mixed_model(_base(folders, name, bits, dtype), adapters).train()
    sequences = mixed_sequences(CASES[name], list(adapters))
    assert len(quantised_layers(model)) >= 8
    outputs = outputs_of(model, laid_out(model, sequences))
    torch.stack([score(output) for output in outputs.values()]).sum().backward()
    assert all(p.grad is None for p in model.adapter_parameters(ABSENT).values())
    ours = {f"row {row}": output.detach() for (_, row), output in outputs.items()}
    theirs: dict[str, Tensor] = {}
    with TemporaryDirectory() as suite:
        manifest = save_suite(model, Path(suite), processor=None)
        for route in [*adapters, BARE]:
            own = [sequence for sequence in sequences if sequence.route == route]
            folder = None if route == BARE else Path(suite) / manifest.tasks[route]
            if route == "ia3" and dtype != torch.float32:
                continue  # plain PEFT gives attention fp32 queries beside half-precision keys, which fails
            theirs |= _by_plain_peft(_base(folders, name, bits, dtype), folder, own)
    for route in adapters:
        ours |= gradients_of(route, model.adapter_parameters(route))
    return ours, theirs


@pytest.mark.parametrize(("name", "bits"), [(name, 4) for name in BASES] + [(name, 8) for name in SOME])
def test_all_kinds_in_one_batch_equal_plain_peft(folders: Path, name: str, bits: int) -> None:
    ours, theirs = _both(folders, name, bits, torch.float32)
    assert ours.keys() == theirs.keys()
    errors = {key: relative_error(ours[key], theirs[key]) for key in theirs}
    assert min(float(tensor.norm()) for tensor in theirs.values()) > 1e-4  # otherwise nothing was compared
    assert max(errors.values()) < 1e-5, {key: error for key, error in errors.items() if error >= 1e-5}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", SOME)
def test_bf16_is_as_near_to_fp32_as_plain_peft(folders: Path, name: str, bits: int) -> None:
    _, truth = _both(folders, name, bits, torch.float32)
    ours, theirs = _both(folders, name, bits, torch.bfloat16)
    assert ours.keys() == truth.keys()
    assert {key.split()[0] for key in ours.keys() - theirs.keys()} == {"row", "ia3"}
    assert_as_near(ours, theirs, truth)
