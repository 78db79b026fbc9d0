"""The same tasks trained in several ways, over seeds, against each of them trained alone.

>>> alone = Variant("alone", {}, 100, (1.0, 1.0), {"a": {"f1": (0.50, 0.50)}})
>>> shared = Variant("shared", {"sharing": "shared"}, 50, (0.9, 0.9), {"a": {"f1": (0.60, 0.55)}})
>>> comparison = Comparison("demo", (0, 1), (alone, shared), {"a": {"f1": True}})
>>> comparison.change("shared").mean
0.15
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.evaluation.page.comparison import Change, delta_p, relative_change
from hf_mtl.files import write_text
from hf_mtl.files.records import checked_record, read_record
from hf_mtl.printable import json_text

__all__ = ["ALONE", "COMPARISON_FILE", "Comparison", "Estimate", "Variant"]

COMPARISON_FILE = "comparison.json"
ALONE = "alone"  # the variant that all others are compared with: private adapters

_WHAT = "a comparison"
FORMAT_VERSION = 1
_LEVEL = 0.95
_RULES = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and the half width of its 95 % interval (Student's t); None for one seed."""

    mean: float
    half: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate of some values."""
        from scipy.stats import t

        mean = round(statistics.fmean(values), 12)
        if len(values) < 2:
            return cls(mean, None)
        error = statistics.stdev(values) / math.sqrt(len(values))
        return cls(mean, float(t.ppf(0.5 + _LEVEL / 2, len(values) - 1)) * error)

    def text(self, form: str = "{:.3f}") -> str:
        """As a table shows it."""
        return form.format(self.mean) + (
            "" if self.half is None else " ± " + form.format(self.half).lstrip("+")
        )


@dataclass(frozen=True)
class Variant:
    """One way of training.

    Args:
        name: What it is called.
        settings: What it changes in the recipe.
        parameters: The trained parameters of the whole run.
        seconds: The training time of each seed.
        scores: By task and metric, the figure of each seed after training.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    name: str
    settings: Mapping[str, object]
    parameters: int
    seconds: tuple[float, ...]
    scores: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True)
class Comparison:
    """All variants of a recipe.

    Args:
        name: The recipe's name.
        seeds: The seeds, the same for all variants.
        variants: The variants; `alone` is one of them.
        greater_is_better: By task and metric.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    name: str
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    greater_is_better: Mapping[str, Mapping[str, bool]]

    def variant(self, name: str) -> Variant:
        """One variant.

        Raises:
            ConfigError: If there is none of that name.
        """
        names = [variant.name for variant in self.variants]
        if name not in names:
            raise ConfigError(
                f"there is no variant {name!r}.{did_you_mean(name, names)} Variants: {listing(names)}."
            )
        return self.variants[names.index(name)]

    def score(self, name: str, task: str, metric: str) -> Estimate:
        """A variant's figure of a task."""
        return Estimate.of(self.variant(name).scores[task][metric])

    def change(self, name: str, task: str | None = None) -> Estimate:
        """The relative change against `alone`, above 0 a gain: the mean over seeds of each seed's `delta_p`.

        Args:
            name: The variant.
            task: One task; default all.
        """
        tasks = list(self.greater_is_better) if task is None else [task]
        return Estimate.of([self._of_seed(name, tasks, number) for number in range(len(self.seeds))])

    def _of_seed(self, name: str, tasks: Sequence[str], number: int) -> float:
        changes = []
        for task in tasks:
            for metric, greater in self.greater_is_better[task].items():
                single, joint = (self.variant(way).scores[task][metric][number] for way in (ALONE, name))
                relative = relative_change(single, joint, greater_is_better=greater)
                changes.append(Change(task, metric, single, joint, greater, relative))
        found = delta_p(changes)
        return math.nan if found is None else found

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        content = {"format_version": FORMAT_VERSION, **json.loads(_adapter().dump_json(self))}
        write_text(path, json_text(content, indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read what `save` wrote.

        Raises:
            CheckpointError: The file is no comparison, or was written by a newer version of hf_mtl.
        """
        _, content = read_record(path, _WHAT, newest=FORMAT_VERSION)
        return checked_record(path, _WHAT, _adapter(), content)


def _adapter() -> TypeAdapter[Comparison]:
    return TypeAdapter(Comparison)
