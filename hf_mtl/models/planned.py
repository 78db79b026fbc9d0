"""An adapter and its head, ready to be placed on a base that does not know of them yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from hf_mtl.adapters import AdapterPlan
from hf_mtl.models.heads import PlacedHead

__all__ = ["PlannedAdapter"]


@dataclass(frozen=True)
class PlannedAdapter:
    """What `RoutedAdapters.place` puts in place.

    Args:
        plan: What the adapter changes.
        head: Its head, if it has one of its own.
        parameters: All its parameters and the head's, keyed as in PEFT's files. Weights that are written into them
            are those that will be placed.
    """

    plan: AdapterPlan
    head: PlacedHead | None
    parameters: Mapping[str, nn.Parameter]
