"""One family tried: a task trained by itself, and beside another one, and what the probes say of its base.

The run is one by hand and not the trainer's, for tasks on most of these bases need heads or kinds that only the tested
architectures have; passes, adapters, dropout keys, chunks and micro-batches are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig
from torch import Tensor

from hf_mtl.data import Chunk, EncoderDecoderSequence, ImageSequence
from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.models import RoutedModel
from hf_mtl.models.probes import Extent, Finding, probe_isolation
from tools.bases.families import FAMILIES, VOCABULARY, Family

__all__ = ["Outcome", "outcome_of"]

_ROUNDS, _ROWS, _WIDTH = 4, 3, 16
_LENGTHS = {"judged": range(4, 11), "other": range(21, 42)}  # tokens of the rows of the two tasks
_EXTENT = Extent(min(_LENGTHS["judged"]), max(_LENGTHS["other"]))
_ROUNDING = 1e-2  # of the weights' change, in passes that tasks share: AdamW makes rounding larger


@dataclass(frozen=True)
class Outcome:
    """What came of a family.

    Args:
        findings: What the probes found.
        exact: How much of what a task learned differs, alone and beside another, each chunk in a pass of its own.
        shared: The same where the tasks share their passes.
    """

    findings: tuple[Finding, ...]
    exact: float
    shared: float

    @property
    def verdict(self) -> str:
        """`equal`, `refused` with the probes, or `DIFFERENT`: a task is not what it was alone, and nothing says so."""
        if self.findings:
            return "refused: " + ", ".join(f"{found.probe} {found.difference:.0e}" for found in self.findings)
        return "equal" if self.exact == 0 and self.shared <= _ROUNDING else "DIFFERENT"


def outcome_of(name: str) -> Outcome:
    """Try a family."""
    family = FAMILIES[name]
    findings = probe_isolation(_model(family), _EXTENT)
    exact, shared = (_difference(family, together=together) for together in (False, True))
    return Outcome(findings, exact, shared)


def _difference(family: Family, *, together: bool) -> float:
    """`||beside - alone|| / ||change||` of the judged task's weights."""
    start = _weights(_model(family))
    alone = _trained(family, ("judged",), together=together)
    beside = _trained(family, ("judged", "other"), together=together)
    return float((beside - alone).norm() / (alone - start).norm())


def _model(family: Family) -> RoutedModel:
    model = RoutedModel(family.base())
    for task in _LENGTHS:
        targets = family.targets if isinstance(family.targets, str) else list(family.targets)
        config = LoraConfig(
            r=4,
            lora_dropout=0.1,
            target_modules=targets,
            fan_in_fan_out=family.transposed,
            init_lora_weights=False,
        )
        model.add_adapter(task, config)
    return model


def _trained(family: Family, tasks: Sequence[str], *, together: bool) -> Tensor:
    """The judged task's weights after some rounds of AdamW."""
    model = _model(family)
    probe_isolation(model, _EXTENT)  # as a run does; it switches off what can be switched off
    model.train()
    torch.manual_seed(0)
    optimizers = {task: torch.optim.AdamW(model.adapter_parameters(task).values(), lr=1e-3) for task in tasks}
    for number in range(_ROUNDS):
        chunks = [chunk for task in tasks for chunk in _chunks(model, family, task, number)]
        # The other task first, as far as the order is ours: so that whatever it leaves behind meets the judged one.
        chunks = sorted(chunks, key=lambda chunk: chunk.route == "judged")
        for batch in [chunks] if together else [[chunk] for chunk in chunks]:
            _score(model(model.layout.lay_out(batch))).backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
    return _weights(model)


def _weights(model: RoutedModel) -> Tensor:
    weights = model.adapter_parameters("judged").values()
    return torch.cat([weight.detach().double().flatten() for weight in weights])


def _chunks(model: RoutedModel, family: Family, task: str, number: int) -> list[Chunk]:
    rows = [_row(family, task, number * _ROWS + i) for i in range(_ROWS)]
    return model.layout.cut(rows, 1024)


def _row(family: Family, task: str, row: int) -> TokenSequence:
    """A row of a task; the same whoever asks."""
    generator = torch.Generator().manual_seed(1000 * (task == "other") + row)
    if family.sort == "vision":
        pixels = torch.randn(3, _WIDTH, _WIDTH, generator=generator)
        return ImageSequence(task, [], [0], [0], row, dropout_key=row, pixel_values=pixels)
    lengths = _LENGTHS[task]
    length = lengths[int(torch.randint(len(lengths), (1,), generator=generator))]
    ids = torch.randint(4, VOCABULARY - 1, (length,), generator=generator).tolist()
    labels = list(range(length))
    if family.sort == "encoder-decoder":
        return EncoderDecoderSequence(task, ids, labels, ids, row, row, decoder_input_ids=ids)
    return TokenSequence(task, ids, labels, ids, row, row)


def _score(outputs: Tensor) -> Tensor:
    """A loss whose gradient depends on every output of its row alone."""
    return (outputs * outputs.detach().sin()).sum() / outputs.shape[-1]
