"""Per-task figures between two log entries."""

from __future__ import annotations

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch

from hf_mtl.training.optimization import TaskOptimizer
from hf_mtl.training.step import StepResult

__all__ = ["TaskMeter"]


class TaskMeter:
    """Collects losses, gradient norms and tokens, and turns them into log entries.

    Args:
        device: The type of the device that the run is on, whose memory is logged.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self.tokens: dict[str, int] = defaultdict(int)  # over the whole run
        self.seconds = 0.0  # over the whole run, without pauses
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._norms: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._computed = self._real = 0
        self._since = time.perf_counter()
        self._tokens_since = 0

    def start(self) -> None:
        """Start the clock; what came before (loading) does not count as training."""
        self._since = time.perf_counter()
        self._tokens_since = 0

    def pause(self, seconds: float) -> None:
        """Leave out a stretch that was not training (an evaluation)."""
        self._since += seconds

    def add_round(self, result: StepResult, tokens: Mapping[str, int]) -> None:
        """Count one round.

        Args:
            result: What it came to.
            tokens: Each participating task's tokens, over all processes.
        """
        for name, loss in result.losses.items():
            self._losses[name].append(loss)
        self._norms |= result.norms
        self._weights |= result.weights
        self._computed += result.computed
        self._real += result.real
        for name, count in tokens.items():
            self.tokens[name] += count
            self._tokens_since += count

    def drain(self, optimizers: Mapping[str, TaskOptimizer]) -> dict[str, float]:
        """Return the entries since the last call, `task/loss` and so on, and start anew.

        `padding` is the share of this process's computed tokens that are padding, `memory_mib` its peak memory (on
        CUDA that of the device).
        """
        entries: dict[str, float] = {}
        for name, losses in self._losses.items():
            entries[_key(name, "loss")] = sum(losses) / len(losses)
            entries[_key(name, "tokens")] = self.tokens[name]
        for owner in [name for name in optimizers if name in self._losses or name in self._norms]:
            entries[_key(owner, "learning_rate")] = optimizers[owner].learning_rate
            if owner in self._norms:
                entries[_key(owner, "grad_norm")] = self._norms[owner]
        entries |= {_key(name, "loss_weight"): weight for name, weight in self._weights.items()}
        elapsed = time.perf_counter() - self._since
        entries["tokens_per_second"] = self._tokens_since / max(elapsed, 1e-9)
        entries["padding"] = 1 - self._real / self._computed if self._computed else 0.0
        entries["memory_mib"] = _peak_mib(self._device)
        self.seconds += elapsed
        self._losses.clear()
        self._norms.clear()
        self._weights.clear()
        self._computed = self._real = 0
        self.start()
        return entries

    def state_dict(self) -> dict[str, Any]:  # Any: plain JSON
        """What has been collected, as JSON."""
        return {
            "tokens": dict(self.tokens),
            "seconds": self.seconds,
            "losses": dict(self._losses),
            "norms": dict(self._norms),
            "weights": dict(self._weights),
            "computed": self._computed,
            "real": self._real,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self.tokens = defaultdict(int, state["tokens"])
        self.seconds = state["seconds"]
        self._losses = defaultdict(list, {name: list(losses) for name, losses in state["losses"].items()})
        self._norms, self._weights = dict(state["norms"]), dict(state["weights"])
        self._computed, self._real = state["computed"], state["real"]


def _key(name: str, figure: str) -> str:
    """The key of a figure; one text for all entries, or the log of many rounds would hold it as often."""
    return sys.intern(f"{name}/{figure}")


def _peak_mib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
