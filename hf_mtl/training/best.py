"""The best weights of every task, and when it has waited long enough for better ones.

Tasks that share no parameters have each its own best round. Tasks that share some have one best round in common, as
the shared parameters are one set of weights: what is restored is what was evaluated, whole.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from hf_mtl.errors import ConfigError, listing
from hf_mtl.notices import logger_of
from hf_mtl.training.owners import Group
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.state import State

__all__ = ["BestRound", "BestWeights", "Record"]

logger = logger_of(__name__)


@dataclass
class Record:
    """How one task has done so far; its patience goes by it.

    Args:
        value: Its best figure; None before the first evaluation.
        round: The round (`global_step`) of that figure.
        waited: Evaluations since then.
    """

    value: float | None = None
    round: int = 0
    waited: int = 0


@dataclass(frozen=True)
class BestRound:
    """The best evaluation of a group of tasks.

    Args:
        round: The round (`global_step`).
        mean: The mean of the figures, each counted so that more is better.
        figures: Each task's own metric in that evaluation.
    """

    round: int
    mean: float
    figures: Mapping[str, float] = field(default_factory=dict)


class BestWeights:
    """Follows every task's figure, keeps copies of the best weights, and says who is to stop.

    Args:
        settings: Each trained task's settings: its metric, direction and patience.
        groups: The tasks, those that share parameters in one group. A group's best round is that of the best mean of
            its tasks' own metrics; figures of which less is better count with a minus.
        keep: Whether weights are kept; else only the figures are followed.

    Attributes:
        records: By task.
        rounds: The best round of each group that has one.
        weights: By owner of parameters, the copies.
    """

    def __init__(
        self, settings: Mapping[str, TaskSettings], groups: Collection[Group], *, keep: bool
    ) -> None:
        self.settings = settings
        self.groups = groups
        self.keep = keep
        self.records = {name: Record() for name in settings}
        self.rounds: dict[Group, BestRound] = {}
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
            parameters: Each owner's parameters.
            round_number: The round (`global_step`).

        Returns:
            The tasks whose patience is at an end.

        Raises:
            ConfigError: If a task's figures do not hold its metric.
        """
        values = {name: self._figure(name, own) for name, own in figures.items() if name in self.records}
        for group in self.groups:
            own = {name: values[name] for name in group.tasks if name in values}
            if own and self._is_best(group, own, round_number) and self.keep:
                self.weights |= {
                    owner: {key: p.detach().cpu().clone() for key, p in parameters[owner].items()}
                    for owner in group.owners
                }
        return [name for name, value in values.items() if self._is_over(name, value, round_number)]

    def _figure(self, name: str, figures: Mapping[str, float]) -> float:
        metric = self.settings[name].metric
        if metric not in figures:
            raise ConfigError(
                f"task {name!r}: metric_for_best_model={metric!r} is not among its figures; there are "
                f"{listing(figures)}."
            )
        return figures[metric]

    def _is_best(self, group: Group, figures: Mapping[str, float], round_number: int) -> bool:
        """Note the evaluation if it is the group's best one so far; with a figure that is not finite it is not."""
        mean = sum(self._signed(name, value) for name, value in figures.items()) / len(figures)
        best = self.rounds.get(group)
        if not (math.isfinite(mean) if best is None else mean > best.mean):
            return False
        self.rounds[group] = BestRound(round_number, mean, dict(figures))
        return True

    def _signed(self, name: str, value: float) -> float:
        return value if self.settings[name].greater_is_better else -value

    def _is_over(self, name: str, value: float, round_number: int) -> bool:
        """Note a task's figure; whether its patience has just come to an end."""
        settings, record = self.settings[name], self.records[name]
        best = record.value
        if math.isfinite(value) if best is None else self._signed(name, value) > self._signed(name, best):
            self.records[name] = Record(value, round_number)
            return False
        record.waited += 1
        if settings.patience is None or record.waited != settings.patience:
            return False
        logger.info(
            "task %r stops after round %d: no better %s than %s (round %d) in %d evaluations.",
            name, round_number, settings.metric, record.value, record.round, record.waited,
        )  # fmt: skip
        return True

    def restore(self, parameters: Mapping[str, Mapping[str, nn.Parameter]]) -> None:
        """Put every group back to its best round; a group that has none keeps what it has."""
        if not self.keep:
            return
        for group in self.groups:
            tasks = ", ".join(map(repr, group.tasks))
            if group in self.rounds:
                with torch.no_grad():
                    for owner in group.owners:
                        for key, tensor in self.weights[owner].items():
                            parameters[owner][key].copy_(tensor)
                best = self.rounds[group]
                logger.info("%s: the best weights, of round %d (%s)", tasks, best.round, self._told(best))
            elif any(name in self.records and self.records[name].waited for name in group.tasks):
                logger.warning(
                    "%s: no evaluation had finite figures only, so there are no best weights; the last ones stay.",
                    tasks,
                )

    def _told(self, best: BestRound) -> str:
        named = [f"{name}: {self.settings[name].metric} {value}" for name, value in best.figures.items()]
        shared = "" if len(named) == 1 else "best mean over tasks that share parameters; "
        return shared + ", ".join(named)

    def state_dict(self) -> State:
        """The records, the best rounds, and the weights by owner."""
        return {
            "records": {name: asdict(record) for name, record in self.records.items()},
            "rounds": [
                {"tasks": list(group.tasks), **asdict(self.rounds[group])}
                for group in self.groups
                if group in self.rounds
            ],
            "weights": self.weights,
        }

    def load_state_dict(self, state: State) -> None:
        """Go on where `state_dict` was called.

        A group goes on with its best round if it consists of the same tasks as then, and its weights were kept if they
        are to be kept now; means over other tasks cannot be compared.
        """
        self.records |= {
            name: Record(**own) for name, own in state["records"].items() if name in self.records
        }
        saved = {frozenset(own["tasks"]): own for own in state["rounds"]}
        for group in self.groups:
            own = saved.get(frozenset(group.tasks))
            if own is not None and (not self.keep or state["weights"].keys() >= set(group.owners)):
                self.rounds[group] = BestRound(own["round"], own["mean"], own["figures"])
                self.weights |= {owner: dict(state["weights"][owner]) for owner in group.owners if self.keep}
            elif own is None and any(tasks & set(group.tasks) for tasks in saved):
                what = "share parameters now, and other tasks did before; their"
                if len(group.tasks) == 1:
                    what = "shares no parameters now, and did before; its"
                logger.warning(
                    "resume: %s %s best round starts anew.", ", ".join(map(repr, group.tasks)), what
                )
