"""Adapters planned on a base without its weights: whether they fit, and which shapes they would have.

>>> base = EmptyBase.load("HuggingFaceTB/SmolLM2-135M-Instruct")                  # doctest: +SKIP
>>> base.plan("mine", LoraConfig(r=8, target_modules=["q_prjo"]), head=None)      # doctest: +SKIP
ConfigError: adapter 'mine': PEFT cannot place this LoraConfig: Target modules {'q_prjo'} not found ...
"""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftConfig

from hf_mtl.heads import HeadSpec
from hf_mtl.models.auxiliary_loss import refuse_auxiliary_loss
from hf_mtl.models.base import empty_base
from hf_mtl.models.layouts import architecture_of, layout_of
from hf_mtl.models.planned import PlannedAdapter
from hf_mtl.models.routed_adapters import RoutedAdapters
from hf_mtl.models.saved import place_adapters, read_adapters
from hf_mtl.models.suites import SavedSuite

__all__ = ["EmptyBase"]


class EmptyBase:
    """A base on the meta device, on which PEFT places adapters as on the loaded one.

    Args:
        model: The base as one that adapters are planned on.
    """

    def __init__(self, model: RoutedAdapters) -> None:
        self._model = model

    @classmethod
    def load(cls, source: str | Path) -> EmptyBase:
        """Make the base of a Hub id, a folder or `asset:NAME` from its configuration.

        Raises:
            ConfigError: If there is no such configuration, or no adapter could be routed through such a base.
        """
        base = empty_base(source)
        refuse_auxiliary_loss(base.config)
        architecture = architecture_of(base)
        layout_of(base, architecture)
        base.requires_grad_(False)
        return cls(RoutedAdapters(base, architecture, task_type=None))

    def plan(self, name: str, config: PeftConfig, head: HeadSpec | None) -> PlannedAdapter:
        """Plan an adapter and its head; their parameters have shapes, and no values.

        Raises:
            ConfigError: As `RoutedAdapters.prepare` of the loaded base.
        """
        with torch.device("meta"):
            return self._model.prepare(name, config, head=head)

    def take(self, suite: SavedSuite) -> RoutedAdapters:
        """Place the adapters of a saved suite; whether the base's weights are those that it names is not looked at.

        Raises:
            CheckpointError: If an adapter is missing or broken, or does not fit.
        """
        with torch.device("meta"):
            place_adapters(self._model, suite.manifest.base, read_adapters(suite.files))
        return self._model
