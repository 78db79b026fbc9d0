"""Each task's best weights, and when it has waited long enough for better ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hf_mtl.errors import ConfigError, listing
from hf_mtl.training.settings import TaskSettings

__all__ = ["BestWeights", "Record"]

logger = logging.getLogger(__name__)


@dataclass
class Record:
    """How one task has done so far.

    Args:
        value: Its best figure; None before the first evaluation.
        round: The round (`global_step`) of that figure.
        waited: Evaluations since then.
    """

    value: float | None = None
    round: int = 0
    waited: int = 0


class BestWeights:
    """Follows every task's figure, keeps copies of the weights behind the best one, and tells who is to stop.

    Args:
        settings: Each task's settings: its metric, direction and patience.
        keep: Whether weights are kept; else only the figures are followed.
    """

    def __init__(self, settings: Mapping[str, TaskSettings], *, keep: bool) -> None:
        self.settings = settings
        self.keep = keep
        self.records = {name: Record() for name in settings}
        self.weights: dict[str, dict[str, Tensor]] = {}

    def evaluated(
        self,
        figures: Mapping[str, Mapping[str, float]],
        parameters: Mapping[str, Mapping[str, nn.Parameter]],
        round_number: int,
    ) -> list[str]:
        """Take note of an evaluation.

        Args:
            figures: Each evaluated task's figures by metric.
            parameters: Each task's private parameters.
            round_number: The round (`global_step`).

        Returns:
            The tasks whose patience is at an end.

        Raises:
            ConfigError: If a task's figures do not hold its metric.
        """
        finished = []
        for name, own in figures.items():
            if name not in self.records:
                continue
            settings, record = self.settings[name], self.records[name]
            if settings.metric not in own:
                raise ConfigError(
                    f"task {name!r}: metric_for_best_model={settings.metric!r} is not among its figures; there are "
                    f"{listing(own)}."
                )
            if self._better(own[settings.metric], record.value, settings):
                self.records[name] = Record(own[settings.metric], round_number)
                if self.keep:
                    self.weights[name] = {
                        key: parameter.detach().cpu().clone()
                        for key, parameter in parameters.get(name, {}).items()
                    }
                continue
            record.waited += 1
            if settings.patience is not None and record.waited == settings.patience:
                logger.info(
                    "task %r stops after round %d: no better %s than %s (round %d) in %d evaluations.",
                    name, round_number, settings.metric, record.value, record.round, record.waited,
                )  # fmt: skip
                finished.append(name)
        return finished

    @staticmethod
    def _better(value: float, best: float | None, settings: TaskSettings) -> bool:
        if value != value:  # not a number
            return False
        return best is None or (value > best if settings.greater_is_better else value < best)

    def restore(self, parameters: Mapping[str, Mapping[str, nn.Parameter]]) -> None:
        """Give every task its best weights back; those that were never evaluated keep what they have."""
        with torch.no_grad():
            for name, own in self.weights.items():
                for key, tensor in own.items():
                    parameters[name][key].copy_(tensor)
                record = self.records[name]
                logger.info("task %r: its best weights, of round %d (%s)", name, record.round, record.value)

    def state_dict(self) -> dict[str, Any]:  # Any: plain JSON
        """The records, as JSON; the weights are saved as tensors."""
        return {name: asdict(record) for name, record in self.records.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self.records |= {name: Record(**own) for name, own in state.items() if name in self.records}
