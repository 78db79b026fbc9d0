"""Prefix tuning and prompt tuning in the packed pass: as plain PEFT has them, beside every other route."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from devices import on_every_device
from peft import LoraConfig, PeftConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from plain_peft import for_plain_peft
from tiny_decoders import DECODERS, SHAPE
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from hf_mtl.data import Chunk, PackedBatch, Sequence, cut_into_chunks, fill_micro_batches, pack
from hf_mtl.errors import ConfigError, RoutingError
from hf_mtl.export import load_suite, read_adapter_folder, restore_parameters, save_suite
from hf_mtl.models import RoutedModel, generate

# No dropout: plain PEFT's own would be another one than ours.
GPT2: dict[str, Any] = {"vocab_size": 97, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
GPT2 |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
CONFIGS: dict[str, PreTrainedConfig] = {
    **DECODERS,
    "mistral": MistralConfig(**SHAPE, sliding_window=7),  # shorter than a prefix of 9 and than most sequences
    "gpt2": GPT2Config(**GPT2),
    "qwen2 window": Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=6, max_window_layers=1),
}
ADAPTERS: dict[str, PeftConfig] = {
    "prefix of 5": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "prefix of 9": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=9),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "layers": LoraConfig(r=4, target_modules=["q_proj", "v_proj", "c_attn"], init_lora_weights=False),
    "mlp": LoraConfig(r=16, target_modules=["down_proj", "gate_proj", "c_fc"], init_lora_weights=False),
}
VIRTUAL = ("prefix of 5", "prefix of 9", "prompt")
# Plain PEFT warns where an ordinary LoraConfig meets GPT-2's transposed layers; the routed model does not.
pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def _base(kind: str = "llama", dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    torch.manual_seed(0)
    base: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[kind])).to(dtype)
    return base


def _model(kind: str = "llama", dtype: torch.dtype = torch.float64) -> RoutedModel:
    model = RoutedModel(_base(kind, dtype))
    for name, config in ADAPTERS.items():
        model.add_adapter(name, config)
    model.add_route("none", {})
    return model


def _plain(
    model: RoutedModel, name: str, kind: str = "llama", base: PreTrainedModel | None = None
) -> PeftModel:
    """Plain PEFT with the adapter's weights."""
    dtype = model.base.dtype
    plain = get_peft_model(for_plain_peft(base or _base(kind, dtype)), copy.deepcopy(ADAPTERS[name])).to(
        dtype
    )
    for key, parameter in _by_file_key(plain).items():
        parameter.data.copy_(model.adapter_parameters(name)[key].data)
    return plain


def _by_file_key(plain: PeftModel) -> dict[str, nn.Parameter]:
    found = {key: p for key, p in plain.named_parameters() if p.requires_grad}
    prompt = "prompt_encoder.default.embedding.weight"
    return {key.replace(prompt, "prompt_embeddings").replace(".default.", "."): p for key, p in found.items()}


