"""The exported folders in plain PEFT, on a base that was loaded afresh, against the model that they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_mtl.data import Chunk, PackedBatch, PaddedBatch, Sequence
from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel

__all__ = ["ExportedLogits", "export_tasks", "plain_difference"]


@dataclass(frozen=True)
class ExportedLogits:
    """What the routed model gave for one row of a task.

    Args:
        batch: The row as the model took it.
        place: The task's folder, relative to the exported one.
        logits_NV: With the task's adapter.
        effect: The largest difference that the adapter makes to the bare base's, relative to the largest logit.
    """

    batch: PackedBatch | PaddedBatch
    place: str
    logits_NV: Tensor
    effect: float


def export_tasks(
    model: RoutedModel, rows: Mapping[str, Sequence], folder: Path, *, autocast: torch.dtype | None
) -> dict[str, ExportedLogits]:
    """Export the tasks of `rows`, and compute the logits of their rows.

    Args:
        model: The routed model; each task has an adapter of its name.
        rows: One row per task.
        folder: Where the folders go.
        autocast: The dtype of the passes, where it is not the base's.
    """
    manifest = save_suite(model, folder, names=rows, tokenizer=None)
    model.eval()
    bare = "bare base"
    while bare in model.routes:
        bare += "'"
    model.add_route(bare, {})
    found = {}
    for task, row in rows.items():
        batch, without = (
            model.layout.lay_out([Chunk(route, [row])]).to(model.device) for route in (task, bare)
        )
        with torch.no_grad(), torch.autocast(model.device.type, autocast, enabled=autocast is not None):
            logits_NV, bare_NV = (model(each).double().cpu() for each in (batch, without))
        found[task] = ExportedLogits(batch, manifest.tasks[task], logits_NV, _difference(bare_NV, logits_NV))
    return found


def plain_difference(
    base: PreTrainedModel,
    folder: Path,
    exported: ExportedLogits,
    *,
    device: torch.device,
    autocast: torch.dtype | None,
) -> float:
    """Load a task's folder with plain `PeftModel.from_pretrained`, and compare.

    Args:
        base: Loaded afresh; it is changed.
        folder: The exported folder.
        exported: What the routed model gave.
        device: Where the routed model was.
        autocast: As in `export_tasks`.

    Returns:
        The largest difference, relative to the largest logit.
    """
    nn.Module.to(base, device)  # of transformers' own method, some quantised bases allow no call
    plain = PeftModel.from_pretrained(base, str(folder / exported.place)).eval()
    nn.Module.to(plain, device)
    with torch.no_grad(), torch.autocast(device.type, autocast, enabled=autocast is not None):
        logits_NV = _plain_logits(plain, exported.batch).double().cpu()
    return _difference(logits_NV, exported.logits_NV)


def _plain_logits(plain: PeftModel, batch: PackedBatch | PaddedBatch) -> Tensor:
    if isinstance(batch, PaddedBatch):
        padded: Tensor = plain(**batch.inputs).logits[batch.label_mask]
        return padded
    # A prompt's own positions come first in PEFT's output.
    logits_SV: Tensor = plain(input_ids=batch.input_ids[None]).logits[0, -batch.tokens :]
    return logits_SV[batch.label_positions]


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
