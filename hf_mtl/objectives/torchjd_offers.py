"""The methods of TorchJD that can be used: whatever the installed release exports, by its own names.

Left out are exports that are no method by themselves (bases, wrappers of other weightings), and MoDo and SDMGrad, which
need two independent batches of a round.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

from hf_mtl.errors import ConfigError, listing
from hf_mtl.objectives.options import Option, options_of
from hf_mtl.packages import TORCHJD

__all__ = ["INSTALL", "PREFIX", "Method", "Offer", "Options", "find", "installed", "offered_names"]

PREFIX = "torchjd:"
INSTALL = f"pip install '{TORCHJD.install}'"

Options = Mapping[str, Any]  # Any: plain data, as the options' types say
Method = Any  # Any: an object of TorchJD, which has no type information

_COUNTS = ("n_tasks", "shape")  # parameters that say how many tasks there are


@dataclass(frozen=True)
class Offer:
    """One method of the installed TorchJD.

    Args:
        name: The name of the file that defines it, which is how TorchJD itself writes it in small letters.
        method: Its class.
        options: What its constructor takes as plain data; a number per task is a mapping by task name.
        aggregates: Whether it takes gradients; otherwise losses.
    """

    name: str
    method: type
    options: Mapping[str, Option]
    aggregates: bool

    @property
    def full_name(self) -> str:
        """The name by which it is always found, whatever ours are called."""
        return PREFIX + self.name

    def made(self, options: Options, names: Sequence[str], like: Tensor) -> Method:
        """An object of the method for these tasks.

        Args:
            options: The user's.
            names: The tasks, in their order.
            like: Numbers per task get its dtype and device.

        Raises:
            ConfigError: If an option by task name says nothing about one of the tasks.
        """
        by_task = {option: value for option, value in options.items() if isinstance(value, Mapping)}
        if problems := [text for option in by_task for text in self.left_out(option, by_task[option], names)]:
            raise ConfigError(problems)
        vectors = {
            option: like.new_tensor([value[name] for name in names]) for option, value in by_task.items()
        }
        counts = {
            count: len(names) for count in _COUNTS if count in inspect.signature(self.method).parameters
        }
        return self.method(**{**options, **vectors, **counts})

    def left_out(self, option: str, by_task: Options, names: Sequence[str]) -> list[str]:
        """One sentence if this option says nothing about some of the tasks."""
        missing = [name for name in names if name not in by_task]
        if not missing:
            return []
        return [f"the objective {self.full_name!r}: {option} must have a number for {listing(missing)} too."]


def installed() -> bool:
    """Whether TorchJD can be imported."""
    return TORCHJD.is_here()


def offered_names() -> tuple[str, ...]:
    """The names of its methods; none where it is not installed."""
    return tuple(sorted(_offers())) if installed() else ()


def find(name: str) -> Offer | None:
    """The method of this name, or None; `fair_grad`, `fairgrad` and `FairGrad` are the same."""
    return {_folded(own): offer for own, offer in _offers().items()}.get(_folded(name))


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


@cache
def _offers() -> Mapping[str, Offer]:
    from torchjd import aggregation, scalarization

    found = {}
    # A scalarizer of the same name does without gradients, so it comes last and stays.
    for package, base in ((aggregation, aggregation.Aggregator), (scalarization, scalarization.Scalarizer)):
        for exported in package.__all__:
            own = getattr(package, exported)
            if issubclass(own, base) and _is_method(own):
                name = own.__module__.rsplit(".", 1)[-1].lstrip("_")
                found[name] = Offer(name, own, options_of(own, hidden=_COUNTS), package is aggregation)
    return found


def _is_method(own: type) -> bool:
    """Whether all that its constructor needs is plain data."""
    parameters = inspect.signature(own).parameters
    needed = {name for name, one in parameters.items() if one.default is inspect.Parameter.empty}
    return not inspect.isabstract(own) and needed <= {*options_of(own), *_COUNTS}