def _sequence(route: str, length: int, seed: int) -> Sequence:
    ids = torch.randint(0, 97, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return Sequence.next_token(route, ids, ids, row=seed)


def _packed(sequences: list[Sequence]) -> PackedBatch:
    return pack([Chunk(sequence.route, [sequence]) for sequence in sequences])


def _by_row(model: RoutedModel, batch: PackedBatch) -> dict[tuple[str, int], Tensor]:
    return dict(zip(batch.rows, model(batch).split(batch.label_counts), strict=True))


def _gradients(model: RoutedModel) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None and parameter.grad.any()
    return parameter.grad


def _close(a: Tensor, b: Tensor, tolerance: float) -> None:
    """Neither the whole nor any element may be off by more than `tolerance`, relative to the whole's size."""
    a, b = a.detach(), b.detach()
    assert float((a - b).norm() / b.norm()) < tolerance
    assert float((a - b).abs().max() / b.abs().max()) < tolerance


ROUTES = (*ADAPTERS, "none")
MIXED = [
    _sequence(route, 4 + 3 * i % 11, seed=i) for i, route in enumerate([*ROUTES, *reversed(ROUTES), *ROUTES])
]


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_mixed_batch_equals_plain_peft_case_by_case(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    model = _model(kind, dtype)
    batch = _packed(MIXED)
    parts = _by_row(model, batch)
    cross_entropy(torch.cat(list(parts.values())), batch.label_ids, reduction="sum").backward()
    for name in ROUTES:
        plain: Any = _base(kind, dtype) if name == "none" else _plain(model, name, kind)
        for sequence in (s for s in MIXED if s.route == name):
            tokens = torch.tensor([sequence.input_ids])
            expected = plain(tokens).logits[0, -len(sequence.input_ids) : -1]
            _close(parts[name, sequence.row], expected, tolerance)
            if name in VIRTUAL:  # otherwise nothing was compared
                assert (expected - _base(kind, dtype)(tokens).logits[0, :-1]).abs().max() > 1e-2
            cross_entropy(expected, torch.tensor(sequence.label_ids), reduction="sum").backward()
        if name != "none":
            own = model.adapter_parameters(name)
            assert own.keys() == _by_file_key(plain).keys()
            for key, parameter in _by_file_key(plain).items():
                _close(_gradient(own[key]), _gradient(parameter), tolerance)


@on_every_device
@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_half_precision_equals_plain_peft_up_to_rounding(kind: str, device: str) -> None:
    """In bf16 we are about as far from the float64 result as plain PEFT's own bf16 pass is, at most 1.5 times."""
    dtype = torch.bfloat16
    model = _model(kind, dtype).to(device)
    batch = _packed(MIXED).to(torch.device(device))
    parts = _by_row(model, batch)
    cross_entropy(torch.cat(list(parts.values())).float(), batch.label_ids, reduction="sum").backward()
    for name in VIRTUAL:
        (ours,) = model.adapter_parameters(name).values()
        assert ours.dtype == torch.float32
        plain = get_peft_model(for_plain_peft(_base(kind, dtype)), copy.deepcopy(ADAPTERS[name])).to(device)
        wide = for_plain_peft(_base(kind, dtype).double())
        exact = get_peft_model(wide, copy.deepcopy(ADAPTERS[name])).double().to(device)
        passes = {"plain": plain, "exact": exact}
        (theirs,), (true,) = (_by_file_key(m).values() for m in passes.values())
        theirs.data.copy_(ours.data)
        true.data.copy_(ours.data)
        logits: dict[str, list[Tensor]] = {"ours": [], "plain": [], "exact": []}
        for sequence in (s for s in MIXED if s.route == name):
            tokens = torch.tensor([sequence.input_ids], device=device)
            labels = torch.tensor(sequence.label_ids, device=device)
            logits["ours"].append(parts[name, sequence.row])
            for key, reference in passes.items():
                logits[key].append(reference(tokens).logits[0, -len(sequence.input_ids) : -1])
                cross_entropy(logits[key][-1].float(), labels, reduction="sum").backward()
        together = {key: torch.cat(rows).detach().double() for key, rows in logits.items()}
        own_error = (together["ours"] - together["exact"]).norm()
        assert own_error < 1.5 * (together["plain"] - together["exact"]).norm()
        exact_gradient = _gradient(true)
        allowed = 1.5 * (_gradient(theirs) - exact_gradient).norm()
        assert (_gradient(ours) - exact_gradient).norm() < allowed


@pytest.mark.parametrize("name", VIRTUAL)
def test_changing_one_sequence_or_its_virtual_tokens_changes_no_other(name: str) -> None:
    model = _model()
    before = {row: part.detach() for row, part in _by_row(model, _packed(MIXED)).items()}
    longer = [_sequence(name, 17, s.row) if (s.route, s.row) == (name, _rows(name)[0]) else s for s in MIXED]
    after = _by_row(model, _packed(longer))
    for row, part in before.items():
        if row != (name, _rows(name)[0]):
            torch.testing.assert_close(after[row], part, rtol=1e-12, atol=1e-12)
    model.adapter_parameters(name)["prompt_embeddings"].data.mul_(2)
    after = _by_row(model, _packed(MIXED))
    for row, part in before.items():
        assert (row[0] == name) != torch.allclose(after[row], part, rtol=1e-12, atol=1e-12)


def _rows(name: str) -> list[int]:
    return [s.row for s in MIXED if s.route == name]


@pytest.mark.parametrize("name", VIRTUAL)
def test_absent_adapters_get_no_gradient_at_all(name: str) -> None:
    model = _model()
    model(_packed([s for s in MIXED if s.route in (name, "none")])).sum().backward()
    for other in ADAPTERS:
        assert all((p.grad is not None) == (other == name) for p in model.adapter_parameters(other).values())


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_checkpointing_changes_nothing(kind: str) -> None:
    model = _model(kind).train()
    batch = _packed(MIXED)
    cross_entropy(model(batch), batch.label_ids).backward()
    without = _gradients(model)
    model.zero_grad()
    model.activation_checkpointing_enable()
    cross_entropy(model(batch), batch.label_ids).backward()
    assert len(without) == sum(len(model.adapter_parameters(name)) for name in ADAPTERS)
    torch.testing.assert_close(_gradients(model), without, rtol=1e-12, atol=1e-14)


def test_the_stream_holds_the_sequences_and_their_prompts_and_nothing_else() -> None:
    model = _model()
    seen: list[int] = []
    model.base.model.norm.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    batch = _packed(MIXED)
    model(batch)
    prompts = 3 * sum(s.route == "prompt" for s in MIXED)
    assert prompts == 9
    assert seen == [sum(len(s.input_ids) for s in MIXED) + prompts]
    model(_packed([s for s in MIXED if s.route != "prompt"]))
    assert seen[1] == sum(len(s.input_ids) for s in MIXED if s.route != "prompt")  # prefixes take no room


def test_token_budget_counts_virtual_tokens() -> None:
    model = _model()
    assert [model.virtual_tokens(route) for route in ROUTES] == [5, 9, 3, 0, 0, 0]
    rows = [Sequence("prefix of 9", [1] * 11, [0], [0], row=i, virtual=9) for i in range(4)]
    assert [len(chunk.sequences) for chunk in cut_into_chunks(rows, 40)] == [2, 2]
    chunks = cut_into_chunks(rows, 20)
    assert [chunk.tokens for chunk in chunks] == [20] * 4
    assert [len(batch) for batch in fill_micro_batches(chunks, 60)] == [3, 1]
    assert pack(chunks).tokens == 44
    assert pack(chunks).segments[-1] == ("prefix of 9", 33, 44)


@pytest.mark.parametrize("name", VIRTUAL)
def test_a_stack_of_virtual_tokens_and_lora(name: str) -> None:
    model = _model()
    model.add_route("stack", {name: 1.0, "layers": 0.5, "mlp": 1.0})
    rows = [_sequence(route, 8, seed=i) for i, route in enumerate(("stack", "mlp", "stack", "none"))]
    parts = _by_row(model, _packed(rows))
    folded = get_peft_model(_base(), copy.deepcopy(ADAPTERS["layers"]), adapter_name="layers")
    folded.add_adapter("mlp", copy.deepcopy(ADAPTERS["mlp"]))
    parameters = dict(folded.named_parameters())
    for lora, weight in (("layers", 0.5), ("mlp", 1.0)):
        for key, parameter in model.adapter_parameters(lora).items():
            factor = weight if "lora_B" in key else 1.0
            parameters[key.replace(".weight", f".{lora}.weight")].data.copy_(parameter.data * factor)
    merged = folded.merge_and_unload(adapter_names=["layers", "mlp"])
    assert isinstance(merged, PreTrainedModel)
    plain = _plain(model, name, base=merged)
    for row in (0, 2):
        expected = plain(torch.tensor([rows[row].input_ids])).logits[0, -8:-1]
        _close(parts["stack", row], expected, 1e-10)


GREEDY: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
PEFT_WARNS = pytest.mark.filterwarnings(
    "ignore:Position ids are not supported:UserWarning"
)  # with any prompt


def _generated(base: Any, tokens: Tensor, **options: Any) -> Tensor:
    written: Tensor = base.generate(tokens, **(GREEDY | options))
    return written


@PEFT_WARNS
@pytest.mark.parametrize("name", VIRTUAL)
@pytest.mark.parametrize("kind", CONFIGS)
def test_generation_through_a_route_equals_plain_peft(kind: str, name: str) -> None:
    model = _model(kind).eval()
    plain = _plain(model, name, kind).eval()
    rows = [_sequence(name, length, 50 + length).input_ids for length in (9, 4, 6)]
    expected = [plain.generate(input_ids=torch.tensor([row]), **GREEDY)[0, len(row) :] for row in rows]
    for row, answer in zip(rows, expected, strict=True):
        tokens = torch.tensor([row, row])
        with model.route(name) as base:
            assert torch.equal(_generated(base, tokens)[:, len(row) :], torch.stack([answer] * 2))
            logits = base(tokens).logits
        _close(logits, plain(tokens).logits, 1e-10)
        with model.route(None) as base:
            assert (base(tokens).logits - logits[:, -len(row) :]).abs().max() > 1e-2
    padded = torch.tensor([[0] * (9 - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (9 - len(row)) + [1] * len(row) for row in rows])
    with model.route(name) as base:
        together = _generated(base, padded, attention_mask=mask)[:, 9:]
    if model.config.to_dict().get("sliding_window") is None:
        assert torch.equal(together, torch.stack(expected))
    elif (
        name != "prompt"
    ):  # padding takes room in the window: the same answers as PEFT's to the same padded rows
        assert torch.equal(together, plain.generate(input_ids=padded, attention_mask=mask, **GREEDY)[:, 9:])


@pytest.mark.parametrize("kind", CONFIGS)
def test_beam_search_with_a_prefix_equals_plain_peft(kind: str) -> None:
    model = _model(kind).eval()
    plain = _plain(model, "prefix of 5", kind).eval()
    tokens = torch.tensor([[0, 0, 5, 6, 7], [1, 2, 3, 4, 5]])
    options: dict[str, Any] = GREEDY | {"attention_mask": (tokens > 0).long(), "num_beams": 2}
    with model.route("prefix of 5") as base:
        assert torch.equal(_generated(base, tokens, **options), plain.generate(input_ids=tokens, **options))


def test_answers_do_not_depend_on_neighbours_where_there_is_a_window(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    torch.manual_seed(0)
    shape = SHAPE | {"vocab_size": len(tokenizer)}
    model = RoutedModel(AutoModelForCausalLM.from_config(MistralConfig(**shape, sliding_window=7)))
    model.add_adapter("prefix", ADAPTERS["prefix of 5"])
    texts = ["walk", "a quite good one", "fine", "good and bad, fine"]
    together = generate(model, tokenizer, "prefix", texts, max_new_tokens=6)
    assert together == [generate(model, tokenizer, "prefix", [text], max_new_tokens=6)[0] for text in texts]
    assert together != generate(model, tokenizer, None, texts, max_new_tokens=6)


def test_unpacked_calls_that_would_lose_the_prefix_are_refused() -> None:
    model = _model().train()
    model.activation_checkpointing_enable()
    tokens = torch.tensor([[5, 6, 7]])
    with model.route("prefix of 5") as base:
        with pytest.raises(RoutingError, match=r"Call model\.eval\(\) first"):
            base(tokens)
        model.eval()
        with pytest.raises(RoutingError, match=r"attention masks \[B, S\] only"):
            base(tokens, attention_mask=torch.ones(1, 1, 3, 3))
        with pytest.raises(RoutingError, match="leave out use_cache=False"):
            base(tokens, use_cache=False)


@pytest.fixture
def suite(tiny_llama: Path) -> Iterator[RoutedModel]:
    model = RoutedModel(AutoModelForCausalLM.from_pretrained(tiny_llama))
    for name, config in ADAPTERS.items():
        model.add_adapter(name, config, seed=1)
    yield model


@pytest.mark.filterwarnings("ignore:.*cannot name their base")
def test_export_loads_in_plain_peft_and_here(suite: RoutedModel, tiny_llama: Path, tmp_path: Path) -> None:
    save_suite(suite, tmp_path, processor=None)
    reloaded = load_suite(tmp_path, base=tiny_llama)
    batch = _packed([s for s in MIXED if s.route != "none"])
    parts, again = _by_row(suite, batch), _by_row(reloaded, batch)
    for name in VIRTUAL:
        base = for_plain_peft(AutoModelForCausalLM.from_pretrained(tiny_llama))
        plain = PeftModel.from_pretrained(base, str(tmp_path / name.replace(" ", "-")))
        for sequence in (s for s in MIXED if s.route == name):
            expected = plain(torch.tensor([sequence.input_ids])).logits[0, -len(sequence.input_ids) : -1]
            _close(parts[name, sequence.row], expected, 1e-5)
            assert torch.equal(parts[name, sequence.row], again[name, sequence.row])
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    for name in ("prefix of 9", "prompt"):
        texts = [
            generate(m, tokenizer, name, ["walk", "a good"], max_new_tokens=4) for m in (suite, reloaded)
        ]
        assert texts[0] == texts[1]


def test_a_saved_projection_is_an_ordinary_prefix(tmp_path: Path) -> None:
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, prefix_projection=True)
    plain = get_peft_model(for_plain_peft(_base(dtype=torch.float32)), config)
    plain.save_pretrained(str(tmp_path), save_embedding_layers=False)
    saved, tensors = read_adapter_folder(tmp_path)
    model = RoutedModel(_base(dtype=torch.float32))
    model.add_adapter("new", saved)
    restore_parameters(model.adapter_parameters("new"), tensors, where="here")
    sequence = _sequence("new", 8, 1)
    expected = plain(torch.tensor([sequence.input_ids])).logits[0, :-1]
    _close(model(_packed([sequence])), expected, 1e-5)


def test_initial_values_are_pefts(tiny_llama: Path) -> None:
    def values(config: PeftConfig, seed: int = 0) -> Tensor:
        model = RoutedModel(AutoModelForCausalLM.from_pretrained(tiny_llama))
        model.add_adapter("new", config, seed=seed)
        (parameter,) = model.adapter_parameters("new").values()
        assert parameter.dtype == torch.float32 and parameter.requires_grad
        return parameter.detach()

    prefix = PrefixTuningConfig(num_virtual_tokens=30)
    assert torch.equal(values(prefix), values(prefix))
    assert not torch.equal(values(prefix), values(prefix, seed=1))
    assert abs(float(values(prefix).std()) - 1) < 0.1  # nn.Embedding's
    assert not values(PrefixTuningConfig(num_virtual_tokens=30, init_weights="zero")).any()
    embeddings = AutoModelForCausalLM.from_pretrained(tiny_llama).get_input_embeddings().weight
    assert isinstance(embeddings, Tensor)
    sampled = values(PromptTuningConfig(num_virtual_tokens=6, prompt_tuning_init="SAMPLE_VOCAB"))
    assert (sampled[:, None] == embeddings[None]).all(-1).any(-1).all()
    text: dict[str, Any] = {"prompt_tuning_init_text": "walk run", "tokenizer_name_or_path": str(tiny_llama)}
    ids = AutoTokenizer.from_pretrained(tiny_llama)("walk run")["input_ids"]
    told = values(PromptTuningConfig(num_virtual_tokens=7, prompt_tuning_init="TEXT", **text))
    assert torch.equal(told, embeddings[(ids * 7)[:7]])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (PrefixTuningConfig(num_virtual_tokens=3, prefix_projection=True), "prefix_projection=True"),
        (PrefixTuningConfig(num_virtual_tokens=3, encoder_hidden_size=8), "encoder_hidden_size=8"),
        (PrefixTuningConfig(num_virtual_tokens=3, init_weights="ones"), "init_weights='ones'"),  # type: ignore[arg-type]
        (PrefixTuningConfig(num_virtual_tokens=3, num_layers=1), r"num_layers=1\) does not fit .* needs 2"),
        (PrefixTuningConfig(num_virtual_tokens=3, modules_to_save=["lm_head"]), "modules_to_save"),
        (PrefixTuningConfig(), "num_virtual_tokens: expected a whole number from 1 to 65536, found None"),
        (PromptTuningConfig(num_virtual_tokens=3, token_dim=8), r"token_dim=8\) does not fit .* needs 32"),
        (PromptTuningConfig(num_virtual_tokens=3, prompt_tuning_init="WORDS"), "expected one of .*'TEXT'"),
        (PromptTuningConfig(num_virtual_tokens=3, prompt_tuning_init_text="a"), "with prompt_tuning_init='TEXT' only"),
        (PromptTuningConfig(num_virtual_tokens=3, num_transformer_submodules=2), "num_transformer_submodules=2"),
        (PromptTuningConfig(num_virtual_tokens=3, task_type="SEQ_CLS"), "on a LlamaForCausalLM; expected 'CAUSAL_LM'"),
    ],
)  # fmt: skip
def test_refused_options(config: PeftConfig, message: str) -> None:
    model = _model()
    with pytest.raises(ConfigError, match=message):
        model.add_adapter("new", config)
    assert "new" not in model.adapter_names


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ({"prefix of 5": 1.0, "prompt": 1.0}, "one adapter with virtual tokens, found 'prefix of 5', 'prompt'"),
        ({"prefix of 5": 0.5, "mlp": 1.0}, "'prefix of 5' has virtual tokens, which cannot be weighted; .* found 0.5"),
    ],
)  # fmt: skip
def test_refused_stacks(stack: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _model().add_route("stack", stack)
