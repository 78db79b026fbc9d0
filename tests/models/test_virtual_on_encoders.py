"""Prefixes and prompts on encoders: what is not seen in the batch of all kinds (test_kinds_by_architecture.py)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
    set_peft_model_state_dict,
)
from plain_peft import for_plain_peft, relative_error, shake
from tiny_bases import CASES, TESTED, by_itself, laid_out, make_sequence, outputs_of, random_ids, score
from torch import Tensor
from transformers import PreTrainedModel

from hf_mtl.data import Sequence
from hf_mtl.errors import ConfigError
from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel

KINDS: dict[str, PeftConfig] = {
    "prefix": PrefixTuningConfig(num_virtual_tokens=4),
    "prompt": PromptTuningConfig(num_virtual_tokens=3),
}
ENCODERS = [name for name in TESTED if "Bert" in name or "Roberta" in name]
BOTH = [(name, kind) for name in ENCODERS for kind in KINDS if (name[:6], kind) != ("Modern", "prefix")]


def _model(name: str) -> RoutedModel:
    model = RoutedModel(CASES[name].base())
    for kind in KINDS:
        if (name, kind) in BOTH:
            model.add_adapter(kind, KINDS[kind])
    case: dict[str, Any] = dict(CASES[name].adapter)
    model.add_adapter("lora", LoraConfig(r=2, init_lora_weights=False, **case))
    return model


def _rows(name: str, kind: str) -> list[Sequence]:
    routes = (kind, "lora", kind, "lora")
    return [make_sequence(CASES[name], route, 6 + 2 * i, row=i) for i, route in enumerate(routes)]


def _states(base: PreTrainedModel | PeftModel, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    output = base(input_ids=tokens, attention_mask=mask)
    states: Tensor = output.logits if "logits" in output else output.last_hidden_state
    return states


def _plain(model: RoutedModel, name: str, kind: str) -> PeftModel:
    plain = get_peft_model(
        for_plain_peft(CASES[name].base()), copy.deepcopy(model.adapter_configs[kind])
    ).double()
    set_peft_model_state_dict(plain, dict(model.adapter_parameters(kind)))
    return plain


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_an_unpacked_call_through_a_route_equals_plain_peft(name: str, kind: str) -> None:
    """Padded rows as well; what comes back has the prompt's outputs in front, as in PEFT."""
    model = _model(name).eval()
    plain = _plain(model, name, kind).eval()
    ids = torch.tensor([random_ids(7, 0), [*random_ids(5, 1), 1, 1]])
    mask = (ids != 1).long()
    for own_mask in (None, mask):
        with model.route(kind) as base:
            ours = _states(base, ids[:1] if own_mask is None else ids, own_mask)
        theirs = _states(plain, ids[:1] if own_mask is None else ids, own_mask)
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
        with model.route(None) as base:
            bare = _states(base, ids[:1] if own_mask is None else ids, own_mask)
        assert not torch.allclose(ours[:, -7:], bare, atol=1e-3)


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_the_exported_folder_loads_as_any_other(name: str, kind: str, tmp_path: Path) -> None:
    model, row = _model(name), make_sequence(CASES[name], kind, 9, row=0)
    shake(model, kind, seed=0)
    save_suite(model, tmp_path, names=[kind], processor=None)
    plain = PeftModel.from_pretrained(for_plain_peft(CASES[name].base()), tmp_path / kind)
    ours = outputs_of(model, laid_out(model, [row]))[kind, 0]
    assert relative_error(ours, by_itself(plain, row)) < 1e-10


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_virtual_tokens_are_seen_by_their_own_sequences_only(name: str, kind: str) -> None:
    model, rows = _model(name), _rows(name, kind)
    before = outputs_of(model, laid_out(model, rows))
    model.adapter_parameters(kind)["prompt_embeddings"].data.neg_()
    after = outputs_of(model, laid_out(model, rows))
    assert all(len(after[s.route, s.row]) == len(before[s.route, s.row]) for s in rows)
    for row in before:
        assert (row[0] == kind) != torch.allclose(after[row], before[row], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_checkpointing_changes_nothing(name: str, kind: str) -> None:
    model, rows = _model(name).train(), _rows(name, kind)

    def gradients() -> Iterator[Tensor]:
        model.zero_grad()
        torch.stack([score(o) for o in outputs_of(model, laid_out(model, rows)).values()]).sum().backward()
        return (p.grad for p in model.parameters() if p.grad is not None)

    plain = [gradient.clone() for gradient in gradients()]
    model.activation_checkpointing_enable()
    # A pooler that no head stands on is not run.
    assert len(plain) == 1 + sum("pooler" not in key for key in model.adapter_parameters("lora"))
    torch.testing.assert_close(list(gradients()), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_a_stack_with_lora_adds_both(name: str, kind: str) -> None:
    """A LoRA of which B is zero changes nothing beside virtual tokens; any other one does."""
    model = _model(name)
    model.add_route("stack", {kind: 1.0, "lora": 1.0})
    row = make_sequence(CASES[name], kind, 9, row=0)
    stacked = make_sequence(CASES[name], "stack", 9, row=0)
    alone = outputs_of(model, laid_out(model, [row]))[kind, 0]
    together = outputs_of(model, laid_out(model, [stacked]))["stack", 0]
    assert not torch.allclose(together, alone, atol=1e-3)
    for key, parameter in model.adapter_parameters("lora").items():
        if "lora_B" in key:
            parameter.data.zero_()
    neutral = outputs_of(model, laid_out(model, [stacked]))["stack", 0]
    torch.testing.assert_close(neutral, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("task_type", ["CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS"])
def test_the_task_type_is_the_bases(task_type: str) -> None:
    """Plain PEFT has no wrapper for masked language models but the one for feature extraction."""
    model = RoutedModel(CASES["BertForMaskedLM"].base())
    config = PrefixTuningConfig(num_virtual_tokens=2, task_type=task_type)
    with pytest.raises(ConfigError, match=f"'{task_type}'.*a BertForMaskedLM; expected 'FEATURE_EXTRACTION'"):
        model.add_adapter("new", config)
    model.add_adapter("given", PrefixTuningConfig(num_virtual_tokens=2, task_type="FEATURE_EXTRACTION"))
    model.add_adapter("open", PromptTuningConfig(num_virtual_tokens=2))
    assert {config.task_type for config in model.adapter_configs.values()} == {"FEATURE_EXTRACTION"}
