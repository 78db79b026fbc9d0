"""Every architecture of the table, packed or padded, equals plain PEFT sequence by sequence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from tiny_bases import (
    CASES,
    ENCODER,
    TESTED,
    VIT,
    Case,
    by_itself,
    laid_out,
    make_sequence,
    outputs_of,
    random_ids,
    score,
)
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForSequenceClassification,
    MambaConfig,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

from hf_mtl.data import Sequence
from hf_mtl.errors import ConfigError, RoutingError
from hf_mtl.export import save_suite
from hf_mtl.models import ARCHITECTURES, PACKABLE, RoutedModel

NAMES = ("mlp", "layer", "c")  # two of them are parts of paths in a base
LENGTHS = {"mlp": (9, 12, 11), "layer": (7, 10), "c": (13,)}


def _model(case: Case, dtype: torch.dtype = torch.float64) -> RoutedModel:
    model = RoutedModel(case.base(dtype))
    for i, name in enumerate(NAMES):
        options: dict[str, Any] = dict(case.adapter)
        model.add_adapter(name, LoraConfig(r=2 + i, lora_alpha=8, init_lora_weights=False, **options))
    return model


def _sequences(case: Case) -> list[Sequence]:
    made = [(route, length) for route, lengths in LENGTHS.items() for length in lengths]
    return [make_sequence(case, route, length, row) for row, (route, length) in enumerate(made)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", CASES)
def test_a_mixed_batch_equals_plain_peft(
    name: str, dtype: torch.dtype, tolerance: float, tmp_path: Path
) -> None:
    case = CASES[name]
    model, sequences = _model(case, dtype), _sequences(case)
    outputs = outputs_of(model, laid_out(model, sequences))
    torch.stack([score(output) for output in outputs.values()]).sum().backward()
    save_suite(model, tmp_path, processor=None)
    for adapter in NAMES:
        plain = PeftModel.from_pretrained(case.base(dtype), tmp_path / adapter, is_trainable=True)
        expected = {s.row: by_itself(plain, s) for s in sequences if s.route == adapter}
        for row, output in expected.items():
            torch.testing.assert_close(outputs[adapter, row], output, rtol=tolerance, atol=tolerance)
        torch.stack([score(output) for output in expected.values()]).sum().backward()
        theirs = {
            key.replace(".default", ""): p.grad for key, p in plain.named_parameters() if p.requires_grad
        }
        ours = {key: p.grad for key, p in model.adapter_parameters(adapter).items()}
        assert ours.keys() == theirs.keys() and len(ours) >= 12
        for key, gradient in theirs.items():
            _assert_near(ours[key], gradient, tolerance, key)
        _assert_near(_flat(ours), _flat(theirs), tolerance, adapter)


def _flat(gradients: dict[str, Tensor | None]) -> Tensor:
    return torch.cat([g.flatten() for _, g in sorted(gradients.items()) if g is not None])


def _assert_near(ours: Tensor | None, theirs: Tensor | None, tolerance: float, what: str) -> None:
    """Near in norm, per tensor: ||difference|| / ||gradient||."""
    if theirs is None or ours is None:
        assert ours is theirs, what
        return
    norm = theirs.norm()
    assert norm > 1e-3, what
    assert (ours - theirs).norm() <= tolerance * norm, what


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.kind == "image"])
def test_a_vision_model_is_exported_so_that_plain_peft_runs_it(name: str, tmp_path: Path) -> None:
    """PEFT's class for FEATURE_EXTRACTION hands an attention mask on, which CLIP's and SigLIP's do not take."""
    case, model = CASES[name], RoutedModel(CASES[name].base())
    options: dict[str, Any] = dict(case.adapter)
    lora = LoraConfig(task_type="FEATURE_EXTRACTION", init_lora_weights=False, **options)
    model.add_adapter("mlp", lora)
    save_suite(model, tmp_path, processor=None)
    assert json.loads((tmp_path / "mlp" / "adapter_config.json").read_text())["task_type"] is None
    sequence = make_sequence(case, "mlp", 5, 0)
    plain = PeftModel.from_pretrained(case.base(), tmp_path / "mlp")
    again = RoutedModel(case.base())
    again.load_adapter("mlp", tmp_path / "mlp")
    for routed in (model, again):
        (output,) = outputs_of(routed, laid_out(routed, [sequence])).values()
        torch.testing.assert_close(output, by_itself(plain, sequence), rtol=1e-10, atol=1e-10)


