"""Per-task figures between two log entries."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping

from torch import Tensor

from hf_mtl.training.optimization import TaskOptimizer

__all__ = ["TaskMeter"]


class TaskMeter:
    """Collects losses, gradient norms and tokens, and turns them into log entries.

    Tensors are kept as they are until a log entry is due, so that collecting never waits for a device.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, int] = defaultdict(int)  # over the whole run
        self.seconds = 0.0  # over the whole run, without pauses
        self._losses: dict[str, list[Tensor]] = defaultdict(list)
        self._norms: dict[str, Tensor] = {}
        self._since = time.perf_counter()
        self._tokens_since = 0

    def start(self) -> None:
        """Start the clock; what came before (loading) does not count as training."""
        self._since = time.perf_counter()
        self._tokens_since = 0

    def pause(self, seconds: float) -> None:
        """Leave out a stretch that was not training (an evaluation)."""
        self._since += seconds

    def add_round(self, losses: Mapping[str, Tensor], tokens: Mapping[str, int]) -> None:
        """Count one round.

        Args:
            losses: Each participating task's mean loss, scalars.
            tokens: Each participating task's tokens.
        """
        for name, loss in losses.items():
            self._losses[name].append(loss)
        for name, count in tokens.items():
            self.tokens[name] += count
            self._tokens_since += count

    def add_norms(self, norms: Mapping[str, Tensor]) -> None:
        """Keep the latest gradient norms."""
        self._norms |= norms

    def drain(self, optimizers: Mapping[str, TaskOptimizer]) -> dict[str, float]:
        """Return the entries since the last call, `task/loss` and so on, and start anew."""
        entries: dict[str, float] = {}
        for name, losses in self._losses.items():
            entries[f"{name}/loss"] = sum(loss.item() for loss in losses) / len(losses)
            entries[f"{name}/learning_rate"] = optimizers[name].learning_rate
            if name in self._norms:
                entries[f"{name}/grad_norm"] = self._norms[name].item()
        elapsed = time.perf_counter() - self._since
        entries["tokens_per_second"] = self._tokens_since / max(elapsed, 1e-9)
        self.seconds += elapsed
        self._losses.clear()
        self._norms.clear()
        self.start()
        return entries
