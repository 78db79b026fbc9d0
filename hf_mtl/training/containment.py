"""Fault containment: a task with a non-finite loss or gradient skips its update, and leaves after `max_strikes`.

A loss or a gradient that is not finite never reaches a weight. But an update of finite ones may lead to weights that
give nothing finite, so a task that leaves goes back to its last good ones; see `hf_mtl.training.last_good`.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hf_mtl.errors import TrainingError
from hf_mtl.notices import logger_of

__all__ = ["Containment"]

logger = logger_of(__name__)

_WINDOW = 64  # norms that the running median is taken over
_FEWEST = 16  # norms before a spike can be detected


class Containment:
    """Judges every task's loss and gradient norm, each by itself.

    Args:
        max_strikes: Bad rounds after which a task is put into quarantine.
        strict: Whether a bad round raises instead.
        spike_factor: A norm beyond so many times the task's own running median is a spike; 0 looks for none.
        skip_spikes: Whether a spike's update is left out; it counts no strike.
    """

    def __init__(
        self, *, max_strikes: int, strict: bool = False, spike_factor: float = 0.0, skip_spikes: bool = False
    ) -> None:
        self.max_strikes = max_strikes
        self.strict = strict
        self.spike_factor = spike_factor
        self.skip_spikes = skip_spikes
        self.strikes: dict[str, int] = {}
        self.incidents: list[dict[str, Any]] = []  # Any: plain JSON
        self._norms: dict[str, deque[float]] = {}

    def bad(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> list[str]:
        """The tasks whose loss or norm is not finite."""
        return [
            n for n, loss in losses.items() if not (math.isfinite(loss) and math.isfinite(norms.get(n, 0.0)))
        ]

    def strike(
        self,
        task: str,
        round_number: int,
        loss: float,
        norm: float | None,
        rows: Collection[int],
        *,
        fault: str = "",
        outcome: str = "",
    ) -> bool:
        """Report a bad round of a task.

        Args:
            task: The task.
            round_number: The round.
            loss: Its loss.
            norm: Its gradient norm, where there is one.
            rows: The rows at fault.
            fault: What is known of the cause, to follow the problem.
            outcome: What becomes of the task's weights if it leaves.

        Returns:
            Whether the task is to leave the run.

        Raises:
            TrainingError: In strict mode.
        """
        what = f"its loss is {loss}" if not math.isfinite(loss) else f"its gradient norm is {norm}"
        what += fault
        where = f"task {task!r}, round {round_number}, rows {_shown(sorted(rows))}"
        if self.strict:
            raise TrainingError(
                f"{where}: {what}, which no update can be made of (nonfinite='raise'). Look at these rows and at the "
                f"learning rate; with nonfinite='skip' the task sits such a round out."
            )
        self.strikes[task] = self.strikes.get(task, 0) + 1
        out = self.strikes[task] >= self.max_strikes
        self._add(task, round_number, rows, what, quarantined=out, outcome=outcome if out else "")
        logger.warning(
            "%s: %s. Its update is left out; strike %d of %d.%s",
            where,
            what,
            self.strikes[task],
            self.max_strikes,
            f" It leaves the run, {outcome}; the others go on." if out else "",
        )
        return out

    def _add(
        self,
        task: str,
        round_number: int,
        rows: Collection[int],
        what: str,
        *,
        quarantined: bool,
        outcome: str,
    ) -> None:
        self.incidents.append(
            {"task": task, "round": round_number, "rows": sorted(rows), "problem": what, "quarantined": quarantined,
             "outcome": outcome}
        )  # fmt: skip

    def bad_end(self, task: str, round_number: int, outcome: str) -> None:
        """Report a task whose latest loss is not finite when the run ends."""
        what = "the run ends, and its latest loss or gradient is not finite"
        self._add(task, round_number, (), what, quarantined=False, outcome=outcome)
        logger.warning("task %r, round %d: %s; %s.", task, round_number, what, outcome)

    def failure(self, tasks: Collection[str]) -> TrainingError:
        """The error of a run in which no task has good weights."""
        last = {incident["task"]: incident for incident in self.incidents if incident["rows"]}
        lines = [
            f"  - {task!r}: {self.strikes[task]} bad rounds, the last of them round {last[task]['round']}: "
            f"{last[task]['problem']}"
            if task in last
            else f"  - {task!r}: its evaluation gives no finite loss"
            for task in tasks
        ]
        return TrainingError(
            "Every task went bad, and no update of any task made weights with a finite loss and gradient, so there is "
            "nothing to save:\n"
            + "\n".join(lines)
            + "\nLower the learning rate (a task's, or that of the arguments, which "
            "shared parameters have), or look at the rows that incidents name."
        )

    def spikes(self, round_number: int, norms: Mapping[str, float]) -> list[str]:
        """Report norms far beyond the task's own running median; returns the tasks whose update is to be left out."""
        found = []
        for task, norm in norms.items():
            past = self._norms.setdefault(task, deque(maxlen=_WINDOW))
            usual = statistics.median(past) if len(past) >= _FEWEST else math.inf
            if self.spike_factor > 0 and norm > self.spike_factor * usual:
                found.append(task)
                what = f"its gradient norm is {norm:.3g}, {norm / usual:.1f} times its running median"
                what += "; its update is left out" if self.skip_spikes else ""
                self.incidents.append(
                    {"task": task, "round": round_number, "rows": [], "problem": what, "quarantined": False}
                )
                logger.warning("task %r, round %d: %s.", task, round_number, what)
            past.append(norm)
        return found if self.skip_spikes else []

    def state_dict(self) -> dict[str, Any]:
        """Strikes, incidents and the norms of the running medians, as JSON."""
        norms = {task: list(past) for task, past in self._norms.items()}
        return {"strikes": dict(self.strikes), "incidents": list(self.incidents), "norms": norms}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self.strikes = dict(state["strikes"])
        self.incidents = list(state["incidents"])
        self._norms = {task: deque(past, maxlen=_WINDOW) for task, past in state["norms"].items()}


def _shown(rows: Sequence[int], most: int = 8) -> str:
    """The first rows, and how many more there are.

    >>> _shown([1, 2, 3], most=2)
    '1, 2 and 1 more'
    """
    text = ", ".join(map(str, rows[:most]))
    return text if len(rows) <= most else f"{text} and {len(rows) - most} more"
