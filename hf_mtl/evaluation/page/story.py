"""All that the page of a run shows, as plain data."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hf_mtl.evaluation.page.comparison import Change, delta_p
from hf_mtl.evaluation.page.records import Figures, Incident, Share
from hf_mtl.evaluation.report import TaskResult, main_score
from hf_mtl.files import write_text
from hf_mtl.printable import json_text
from hf_mtl.relations import Relations

__all__ = ["Curves", "Points", "RunStory", "main_score"]

FORMAT_VERSION = 1

Points = tuple[tuple[int, float], ...]
"""Numbers over rounds."""

Curves = Mapping[str, Points]
"""By task, or by owner of parameters."""


@dataclass(frozen=True)
class RunStory:
    """What is known of a run; a part that was not recorded is empty, or None where empty is an answer.

    Args:
        name: What the run is called.
        tasks: Its tasks, in the order in which they are shown.
        facts: Facts about the base model and the run.
        results: The figures of each task, without its losses.
        changes: Together against alone, by task and metric.
        losses: The training loss of each task.
        evaluations: By metric and task, the figures of evaluations during training.
        relations: How much the tasks have in common.
        cosines: The mean cosines of their gradients.
        transfer: By trained task, measured task and metric, what one task's adapter gives for another.
        learning_rates: Of each owner of parameters.
        loss_weights: The weight of each task's loss in the update of shared parameters.
        shares: What each task had of the run.
        throughput: Tokens per second.
        padding: The share of computed tokens that are padding.
        incidents: What went wrong.
        skipped: By task, split and reason, the rows that could not be used and were left out.
    """

    name: str
    tasks: tuple[str, ...]
    facts: Mapping[str, str | int | float | None] = field(default_factory=dict)
    results: tuple[TaskResult, ...] = ()
    changes: tuple[Change, ...] = ()
    losses: Curves = field(default_factory=dict)
    evaluations: Mapping[str, Curves] = field(default_factory=dict)
    relations: Relations | None = None
    cosines: Relations | None = None
    transfer: Mapping[str, Figures] = field(default_factory=dict)
    learning_rates: Curves = field(default_factory=dict)
    loss_weights: Curves = field(default_factory=dict)
    shares: Mapping[str, Share] = field(default_factory=dict)
    throughput: Points = ()
    padding: Points = ()
    incidents: tuple[Incident, ...] | None = None
    skipped: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)

    def has(self, part: str) -> bool:
        """Whether a part was recorded."""
        value = vars(self)[part]
        return value is not None if part == "incidents" else bool(value)

    def content(self) -> dict[str, object]:
        """Return all of it as plain JSON, with the mean change against single-task training as `delta_p`."""
        plain = {own.name: _plain(vars(self)[own.name]) for own in dataclasses.fields(self)}
        return {"format_version": FORMAT_VERSION, **plain, "delta_p": _plain(delta_p(self.changes))}

    def save(self, path: str | Path) -> None:
        """Write `content`, a line per part; numbers that JSON lacks become the texts NaN, Infinity and -Infinity."""
        parts = (
            f"  {json.dumps(name)}: {json_text(part, allow_nan=False)}"
            for name, part in self.content().items()
        )
        write_text(path, "{\n" + ",\n".join(parts) + "\n}\n", durable=False)


def _plain(value: object) -> object:
    if isinstance(value, Relations):
        return value.content()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {own.name: _plain(vars(value)[own.name]) for own in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(own) for own in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
