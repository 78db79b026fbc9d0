"""What the stock class with plain PEFT makes of a kind's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from kind_cases import HUB_ID, KindCase
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, PreTrainedModel

from hf_mtl.data import EncoderDecoderSequence, ImageSequence, Sequence
from hf_mtl.tasks import Task

__all__ = ["stock_base", "stock_results", "torch_loss"]


def stock_base(
    case: KindCase, auto_class: str, folder: Path, dtype: torch.dtype = torch.float64
) -> PreTrainedModel:
    """The stock class on the base, without dropout."""
    base: PreTrainedModel = vars(transformers)[auto_class].from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa", **case.config
    )
    base.name_or_path = HUB_ID
    base.eval()
    if case.shape != "span" or base.config.model_type != "llama":
        return base
    # Llama's class for questions calls its trunk by another name, so that it finds nothing in a decoder's files.
    trunk = AutoModel.from_pretrained(folder, dtype=dtype)
    base.base_model.load_state_dict(trunk.state_dict())
    return base


def _padded(lists: list[list[int]], value: int) -> Tensor:
    return pad_sequence([torch.tensor(own) for own in lists], batch_first=True, padding_value=value)


def _inputs(case: KindCase, task: Task, processor: Any, sequences: list[Sequence]) -> dict[str, Tensor]:
    """What the stock class is called with; texts go through the tokenizer's own padding."""
    if isinstance(sequences[0], ImageSequence):
        return dict(processor([row["image"] for row in case.rows], return_tensors="pt"))
    if case.shape == "sequence":
        second = task.columns.get("text_pair")
        texts = [row["text"] for row in case.rows]
        pairs = None if second is None else [row[second] for row in case.rows]
        return dict(processor(texts, pairs, padding=True, return_tensors="pt"))
    lists = [own.input_ids for own in sequences]
    mask = _padded([[1] * len(own) for own in lists], 0)
    inputs = {"input_ids": _padded(lists, processor.pad_token_id), "attention_mask": mask}
    if any(own.token_types for own in sequences):
        inputs["token_type_ids"] = _padded(
            [own.token_types or [0] * len(own.input_ids) for own in sequences], 0
        )
    return inputs


def _targets(case: KindCase, sequences: list[Sequence], dtype: torch.dtype) -> Tensor:
    targets = torch.tensor([own.targets for own in sequences], dtype=dtype)
    if case.config.get("problem_type") in ("multi_label_classification", "regression"):
        return targets if targets.shape[1] > 1 else targets[:, 0]
    return targets[:, 0].long()


def stock_results(
    plain: PeftModel | PreTrainedModel, case: KindCase, task: Task, processor: Any, sequences: list[Sequence]
) -> tuple[Tensor, Tensor]:
    """Logits at the places that carry labels, and the stock class's own loss, on one padded batch of the rows.

    Stock classes for spans let padding compete with the tokens, so these rows come one by one.
    """
    dtype = next(plain.parameters()).dtype
    if case.shape == "span":
        return _span_results(plain, case, task, processor, sequences)
    sequences = [_split(plain, own) for own in sequences]
    inputs = _inputs(case, task, processor, sequences)
    if "pixel_values" in inputs:
        inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    if case.shape == "sequence":
        output = plain(**inputs, labels=_targets(case, sequences, dtype))
        return output.logits, output.loss
    decoded = isinstance(sequences[0], EncoderDecoderSequence) and case.shape == "vocabulary"
    width = (
        max(max(own.label_positions) for own in sequences) + 2 if decoded else inputs["input_ids"].shape[1]
    )
    labels = torch.full((len(sequences), width), -100)
    shift = int(case.shape == "vocabulary" and not decoded)
    for row, own in zip(labels, sequences, strict=True):
        row[torch.tensor(own.label_positions) + shift] = torch.tensor(own.label_ids)
    output = plain(**inputs, labels=labels)
    at = (labels[:, shift:] != -100).nonzero(as_tuple=True)
    return output.logits[at], output.loss


def _split(plain: PeftModel | PreTrainedModel, own: Sequence) -> Sequence:
    """What an encoder-decoder reads of a prompt and what it writes."""
    config = plain.config
    if not config.is_encoder_decoder:
        return own
    return EncoderDecoderSequence.split(
        own, start_id=config.decoder_start_token_id, end_id=config.eos_token_id
    )


def _span_results(
    plain: PeftModel | PreTrainedModel, case: KindCase, task: Task, processor: Any, sequences: list[Sequence]
) -> tuple[Tensor, Tensor]:
    logits, losses = [], []
    for own in sequences:
        first, last = (torch.tensor([int(border)]) for border in own.targets)
        inputs = _inputs(case, task, processor, [own])
        output = plain(**inputs, start_positions=first, end_positions=last)
        logits.append(torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1))
        losses.append(output.loss)
    return torch.cat(logits), torch.stack(losses).mean()


def torch_loss(logits: Tensor, sequences: list[Sequence], **options: Any) -> Tensor:
    """`torch.nn.CrossEntropyLoss` of logits of classes, in their own dtype."""
    labels = [label for own in sequences for label in (own.targets or own.label_ids)]
    return cross_entropy(logits, torch.tensor(labels).long(), **options)
