"""The routed pass: sequences apart, adapters apart, nothing silent."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import LoHaConfig, LoraConfig, PeftModel, get_peft_model
from tiny_decoders import DECODERS
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedModel,
)

from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.errors import ConfigError, RoutingError
from hf_mtl.models import RoutedModel

NAMES = ("mlp", "q&a", "layers")  # two of them are parts of paths in the base


def _base(kind: str = "llama", dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    torch.manual_seed(0)
    base: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(DECODERS[kind])).to(dtype)
    return base


def _lora(rank: int = 4) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)


def _model(kind: str = "llama", dtype: torch.dtype = torch.float64) -> RoutedModel:
    model = RoutedModel(_base(kind, dtype))
    for i, name in enumerate(NAMES):
        model.add_adapter(name, _lora(2 + i))
    return model


def _sequence(route: str, length: int, seed: int) -> Sequence:
    ids = torch.randint(0, 97, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return Sequence.next_token(route, ids, ids, row=seed)


def _packed(sequences: list[Sequence]) -> PackedBatch:
    return pack([Chunk(sequence.route, [sequence]) for sequence in sequences])


def _gradients(model: RoutedModel) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


MIXED = [_sequence("mlp", 9, 1), _sequence("q&a", 5, 2), _sequence("mlp", 12, 3), _sequence("layers", 7, 4)]


@pytest.mark.parametrize("kind", DECODERS)
def test_packed_pass_equals_plain_peft_one_by_one(kind: str, tmp_path: Path) -> None:
    model = _model(kind)
    batch = _packed(MIXED)
    logits = model(batch)
    logits.sum().backward()
    routed = _gradients(model)
    parts = dict(zip(batch.rows, logits.split(batch.label_counts), strict=True))
    total = dict.fromkeys(NAMES, 0)
    for name in NAMES:
        config = copy.deepcopy(model.adapter_configs[name])
        plain = get_peft_model(_base(kind), config)
        plain_parameters = dict(plain.named_parameters())
        keys = {key: key.replace(".weight", ".default.weight") for key in model.adapter_parameters(name)}
        with torch.no_grad():
            for key, parameter in model.adapter_parameters(name).items():
                plain_parameters[keys[key]].copy_(parameter)
        for sequence in (s for s in MIXED if s.route == name):
            expected = plain(torch.tensor([sequence.input_ids])).logits[0, :-1]
            torch.testing.assert_close(parts[name, sequence.row], expected, rtol=1e-10, atol=1e-10)
            expected.sum().backward()
        for key, parameter in model.adapter_parameters(name).items():
            torch.testing.assert_close(
                parameter.grad, plain_parameters[keys[key]].grad, rtol=1e-9, atol=1e-10
            )
            total[name] += 1
    assert total == {"mlp": 28, "q&a": 28, "layers": 28}
    assert len(routed) == sum(total.values())


def test_sequences_cannot_see_each_other() -> None:
    model = _model()
    changed = [*MIXED[:2], _sequence("mlp", 15, 99), MIXED[3]]
    outputs = []
    for sequences in (MIXED, changed):
        batch = _packed(sequences)
        parts = model(batch).split(batch.label_counts)
        outputs.append({row: part.detach() for row, part in zip(batch.rows, parts, strict=True)})
    for sequence in (MIXED[0], MIXED[1], MIXED[3]):
        row = (sequence.route, sequence.row)
        torch.testing.assert_close(outputs[0][row], outputs[1][row], rtol=1e-12, atol=1e-12)


def test_gradients_come_from_the_own_sequence_only() -> None:
    model = _model()
    batch = _packed(MIXED)
    parts = dict(zip(batch.rows, model(batch).split(batch.label_counts), strict=True))
    parts["q&a", 2].sum().backward()
    together = {key: p.grad for key, p in model.adapter_parameters("q&a").items()}
    others = [*model.adapter_parameters("layers").values(), *model.adapter_parameters("mlp").values()]
    assert all(p.grad is None or not p.grad.any() for p in others)
    model.zero_grad()
    model(_packed([MIXED[1]])).sum().backward()
    for key, parameter in model.adapter_parameters("q&a").items():
        torch.testing.assert_close(together[key], parameter.grad, rtol=1e-10, atol=1e-12)


def test_absent_adapters_get_no_gradient_at_all() -> None:
    model = _model()
    model(_packed([MIXED[1]])).sum().backward()
    assert all(p.grad is not None for p in model.adapter_parameters("q&a").values())
    for name in ("mlp", "layers"):
        assert all(p.grad is None for p in model.adapter_parameters(name).values())
    assert all(p.grad is None for p in model.base.parameters() if not p.requires_grad)


def test_checkpointing_recomputes_under_the_route() -> None:
    model = _model()
    model(_packed(MIXED)).sum().backward()
    plain = _gradients(model)
    model.zero_grad()
    model.activation_checkpointing_enable()
    model.train()
    model(_packed(MIXED)).sum().backward()
    torch.testing.assert_close(_gradients(model), plain, rtol=1e-12, atol=1e-12)
    with pytest.raises(ConfigError, match="use_reentrant=False"):
        model.activation_checkpointing_enable({"use_reentrant": True})


def test_head_runs_on_labelled_tokens_only() -> None:
    sequence = _sequence("mlp", 9, 1)
    labelled = Sequence("mlp", sequence.input_ids, [3, 7], [0, 0], row=0)
    model = _model()
    torch.testing.assert_close(model(_packed([labelled])), model(_packed([sequence]))[[3, 7]])


def test_dropout_masks_belong_to_the_row() -> None:
    model = RoutedModel(_base())
    for name in ("a", "b"):
        model.add_adapter(
            name, LoraConfig(r=4, lora_dropout=0.5, target_modules="all-linear", init_lora_weights=False)
        )
    model.train()
    rows = [
        Sequence.next_token(route, s.input_ids, s.input_ids, row=i, dropout_key=1000 + i)
        for i, (route, s) in enumerate(zip("abab", MIXED, strict=True))
    ]
    together = _packed(rows)
    parts = dict(zip(together.rows, model(together).split(together.label_counts), strict=True))
    for row in rows:
        alone = model(_packed([row]))
        torch.testing.assert_close(parts[row.route, row.row], alone, rtol=1e-12, atol=1e-12)
    other_step = Sequence(
        "a", rows[0].input_ids, rows[0].label_positions, rows[0].label_ids, 0, dropout_key=7
    )
    assert not torch.allclose(model(_packed([other_step])), parts["a", 0])
    model.eval()
    assert not torch.allclose(model(_packed([rows[0]])), parts["a", 0])


def test_a_stack_adds_its_adapters_effects() -> None:
    model, sequence = _model(), MIXED[1]
    model.add_route("both", {"q&a": 1.0, "layers": 0.25})
    model.add_route("none", {})
    rows = [
        Sequence(route, sequence.input_ids, [3], [0], row=i)
        for i, route in enumerate(("both", "none", "q&a"))
    ]
    batch = _packed(rows)
    parts = dict(zip(batch.rows, model(batch), strict=True))
    folded = get_peft_model(_base(), copy.deepcopy(model.adapter_configs["q&a"]), adapter_name="x")
    folded.add_adapter("y", copy.deepcopy(model.adapter_configs["layers"]))
    parameters = dict(folded.named_parameters())
    with torch.no_grad():
        for name, inner in (("q&a", "x"), ("layers", "y")):
            for key, parameter in model.adapter_parameters(name).items():
                parameters[key.replace(".weight", f".{inner}.weight")].copy_(parameter)
    folded.add_weighted_adapter(["x", "y"], [1.0, 0.25], "sum", combination_type="cat")
    folded.set_adapter("sum")
    tokens = torch.tensor([sequence.input_ids])
    torch.testing.assert_close(parts["both", 0], folded(tokens).logits[0, 3], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(parts["none", 1], _base()(tokens).logits[0, 3], rtol=1e-10, atol=1e-10)
    folded.set_adapter("x")
    torch.testing.assert_close(parts["q&a", 2], folded(tokens).logits[0, 3], rtol=1e-10, atol=1e-10)


def test_everything_unrouted_is_refused() -> None:
    model = _model()
    with pytest.raises(RoutingError, match=r"with model\.route\('task'\)"):
        model.base(torch.tensor([[1, 2, 3]]))
    with pytest.raises(ConfigError, match="no route 'layer'.*Did you mean 'layers'"):
        model(_packed([_sequence("layer", 4, 1)]))


def test_route_none_is_the_bare_base() -> None:
    model, tokens = _model(), torch.tensor([[5, 6, 7, 8]])
    with model.route(None) as base:
        bare = base(tokens).logits
    torch.testing.assert_close(bare, _base()(tokens).logits, rtol=1e-12, atol=1e-12)


def test_generation_through_a_route_equals_plain_peft() -> None:
    model = _model(dtype=torch.float32)
    plain = get_peft_model(_base(dtype=torch.float32), copy.deepcopy(model.adapter_configs["q&a"]))
    with torch.no_grad():
        for key, parameter in model.adapter_parameters("q&a").items():
            dict(plain.named_parameters())[key.replace(".weight", ".default.weight")].copy_(parameter)
    tokens = torch.tensor([[5, 6, 7, 8], [9, 9, 1, 2]])
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones(2, 4)}
    with model.route("q&a") as base:
        routed = base.generate(tokens, **options)  # type: ignore[operator]  # a mixin's method
    assert torch.equal(routed, plain.generate(input_ids=tokens, **options))


def test_planning_leaves_no_trace_on_the_base() -> None:
    model = _model()
    before = {name: p.clone() for name, p in _base().named_parameters()}
    kept = {
        name.replace(".base_layer", ""): p
        for name, p in model.base.named_parameters()
        if "adapters" not in name
    }
    assert kept.keys() == before.keys()
    assert all(torch.equal(kept[name], before[name]) for name in before)
    assert not isinstance(model.base, PeftModel)


def test_initial_weights_do_not_depend_on_other_adapters() -> None:
    alone, together = RoutedModel(_base()), RoutedModel(_base())
    together.add_adapter("first", LoraConfig(target_modules="all-linear"), seed=3)
    for model in (alone, together):
        model.add_adapter("second", LoraConfig(target_modules="all-linear"), seed=3)
    a, b = alone.adapter_parameters("second"), together.adapter_parameters("second")
    assert all(torch.equal(a[key], b[key]) for key in a)
    first = together.adapter_parameters("first")
    assert not all(torch.equal(first[key], b[key]) for key in b)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            LoHaConfig(),
            "adapter 'new': LoHaConfig \\(peft_type 'LOHA'\\) is not supported; supported kinds are LORA",
        ),
        (LoraConfig(init_lora_weights="pissa"), "init_lora_weights='pissa'"),
        (LoraConfig(target_modules=["nothing"]), "Linear layers of this base are called 'down_proj'"),
        (LoraConfig(target_modules=["embed_tokens"]), "target linear layers"),
    ],
)
def test_refused_adapters(config: LoraConfig, message: str) -> None:
    model = _model()
    with pytest.raises(ConfigError, match=message):
        model.add_adapter("new", config)
    assert "new" not in model.adapter_names


def test_refused_base_and_taken_name() -> None:
    with pytest.raises(
        ConfigError, match="LlamaForSequenceClassification; of 'llama' models, 'LlamaForCausalLM'"
    ):
        RoutedModel(LlamaForSequenceClassification(copy.deepcopy(DECODERS["llama"])))
    with pytest.raises(ConfigError, match="adapter 'mlp' already"):
        _model().add_adapter("mlp", _lora())
