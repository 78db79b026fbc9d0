"""Every kind of adapter on every architecture: one mixed batch against plain PEFT, sequence by sequence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from all_kinds import ABSENT, BARE, adapters_for, mixed_model, mixed_sequences
from plain_peft import assert_as_near, from_folder, relative_error
from tiny_bases import CASES, Case, by_itself, laid_out, outputs_of, score
from torch import Tensor

from hf_mtl.data import Sequence
from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel

EPSILON = {torch.float64: 1e-10, torch.float32: 1e-5}

pytestmark = [
    # PEFT says of a tied head that merging would be unsafe; nothing is merged here.
    pytest.mark.filterwarnings("ignore:.*tied layer is part of the adapter:UserWarning"),
    # Plain PEFT, when it loads an adapter on both of GPT-2's kinds of layers: one of them is always the other kind.
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to:UserWarning"),
]


Results = dict[str, Tensor]


def _by_routed_pass(model: RoutedModel, sequences: list[Sequence], names: list[str]) -> Results:
    outputs = outputs_of(model, laid_out(model, sequences))
    torch.stack([score(output) for output in outputs.values()]).sum().backward()
    results = {f"row {row}": output.detach() for (_, row), output in outputs.items()}
    for name in names:
        found = {key: p.grad for key, p in model.adapter_parameters(name).items()}
        results |= {f"{name} {key}": grad for key, grad in found.items() if grad is not None}
    return results


def _by_plain_peft(
    case: Case, dtype: torch.dtype, folders: Mapping[str, Path], sequences: list[Sequence]
) -> Results:
    """Each adapter from its exported folder, each sequence by itself."""
    results: Results = {}
    for name in {sequence.route: None for sequence in sequences}:
        plain, parameters = (
            (case.base(dtype), {}) if name == BARE else from_folder(case.base(dtype), folders[name])
        )
        for sequence in (s for s in sequences if s.route == name):
            output = by_itself(plain, sequence)
            results[f"row {sequence.row}"] = output.detach()
            if name != BARE:
                score(output).backward()
        assert name == BARE or any(p.grad is not None for p in parameters.values())
        results |= {f"{name} {key}": p.grad for key, p in parameters.items() if p.grad is not None}
    return results


def _both(architecture: str, dtype: torch.dtype) -> tuple[Results, Results]:
    """By the routed pass and by plain PEFT; what is not in the batch has no gradient."""
    case, adapters = CASES[architecture], adapters_for(CASES[architecture])
    model, names = mixed_model(case.base(dtype), adapters), list(adapters)
    sequences = mixed_sequences(case, names)
    with TemporaryDirectory() as folder:
        places = save_suite(model, Path(folder), processor=None).tasks
        folders = {name: Path(folder) / place for name, place in places.items()}
        expected = _by_plain_peft(case, dtype, folders, sequences)
    actual = _by_routed_pass(model, sequences, names)
    assert actual.keys() == expected.keys()
    assert all(p.grad is None for p in model.adapter_parameters(ABSENT).values())
    trained = {id(p) for name in names for p in model.adapter_parameters(name).values()}
    assert all(p.grad is None for p in model.parameters() if id(p) not in trained)
    return actual, expected


@cache
def _in_double(architecture: str) -> tuple[Results, Results]:
    return _both(architecture, torch.float64)


@pytest.mark.parametrize("dtype", EPSILON, ids=str)
@pytest.mark.parametrize("architecture", CASES)
def test_all_kinds_in_one_batch_equal_plain_peft(architecture: str, dtype: torch.dtype) -> None:
    """Logits or hidden states of every row, and every gradient."""
    actual, expected = _in_double(architecture) if dtype == torch.float64 else _both(architecture, dtype)
    errors = {key: relative_error(actual[key], expected[key]) for key in expected}
    assert (
        min(float(gradient.norm()) for gradient in expected.values()) > 1e-4
    )  # otherwise nothing was compared
    assert max(errors.values()) < EPSILON[dtype], {k: e for k, e in errors.items() if e >= EPSILON[dtype]}


@pytest.mark.parametrize("architecture", CASES)
def test_bf16_is_as_near_to_the_truth_as_plain_peft(architecture: str) -> None:
    """Against float64 with the same weights."""
    _, truth = _in_double(architecture)
    ours, theirs = _both(architecture, torch.bfloat16)
    assert ours.keys() == theirs.keys() == truth.keys()
    assert_as_near(ours, theirs, truth)
