"""The methods of TorchJD as objectives.

Its engine plays no part. An aggregator gets the tasks' gradients, or their inner products in float64; a scalarizer gets
the losses, and its derivative by each loss is that task's weight.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from hf_mtl.errors import ConfigError, TrainingError, listing
from hf_mtl.objectives.adam import Adam, Learned
from hf_mtl.objectives.checks import unknown_tasks
from hf_mtl.objectives.draws import global_stream
from hf_mtl.objectives.gramian import gramians, weighted_sum
from hf_mtl.objectives.objective import Objective, Scalarizer, SharedGradients, SharedUpdate
from hf_mtl.objectives.options import option_problems
from hf_mtl.objectives.torchjd_offers import INSTALL, Method, Offer, Options

__all__ = ["TorchjdAggregator", "TorchjdScalarizer", "build"]

_SMALLEST_LOSS = 1e-8  # some take the loss's logarithm or divide by it
_LEARNING_RATE = 0.025  # Adam's step of learned scales, as in our own objectives

# Means or convex combinations, whatever the length of the gradients; times T they have the scale of a sum.
_MEANS = frozenset(
    {
        "aligned_mtl", "cagrad", "dualproj", "excess_mtl", "famo", "imtl_g", "krum", "mean", "mgda", "random", "stch",
        "trimmed_mean", "upgrad",
    }
)  # fmt: skip

# Their weights do not depend on the scale of the gradients, but their tolerances do: as they are, CAGrad gives zero and
# UPGrad the mean for gradients of a length below 0.01.
_SCALE_FREE = _MEANS | {"gradvac"}


@runtime_checkable
class _Updates(Protocol):
    """A method that also looks at the losses after the step."""

    def update(self, values: Tensor, /) -> None: ...


@runtime_checkable
class _Steps(Protocol):
    """A method that counts epochs."""

    def step(self) -> None: ...


def build(offer: Offer, options: Options, seed: int) -> Objective:
    """An objective that computes with this method.

    Raises:
        ConfigError: If options do not fit, or a package that the method needs is not installed.
    """
    if problems := option_problems(f"the objective {offer.full_name!r}", offer.options, options):
        raise ConfigError(problems)
    tasks = [task for value in options.values() if isinstance(value, Mapping) for task in value]
    try:
        offer.made(options, list(dict.fromkeys(tasks)) or ["one", "other"], torch.empty(0))
    except ImportError as error:
        raise ConfigError(
            f"the objective {offer.full_name!r} needs more packages: {INSTALL} ({error})"
        ) from error
    except ValueError as error:
        raise ConfigError(f"the objective {offer.full_name!r}: {error}") from error
    return (
        TorchjdAggregator(offer, options, seed)
        if offer.aggregates
        else TorchjdScalarizer(offer, options, seed)
    )


class _FromTorchjd:
    """What both kinds of methods have in common: options, and objects that remember, one per set of tasks."""

    def __init__(self, offer: Offer, options: Options, seed: int) -> None:
        self.name = offer.full_name
        self._offer, self._options, self._seed = offer, dict(options), seed
        self._methods: dict[tuple[str, ...], Method] = {}

    def problems(self, names: Sequence[str]) -> list[str]:
        """Tasks that the options leave out, and names that no task has."""
        found: list[str] = []
        for option, value in self._options.items():
            if isinstance(value, Mapping):
                found += unknown_tasks(self.name, option, value, names)
                found += self._offer.left_out(option, value, names)
        return found

    def _method(self, names: tuple[str, ...], like: Tensor, *, remembers: bool) -> Method:
        if not remembers:
            return self._offer.made(self._options, names, like)
        if names not in self._methods:
            self._methods[names] = self._offer.made(self._options, names, like)
        return self._methods[names]

    @contextmanager
    def _called(self, gradients: SharedGradients) -> Iterator[None]:
        """Keyed random numbers, no warnings that nobody can act on, and errors that name the tasks."""
        try:
            with (
                warnings.catch_warnings(),
                global_stream(gradients.rows.device, self._seed, self.name, gradients.round),
            ):
                # Of cvxpy, on the form of the problem that NashMTL gives it and on how well it is solved, which NashMTL
                # looks at itself; and on its division by gradients of length 0.
                warnings.filterwarnings("ignore", message="You are solving a parameterized problem")
                warnings.filterwarnings("ignore", message="Solution may be inaccurate")
                warnings.filterwarnings(
                    "ignore", message="divide by zero|invalid value", category=RuntimeWarning
                )
                yield
        # The ignored type: a documented name that torch's own annotations leave out.
        except (ValueError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            raise TrainingError(
                f"the objective {self.name!r} could not combine the gradients of {len(gradients.names)} tasks, "
                f"{listing(gradients.names)}, in round {gradients.round}: {error} Choose other options, or another "
                "objective."
            ) from error

    def _unreadable(self) -> str:
        return (
            f"the objective {self.name!r} cannot be resumed: what it remembers cannot be read from TorchJD, or not be "
            "kept in a checkpoint. Start a new run, or choose an objective that can be resumed (docs/objectives.md)."
        )


@final
class TorchjdAggregator(_FromTorchjd, Objective):
    """A method that combines gradients.

    A task alone keeps its own gradient, and gradients that are all zero give zero; the method sees neither. One that
    remembers does so for each set of tasks that takes part together.
    """

    @torch.no_grad()
    def update(self, gradients: SharedGradients) -> SharedUpdate:
        """Combine the rows."""
        names, rows = gradients.names, gradients.rows
        if len(names) == 1:
            return SharedUpdate(rows[0].clone(), {names[0]: 1.0})
        if not rows.any():
            return SharedUpdate(torch.zeros_like(rows[0]))
        with self._called(gradients):
            return self._combined(gradients)

    def resume_problem(self) -> str | None:
        """For methods that remember more than numbers per pair of tasks in their buffers."""
        return self._unreadable() if self._remembers and not self._by_products else None

    @property
    def _remembers(self) -> bool:
        import torchjd

        return issubclass(self._offer.method, torchjd.Stateful)

    @property
    def _by_products(self) -> bool:
        from torchjd.aggregation import GramianWeightedAggregator

        return issubclass(self._offer.method, GramianWeightedAggregator)

    def _combined(self, gradients: SharedGradients) -> SharedUpdate:
        from torchjd.aggregation import WeightedAggregator

        names, rows = gradients.names, gradients.rows
        scale = len(names) if self._offer.name in _MEANS else 1
        if self._by_products:
            products = gramians(rows, gradients.blocks).sum(0)
            method = self._method(names, products, remembers=self._remembers)
            if self._offer.name in _SCALE_FREE:
                products *= len(names) / products.trace()
            weights = method.gramian_weighting(products)
        else:
            method = self._method(names, rows, remembers=self._remembers)
            if not isinstance(method, WeightedAggregator):
                return SharedUpdate(method(rows) * scale)
            weights = method.weighting(rows)
        weights = weights.double().cpu() * scale
        return SharedUpdate(weighted_sum(weights, rows), dict(zip(names, weights.tolist(), strict=True)))

    def _state(self) -> dict[str, Any]:  # Any: plain JSON
        if not self._by_products:
            return {}
        return {
            "methods": [
                {
                    "tasks": list(names),
                    "buffers": {
                        key: own.tolist() for key, own in method.gramian_weighting.state_dict().items()
                    },
                }
                for names, method in self._methods.items()
            ]
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._methods = {}
        for saved in state.get("methods", ()):
            names = tuple(saved["tasks"])
            zeros = torch.zeros(len(names), len(names), dtype=torch.float64)
            weighting = self._method(names, zeros, remembers=True).gramian_weighting
            with self._called(SharedGradients(names, zeros[0], zeros, (len(names),), 0)):
                weighting(zeros)  # makes the buffers, which then take the saved numbers
            buffers = weighting.state_dict()
            weighting.load_state_dict(
                {key: buffers[key].new_tensor(values) for key, values in saved["buffers"].items()}
            )


@final
class TorchjdScalarizer(_FromTorchjd, Scalarizer):
    """A method that combines losses; a task's weight is the derivative by its loss.

    Scales that the method learns are kept by task name and take steps of Adam. A method that wants the losses after the
    step on the same batch gets those of the next round; one that counts epochs counts rounds.
    """

    def __init__(self, offer: Offer, options: Options, seed: int) -> None:
        super().__init__(offer, options, seed)
        self._learned: dict[str, Adam] = {}

    def weights(self, gradients: SharedGradients) -> Tensor:
        """The derivatives, `[T]`."""
        names, losses = gradients.names, gradients.losses.clamp(min=_SMALLEST_LOSS)
        seen = names in self._methods
        method = self._method(names, losses, remembers=self._remembers).double()
        with self._called(gradients):
            if seen and isinstance(method, _Updates):
                method.update(losses)
            weights = self._derivatives(method, names, losses)
            if isinstance(method, _Steps):
                method.step()
        return weights * (len(names) if self._offer.name in _MEANS else 1)

    def resume_problem(self) -> str | None:
        """For methods that keep what they remember to themselves."""
        return self._unreadable() if self._remembers else None

    @property
    def _remembers(self) -> bool:
        return issubclass(self._offer.method, _Updates | _Steps)

    def _derivatives(self, method: Method, names: tuple[str, ...], losses: Tensor) -> Tensor:
        learned = {} if self._remembers else dict(method.named_parameters())
        for key, scales in learned.items():
            adam = self._learned.setdefault(key, Adam(_LEARNING_RATE, start=0.0))
            for name, start in zip(names, scales.tolist(), strict=True):
                adam.numbers.setdefault(name, Learned(start))
            scales.copy_(scales.new_tensor([adam[name].value for name in names]))
        with torch.enable_grad():
            values = losses.requires_grad_()
            weights, *slopes = torch.autograd.grad(method(values), [values, *learned.values()])
        for key, slope in zip(learned, slopes, strict=True):
            self._learned[key].step(dict(zip(names, slope.tolist(), strict=True)))
        return weights

    def _state(self) -> dict[str, Any]:  # Any: plain JSON
        return {key: adam.state() for key, adam in self._learned.items()}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._learned = {key: Adam(_LEARNING_RATE, start=0.0) for key in state}
        for key, own in state.items():
            self._learned[key].load(own)
