"""The exported folders in plain PEFT, on a base that was loaded afresh, against the model that they came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_mtl.adapters import keep_trainable
from hf_mtl.data import Chunk, PackedBatch, PaddedBatch, Sequence
from hf_mtl.models import RoutedModel

__all__ = ["RoutedRow", "plain_difference", "routed_row"]


@dataclass(frozen=True)
class RoutedRow:
    """What the routed model gives for one row of a task.

    Args:
        batch: The row as the model takes it.
        logits_NV: With the task's adapter.
        effect: The largest difference that the adapter makes to the bare base's, relative to the largest logit.
    """

    batch: PackedBatch | PaddedBatch
    logits_NV: Tensor
    effect: float


def routed_row(model: RoutedModel, row: Sequence, *, autocast: torch.dtype | None) -> RoutedRow:
    """The logits of a row.

    Args:
        model: The routed model.
        row: Its route is an adapter's.
        autocast: The dtype of the pass, where it is not the base's.
    """
    bare = row.route + " without its adapter"
    model.eval()
    model.add_route(bare, {})
    batch, bare_batch = (
        model.layout.lay_out([Chunk(route, [row])]).to(model.device) for route in (row.route, bare)
    )
    with torch.no_grad(), torch.autocast(model.device.type, autocast, enabled=autocast is not None):
        logits_NV, bare_NV = (model(each).double().cpu() for each in (batch, bare_batch))
    return RoutedRow(batch, logits_NV, _difference(bare_NV, logits_NV))


def plain_difference(
    base: PreTrainedModel,
    folder: Path,
    expected: RoutedRow,
    *,
    device: torch.device,
    autocast: torch.dtype | None,
) -> float:
    """Load a task's folder with plain `PeftModel.from_pretrained`, and compare.

    Args:
        base: Loaded afresh; it is changed.
        folder: The task's.
        expected: What the routed model gave.
        device: Where the routed model was.
        autocast: As in `routed_row`.

    Returns:
        The largest difference, relative to the largest logit.
    """
    keep_trainable(base)  # the repacking for inference rounds its scales, and fails on small layers
    nn.Module.to(base, device)  # of transformers' own method, some quantised bases allow no call
    plain = PeftModel.from_pretrained(base, str(folder)).eval()
    nn.Module.to(plain, device)
    with torch.no_grad(), torch.autocast(device.type, autocast, enabled=autocast is not None):
        logits_NV = _plain_logits(plain, expected.batch).double().cpu()
    return _difference(logits_NV, expected.logits_NV)


def _plain_logits(plain: PeftModel, batch: PackedBatch | PaddedBatch) -> Tensor:
    if isinstance(batch, PaddedBatch):
        padded: Tensor = plain(**batch.inputs).logits[batch.label_mask]
        return padded
    # A prompt's own positions come first in PEFT's output.
    logits_SV: Tensor = plain(input_ids=batch.input_ids[None]).logits[0, -batch.tokens :]
    return logits_SV[batch.label_positions]


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
