"""Tiny random bases of all architectures, what a sequence is for each of them, and what plain PEFT makes of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    CLIPVisionConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    SiglipVisionConfig,
    T5Config,
    ViTConfig,
)

from hf_mtl.data import Chunk, EncoderDecoderSequence, ImageSequence, PackedBatch, PaddedBatch, Sequence
from hf_mtl.models import RoutedModel

DECODER: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
ENCODER = DECODER | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "pad_token_id": 1}
T5: dict[str, Any] = {
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
GPT2: dict[str, Any] = {"vocab_size": 97, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
NO_DROPOUT: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
VIT = ENCODER | {"image_size": 12, "patch_size": 4}
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 12,
    "patch_size": 4,
}
BART: dict[str, Any] = {
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
class Layers:
    """Names of linear layers of a base, for configs that cannot say "all-linear".

    Args:
        attention: Some of the attention's layers.
        feedforward: One behind the feed-forward part's activation.
        other: One more.
        head: The vocabulary head, if there is one.
    """

    attention: tuple[str, ...] = ("q_proj", "v_proj")
    feedforward: str = "down_proj"
    other: str = "up_proj"
    head: str | None = "lm_head"


@dataclass(frozen=True)
class Case:
    """One base: how it is made, and what a sequence for it is."""

    config: PreTrainedConfig
    auto: Any = AutoModelForCausalLM  # one of the Auto classes, which have no common type
    kind: str = "text"
    adapter: tuple[tuple[str, object], ...] = (("target_modules", "all-linear"),)
    layers: Layers = Layers()

    def base(self, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
        torch.manual_seed(0)
        base: PreTrainedModel = self.auto.from_config(copy.deepcopy(self.config))
        with torch.no_grad():  # biases and norms start as 0 and 1, where a wrong one would not be seen
            for parameter in base.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        base.to(torch.bfloat16)  # type: ignore[arg-type]  # transformers wraps `to` without its self
        base.to(dtype)  # type: ignore[arg-type]  # as above
        return base  # the same weights in every dtype


POOLED = (("target_modules", "all-linear"), ("exclude_modules", ["pooler.dense"]))
ENCODED = (("target_modules", r"encoder\..*(q_proj|v_proj|fc1|fc2)"),)  # not the head that pools
CONV1D = (("target_modules", "all-linear"), ("fan_in_fan_out", True))
MODERN: dict[str, Any] = DECODER | {
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

BERT_LAYERS = Layers(("query", "value"), "intermediate.dense", "attention.output.dense", head=None)
MODERN_LAYERS = Layers(("Wqkv",), "mlp.Wo", "mlp.Wi", head=None)
GPT2_LAYERS = Layers(("c_attn",), "mlp.c_proj", "c_fc")
NEOX_LAYERS = Layers(("query_key_value",), "dense_4h_to_h", "dense_h_to_4h")
T5_LAYERS = Layers(("q", "v"), "wo", "wi")
VIT_LAYERS = Layers(("q_proj", "v_proj"), "fc2", "fc1", head=None)
BART_LAYERS = replace(VIT_LAYERS, head="lm_head")


def _with_head(layers: Layers, head: str) -> Layers:
    return replace(layers, head=head)


TESTED = {
    "LlamaForCausalLM": Case(LlamaConfig(**GROUPED)),
    "MistralForCausalLM": Case(MistralConfig(**GROUPED, sliding_window=4)),
    "Qwen2ForCausalLM": Case(Qwen2Config(**GROUPED)),
    "Qwen3ForCausalLM": Case(Qwen3Config(**GROUPED, head_dim=16)),
    "GPT2LMHeadModel": Case(GPT2Config(**GPT2, **NO_DROPOUT), adapter=CONV1D, layers=GPT2_LAYERS),
    "BertModel": Case(BertConfig(**ENCODER), AutoModel, layers=BERT_LAYERS),
    "BertForMaskedLM": Case(
        BertConfig(**ENCODER), AutoModelForMaskedLM, layers=_with_head(BERT_LAYERS, "cls.predictions.decoder")
    ),
    "RobertaModel": Case(RobertaConfig(**ENCODER), AutoModel, adapter=POOLED, layers=BERT_LAYERS),
    "RobertaForMaskedLM": Case(
        RobertaConfig(**ENCODER), AutoModelForMaskedLM, layers=_with_head(BERT_LAYERS, "lm_head.decoder")
    ),
    "ModernBertModel": Case(ModernBertConfig(**MODERN), AutoModel, layers=MODERN_LAYERS),
    "ModernBertForMaskedLM": Case(
        ModernBertConfig(**MODERN), AutoModelForMaskedLM, layers=_with_head(MODERN_LAYERS, "decoder")
    ),
    "T5ForConditionalGeneration": Case(T5Config(**T5), AutoModelForSeq2SeqLM, "pair", layers=T5_LAYERS),
    "ViTModel": Case(ViTConfig(**VIT), AutoModel, "image", layers=VIT_LAYERS),
}
UNTESTED = {
    "GPTNeoXForCausalLM": Case(GPTNeoXConfig(**DECODER), layers=NEOX_LAYERS),
    "BartForConditionalGeneration": Case(
        BartConfig(**BART), AutoModelForSeq2SeqLM, "pair", layers=BART_LAYERS
    ),
    "CLIPVisionModel": Case(CLIPVisionConfig(**TOWER), AutoModel, "image", layers=VIT_LAYERS),
    "SiglipVisionModel": Case(
        SiglipVisionConfig(**TOWER), AutoModel, "image", adapter=ENCODED, layers=VIT_LAYERS
    ),
}
CASES = TESTED | UNTESTED


def random_ids(length: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    ids: list[int] = torch.randint(4, 97, (length,), generator=generator).tolist()
    return ids


def make_sequence(case: Case, route: str, length: int, row: int) -> Sequence:
    """A sequence of a kind that the case's base takes; some of its tokens carry labels."""
    if case.kind == "image":
        generator = torch.Generator().manual_seed(row)
        pixels = torch.randn(3, 12, 12, generator=generator, dtype=torch.float64)
        return ImageSequence.of(route, pixels, row=row, dropout_key=1000 + row)
    ids, labels = random_ids(length, row), [1, length // 2, length - 1]
    if case.kind == "pair":
        decoder = [0, *random_ids(length // 2, 100 + row)]
        labels = list(range(len(decoder)))
        return EncoderDecoderSequence(route, ids, labels, decoder, row, 1000 + row, decoder_input_ids=decoder)
    return Sequence(route, ids, labels, [ids[i] for i in labels], row, 1000 + row)


def laid_out(model: RoutedModel, sequences: list[Sequence]) -> PackedBatch | PaddedBatch:
    return model.layout.lay_out([Chunk(sequence.route, [sequence]) for sequence in sequences])


def outputs_of(model: RoutedModel, batch: PackedBatch | PaddedBatch) -> dict[tuple[str, int], Tensor]:
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


def by_itself(plain: PeftModel | PreTrainedModel, sequence: Sequence) -> Tensor:
    """What plain PEFT gives for one sequence by itself: no padding, no mask, no position ids.

    The outputs at virtual tokens, which come first, are left out.
    """
    if isinstance(sequence, ImageSequence):
        dtype = next(plain.parameters()).dtype
        states: Tensor = plain(pixel_values=sequence.pixel_values[None].to(dtype)).last_hidden_state[0]
        return states
    inputs = {"input_ids": torch.tensor([sequence.input_ids])}
    own = len(sequence.input_ids)
    if isinstance(sequence, EncoderDecoderSequence):
        inputs["decoder_input_ids"] = torch.tensor([sequence.decoder_input_ids])
        own = len(sequence.decoder_input_ids)
    output = plain(**inputs)
    base = plain.get_base_model() if isinstance(plain, PeftModel) else plain
    assert isinstance(base, PreTrainedModel)
    if base.get_output_embeddings() is None:
        states = output.last_hidden_state[0, -own:]
        return states
    logits: Tensor = output.logits[0, -own:][sequence.label_positions]
    return logits


def _weights(like: Tensor) -> Tensor:
    """Fixed weights for a sum whose gradient tells tokens and features apart."""
    return torch.linspace(-1, 1, like.numel(), dtype=like.dtype).view_as(like).sin()


def score(output: Tensor) -> Tensor:
    return (output * _weights(output)).sum()