def test_the_table_names_what_is_tested() -> None:
    named = {cls for architecture in ARCHITECTURES.values() for cls in architecture.classes}
    assert named == set(TESTED)
    assert {type(case.base()).__name__ for case in CASES.values()} == set(CASES)
    assert set(PACKABLE) == {"llama", "mistral", "qwen2", "qwen3", "gpt2", "bert", "roberta", "modernbert"}


@pytest.mark.parametrize("name", CASES)
def test_sequences_cannot_see_each_other(name: str) -> None:
    case = CASES[name]
    model, sequences = _model(case), _sequences(case)
    changed = [*sequences[:1], make_sequence(case, "mlp", 15, 77), *sequences[2:]]
    before, after = (outputs_of(model, laid_out(model, s)) for s in (sequences, changed))
    kept = [(s.route, s.row) for s in sequences if s.row != 1]
    for row in kept:
        torch.testing.assert_close(after[row], before[row], rtol=1e-12, atol=1e-12)
    score(after["layer", 3]).backward()
    others = [p for other in ("mlp", "c") for p in model.adapter_parameters(other).values()]
    assert all(p.grad is None or not p.grad.any() for p in others)
    assert any(p.grad is not None and p.grad.any() for p in model.adapter_parameters("layer").values())


@pytest.mark.parametrize("name", CASES)
def test_checkpointing_changes_nothing(name: str) -> None:
    case = CASES[name]
    model, sequences = _model(case), _sequences(case)
    model.train()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        model.zero_grad()
        sum(map(score, outputs_of(model, laid_out(model, sequences)).values())).backward()  # type: ignore[union-attr]
        gradients.append({key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    assert len(gradients[0]) >= 36
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_dropout_masks_belong_to_the_row(name: str) -> None:
    case = CASES[name]
    model = RoutedModel(case.base())
    for adapter in NAMES:
        options: dict[str, Any] = dict(case.adapter)
        model.add_adapter(adapter, LoraConfig(r=4, lora_dropout=0.5, init_lora_weights=False, **options))
    model.train()
    sequences = [*_sequences(case), make_sequence(case, "c", 40, 50)]
    together = outputs_of(model, laid_out(model, sequences))
    for sequence in sequences:
        row = (sequence.route, sequence.row)
        alone = outputs_of(model, laid_out(model, [sequence]))[row]
        torch.testing.assert_close(together[row], alone, rtol=1e-12, atol=1e-12)
    model.eval()
    assert not torch.allclose(outputs_of(model, laid_out(model, sequences[:1]))["mlp", 0], together["mlp", 0])


@pytest.mark.parametrize(
    "name", ["BertForMaskedLM", "RobertaForMaskedLM", "ModernBertForMaskedLM", "GPT2LMHeadModel"]
)
def test_the_vocabulary_head_sees_labelled_tokens_only(name: str) -> None:
    model = _model(CASES[name])
    seen: list[int] = []
    head = model.base.get_output_embeddings()
    head.register_forward_hook(lambda _, __, output: seen.append(output.shape[:-1].numel()))
    batch = laid_out(model, _sequences(CASES[name]))
    model(batch)
    assert seen == [len(batch.label_ids)] and seen[0] < batch.tokens
    with model.route("mlp") as base:
        whole = base(torch.tensor([random_ids(8, 1)])).logits
    assert whole.shape == (1, 8, 97)


@pytest.mark.parametrize(
    "name", [name for name, case in TESTED.items() if case.config.model_type in PACKABLE]
)
def test_packed_streams_carry_no_padding(name: str) -> None:
    model, sequences = _model(CASES[name]), _sequences(CASES[name])
    tokens: list[int] = []
    for path, layer in model.base.named_modules():
        if path.endswith(("down_proj", "mlp.c_fc", "intermediate.dense", "mlp.Wi")):
            layer.register_forward_hook(lambda _, x, __: tokens.append(x[0].shape[:-1].numel()))
    model(laid_out(model, sequences))
    assert len(tokens) >= 2 and set(tokens) == {sum(len(s.input_ids) for s in sequences)}


def test_what_the_log_says(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hf_mtl"):
        for name in ("BertModel", "ViTModel", "GPTNeoXForCausalLM"):
            RoutedModel(CASES[name].base())
    packed, padded, unknown = (record.getMessage() for record in caplog.records)
    assert packed == "Batches of BertModel are packed (one token stream, no padding)."
    assert padded == "Batches of ViTModel are padded (rows of similar lengths)."
    assert (
        "GPTNeoXForCausalLM (model_type 'gpt_neox') is not among the tested architectures (bert, gpt2,"
        in unknown
    )


SMALL_MAMBA = MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=1, state_size=4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: AutoModelForCausalLM.from_config(SMALL_MAMBA),
            "'mamba' model .*neither packed nor padded.*'bert', 'gpt2'",
        ),
        (
            lambda: BertForSequenceClassification(BertConfig(**ENCODER)),
            "of 'bert' models, 'BertForMaskedLM', 'BertModel' is supported",
        ),
        (lambda: ViTForImageClassification(ViTConfig(**VIT)), "of 'vit' models, 'ViTModel' is supported"),
    ],
)
def test_refused_bases(make: Callable[[], PreTrainedModel], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RoutedModel(make())


@pytest.mark.parametrize(
    ("base", "excluded", "saved", "count"),
    [
        (
            "BertModel",
            None,
            None,
            26,
        ),  # the pooler's too: heads of tasks that share the adapter may stand on it
        ("RobertaModel", None, ["pooler.dense"], 24),
        ("RobertaModel", ["query"], ["pooler.dense", "query"], 20),
        ("RobertaModel", r".*\.query", r"(?:.*\.query)|(?:.*\.)?pooler\.dense", 20),
    ],
)
def test_a_pooler_that_no_head_stands_on_gets_no_adapter_and_the_files_say_so(
    base: str, excluded: list[str] | str | None, saved: list[str] | str | None, count: int, tmp_path: Path
) -> None:
    case = CASES[base]
    model = RoutedModel(case.base())
    config = LoraConfig(target_modules="all-linear", exclude_modules=excluded, init_lora_weights=False)
    model.add_adapter("mlp", config)
    save_suite(model, tmp_path, processor=None)
    assert json.loads((tmp_path / "mlp" / "adapter_config.json").read_text())["exclude_modules"] == saved
    plain = PeftModel.from_pretrained(case.base(), tmp_path / "mlp")
    theirs = {key.replace(".default", "") for key, _ in plain.named_parameters() if "lora_" in key}
    assert theirs == model.adapter_parameters("mlp").keys() and len(theirs) == count
    sequence = make_sequence(case, "mlp", 9, 0)
    output = outputs_of(model, laid_out(model, [sequence]))["mlp", 0]
    torch.testing.assert_close(output, by_itself(plain, sequence), rtol=1e-10, atol=1e-10)


def test_refused_targets_and_batches() -> None:
    model = RoutedModel(CASES["RobertaModel"].base())
    with pytest.raises(
        ConfigError, match="adapter 'a': nothing here stands on the base's pooler, so it cannot"
    ):
        model.add_adapter("a", LoraConfig(target_modules=["pooler.dense"]))
    vision, text = _model(CASES["ViTModel"]), CASES["LlamaForCausalLM"]
    with pytest.raises(ConfigError, match="takes the layout PaddedLayout"):
        vision(laid_out(_model(text), _sequences(text)))


def test_rows_that_a_layer_reshapes_are_refused() -> None:
    case = CASES["T5ForConditionalGeneration"]
    model = _model(case)

    class Gathers(torch.nn.Module):
        def __init__(self, layer: torch.nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.layer(x.flatten(0, 1)[:18])
            return result

    block = model.base.get_submodule("encoder.block.0.layer.0.SelfAttention")
    block.q = Gathers(block.get_submodule("q"))
    with pytest.raises(RoutingError, match=r"tokens of the shape \[18\].*6 rows of 13 or 7"):
        model(laid_out(model, _sequences(case)))
