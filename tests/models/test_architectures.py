"""Every architecture of the table, packed or padded, equals plain PEFT sequence by sequence."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
    ViTConfig,
    ViTForImageClassification,
)

from hf_mtl.data import Chunk, EncoderDecoderSequence, ImageSequence, PackedBatch, PaddedBatch, Sequence
from hf_mtl.errors import ConfigError, RoutingError
from hf_mtl.export import save_suite
from hf_mtl.models import ARCHITECTURES, PACKABLE, RoutedModel

DECODER = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
ENCODER = DECODER | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "pad_token_id": 1}
T5 = {
    "vocab_size": 97,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 8,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
GPT2 = {"vocab_size": 97, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
VIT = ENCODER | {"image_size": 12, "patch_size": 4}
BART = {
    "vocab_size": 97,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "dropout": 0.0,
}


@dataclass(frozen=True)
class Case:
    """One base: how it is made, and what a sequence for it is."""

    config: PreTrainedConfig
    auto: type = AutoModelForCausalLM
    kind: str = "text"
    adapter: tuple[tuple[str, object], ...] = (("target_modules", "all-linear"),)

    def base(self, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
        torch.manual_seed(0)
        base: PreTrainedModel = self.auto.from_config(copy.deepcopy(self.config)).to(dtype)
        with torch.no_grad():  # biases and norms start as 0 and 1, where a wrong one would not be seen
            for parameter in base.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        return base

    def model(self, dtype: torch.dtype = torch.float64) -> RoutedModel:
        model = RoutedModel(self.base(dtype))
        for i, name in enumerate(NAMES):
            options = dict(self.adapter)
            model.add_adapter(name, LoraConfig(r=2 + i, lora_alpha=8, init_lora_weights=False, **options))
        return model


NAMES = ("mlp", "layer", "c")  # two of them are parts of paths in a base
POOLED = (("target_modules", "all-linear"), ("exclude_modules", ["pooler.dense"]))
CONV1D = (("target_modules", "all-linear"), ("fan_in_fan_out", True))
MODERN = DECODER | {
    "num_hidden_layers": 3,
    "local_attention": 6,
    "global_attn_every_n_layers": 2,
    "pad_token_id": 1,
}
MODERN |= {
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
GROUPED = DECODER | {"num_key_value_heads": 2}

TESTED = {
    "LlamaForCausalLM": Case(LlamaConfig(**GROUPED)),
    "MistralForCausalLM": Case(MistralConfig(**GROUPED, sliding_window=4)),
    "Qwen2ForCausalLM": Case(Qwen2Config(**GROUPED)),
    "Qwen3ForCausalLM": Case(Qwen3Config(**GROUPED, head_dim=16)),
    "GPT2LMHeadModel": Case(GPT2Config(**GPT2, **NO_DROPOUT), adapter=CONV1D),
    "BertModel": Case(BertConfig(**ENCODER), AutoModel, adapter=POOLED),
    "BertForMaskedLM": Case(BertConfig(**ENCODER), AutoModelForMaskedLM),
    "RobertaModel": Case(RobertaConfig(**ENCODER), AutoModel, adapter=POOLED),
    "RobertaForMaskedLM": Case(RobertaConfig(**ENCODER), AutoModelForMaskedLM),
    "ModernBertModel": Case(ModernBertConfig(**MODERN), AutoModel),
    "ModernBertForMaskedLM": Case(ModernBertConfig(**MODERN), AutoModelForMaskedLM),
    "T5ForConditionalGeneration": Case(T5Config(**T5), AutoModelForSeq2SeqLM, "pair"),
    "ViTModel": Case(ViTConfig(**VIT), AutoModel, "image"),
}
UNTESTED = {
    "GPTNeoXForCausalLM": Case(GPTNeoXConfig(**DECODER)),
    "BartForConditionalGeneration": Case(BartConfig(**BART), AutoModelForSeq2SeqLM, "pair"),
}
CASES = TESTED | UNTESTED
LENGTHS = {"mlp": (9, 12, 11), "layer": (7, 10), "c": (13,)}


def _ids(length: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    ids: list[int] = torch.randint(4, 97, (length,), generator=generator).tolist()
    return ids


def _sequence(case: Case, route: str, length: int, row: int) -> Sequence:
    """A sequence of a kind that the case's base takes; some of its tokens carry labels."""
    if case.kind == "image":
        generator = torch.Generator().manual_seed(row)
        pixels = torch.randn(3, 12, 12, generator=generator, dtype=torch.float64)
        return ImageSequence.of(route, pixels, row=row, dropout_key=1000 + row)
    ids, labels = _ids(length, row), [1, length // 2, length - 1]
    if case.kind == "pair":
        decoder = [0, *_ids(length // 2, 100 + row)]
        labels = list(range(len(decoder)))
        return EncoderDecoderSequence(route, ids, labels, decoder, row, 1000 + row, decoder_input_ids=decoder)
    return Sequence(route, ids, labels, [ids[i] for i in labels], row, 1000 + row)


def _sequences(case: Case) -> list[Sequence]:
    made = [(route, length) for route, lengths in LENGTHS.items() for length in lengths]
    return [_sequence(case, route, length, row) for row, (route, length) in enumerate(made)]


def _batch(model: RoutedModel, sequences: list[Sequence]) -> PackedBatch | PaddedBatch:
    return model.layout.lay_out([Chunk(sequence.route, [sequence]) for sequence in sequences])


def _outputs(model: RoutedModel, batch: PackedBatch | PaddedBatch) -> dict[tuple[str, int], Tensor]:
    """What a batch gives, by sequence and without padding."""
    output = model(_in_dtype(batch, next(model.base.parameters()).dtype))
    if model.base.get_output_embeddings() is not None:
        parts = output.split(batch.label_counts)
    elif isinstance(batch, PackedBatch):
        parts = output.split(batch.lengths)
    else:
        parts = tuple(output)
    return dict(zip(batch.rows, parts, strict=True))


def _in_dtype(batch: PackedBatch | PaddedBatch, dtype: torch.dtype) -> PackedBatch | PaddedBatch:
    if isinstance(batch, PaddedBatch) and "pixel_values" in batch.inputs:
        batch.inputs["pixel_values"] = batch.inputs["pixel_values"].to(dtype)  # type: ignore[index]
    return batch


def _alone(plain: PeftModel, sequence: Sequence) -> Tensor:
    """What plain PEFT gives for one sequence by itself: no padding, no mask, no position ids."""
    if isinstance(sequence, ImageSequence):
        dtype = next(plain.parameters()).dtype
        states: Tensor = plain(pixel_values=sequence.pixel_values[None].to(dtype)).last_hidden_state[0]
        return states
    inputs = {"input_ids": torch.tensor([sequence.input_ids])}
    if isinstance(sequence, EncoderDecoderSequence):
        inputs["decoder_input_ids"] = torch.tensor([sequence.decoder_input_ids])
    output = plain(**inputs)
    if plain.get_base_model().get_output_embeddings() is None:
        states = output.last_hidden_state[0]
        return states
    logits: Tensor = output.logits[0, sequence.label_positions]
    return logits


def _weights(like: Tensor) -> Tensor:
    """Fixed weights for a sum whose gradient tells tokens and features apart."""
    return torch.linspace(-1, 1, like.numel(), dtype=like.dtype).view_as(like).sin()


def _score(output: Tensor) -> Tensor:
    return (output * _weights(output)).sum()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", CASES)
def test_a_mixed_batch_equals_plain_peft(
    name: str, dtype: torch.dtype, tolerance: float, tmp_path: Path
) -> None:
    case = CASES[name]
    model, sequences = case.model(dtype), _sequences(case)
    outputs = _outputs(model, _batch(model, sequences))
    torch.stack([_score(output) for output in outputs.values()]).sum().backward()
    save_suite(model, tmp_path, tokenizer=None)
    for adapter in NAMES:
        plain = PeftModel.from_pretrained(case.base(dtype), tmp_path / adapter, is_trainable=True)
        expected = {s.row: _alone(plain, s) for s in sequences if s.route == adapter}
        for row, output in expected.items():
            torch.testing.assert_close(outputs[adapter, row], output, rtol=tolerance, atol=tolerance)
        torch.stack([_score(output) for output in expected.values()]).sum().backward()
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


def test_the_table_names_what_is_tested() -> None:
    named = {cls for architecture in ARCHITECTURES.values() for cls in architecture.classes}
    assert named == set(TESTED)
    assert {type(case.base()).__name__ for case in CASES.values()} == set(CASES)
    assert set(PACKABLE) == {"llama", "mistral", "qwen2", "qwen3", "gpt2", "bert", "roberta", "modernbert"}


@pytest.mark.parametrize("name", CASES)
def test_sequences_cannot_see_each_other(name: str) -> None:
    case = CASES[name]
    model, sequences = case.model(), _sequences(case)
    changed = [*sequences[:1], _sequence(case, "mlp", 15, 77), *sequences[2:]]
    before, after = (_outputs(model, _batch(model, s)) for s in (sequences, changed))
    kept = [(s.route, s.row) for s in sequences if s.row != 1]
    for row in kept:
        torch.testing.assert_close(after[row], before[row], rtol=1e-12, atol=1e-12)
    _score(after["layer", 3]).backward()
    others = [p for other in ("mlp", "c") for p in model.adapter_parameters(other).values()]
    assert all(p.grad is None or not p.grad.any() for p in others)
    assert any(p.grad is not None and p.grad.any() for p in model.adapter_parameters("layer").values())


@pytest.mark.parametrize("name", CASES)
def test_checkpointing_changes_nothing(name: str) -> None:
    case = CASES[name]
    model, sequences = case.model(), _sequences(case)
    model.train()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        model.zero_grad()
        sum(map(_score, _outputs(model, _batch(model, sequences)).values())).backward()  # type: ignore[union-attr]
        gradients.append({key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    assert len(gradients[0]) >= 36
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_dropout_masks_belong_to_the_row(name: str) -> None:
    case = CASES[name]
    model = RoutedModel(case.base())
    for adapter in NAMES:
        options = dict(case.adapter)
        model.add_adapter(adapter, LoraConfig(r=4, lora_dropout=0.5, init_lora_weights=False, **options))
    model.train()
    sequences = [*_sequences(case), _sequence(case, "c", 40, 50)]
    together = _outputs(model, _batch(model, sequences))
    for sequence in sequences:
        row = (sequence.route, sequence.row)
        alone = _outputs(model, _batch(model, [sequence]))[row]
        torch.testing.assert_close(together[row], alone, rtol=1e-12, atol=1e-12)
    model.eval()
    assert not torch.allclose(_outputs(model, _batch(model, sequences[:1]))["mlp", 0], together["mlp", 0])


@pytest.mark.parametrize(
    "name", ["BertForMaskedLM", "RobertaForMaskedLM", "ModernBertForMaskedLM", "GPT2LMHeadModel"]
)
def test_the_vocabulary_head_sees_labelled_tokens_only(name: str) -> None:
    model = CASES[name].model()
    seen: list[int] = []
    head = model.base.get_output_embeddings()
    head.register_forward_hook(lambda _, __, output: seen.append(output.shape[:-1].numel()))
    batch = _batch(model, _sequences(CASES[name]))
    model(batch)
    assert seen == [len(batch.label_ids)] and seen[0] < batch.tokens
    with model.route("mlp") as base:
        whole = base(torch.tensor([_ids(8, 1)])).logits
    assert whole.shape == (1, 8, 97)


@pytest.mark.parametrize(
    "name", [name for name, case in TESTED.items() if case.config.model_type in PACKABLE]
)
def test_packed_streams_carry_no_padding(name: str) -> None:
    model, sequences = CASES[name].model(), _sequences(CASES[name])
    tokens: list[int] = []
    for path, layer in model.base.named_modules():
        if path.endswith(("down_proj", "mlp.c_fc", "intermediate.dense", "mlp.Wi")):
            layer.register_forward_hook(lambda _, x, __: tokens.append(x[0].shape[:-1].numel()))
    model(_batch(model, sequences))
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


def test_refused_targets_and_batches() -> None:
    model = RoutedModel(CASES["BertModel"].base())
    with pytest.raises(
        ConfigError, match=r"'pooler.dense' sees the first token.*exclude_modules=\['pooler.dense'\]"
    ):
        model.add_adapter("a", LoraConfig(target_modules="all-linear"))
    with pytest.raises(
        ConfigError, match="PrefixTuningConfig is supported for causal language models whose batches"
    ):
        model.add_adapter("b", PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"))
    vision, text = CASES["ViTModel"].model(), CASES["LlamaForCausalLM"]
    with pytest.raises(ConfigError, match="takes the layout PaddedLayout"):
        vision(_batch(text.model(), _sequences(text)))


def test_rows_that_a_layer_reshapes_are_refused() -> None:
    case = CASES["T5ForConditionalGeneration"]
    model = case.model()

    class Gathers(torch.nn.Module):
        def __init__(self, layer: torch.nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.layer(x.flatten(0, 1)[:18])
            return result

    block = model.base.encoder.block[0].layer[0].SelfAttention
    block.q = Gathers(block.q)
    with pytest.raises(RoutingError, match=r"tokens of the shape \[18\].*6 rows of 13 or 7"):
        model(_batch(model, _sequences(case)))
