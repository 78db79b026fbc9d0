"""What the cards of a run say of its rows and its machine: taken while these are at hand, and kept in `data.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from hf_mtl.data import ASSET_PREFIX, ASSETS
from hf_mtl.evaluation.page import RecordFile
from hf_mtl.export.cards import TaskData
from hf_mtl.recipe.schema import TaskSpec

__all__ = ["DATA", "RunData", "may_show_rows"]

_RULES = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class RunData:
    """The rows of all tasks, and what the run ran on."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    tasks: Mapping[str, TaskData] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


DATA: RecordFile[RunData] = RecordFile("data.json", TypeAdapter(RunData))
"""The file in a run's folder."""


def may_show_rows(spec: TaskSpec) -> bool:
    """Whether some rows may stand on a public page.

    Those of an asset may where its licence allows it; those of a file or of the Hub where the recipe names their
    licence, for they may be somebody's own.
    """
    rows = spec.train or spec.eval
    if rows is None:
        return False
    if rows.source.startswith(ASSET_PREFIX):
        return ASSETS[rows.source.removeprefix(ASSET_PREFIX)].rows_may_be_shown
    return spec.card.rows_license is not None
