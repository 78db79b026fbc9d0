"""All objectives by name; a new one is its file and one entry here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.objectives.aggregators import PCGrad
from hf_mtl.objectives.objective import Objective
from hf_mtl.objectives.options import option_problems, options_of
from hf_mtl.objectives.scalarizers import (
    DynamicWeightAverage,
    Equal,
    GeometricMean,
    GradientNorm,
    GradNorm,
    RandomWeights,
    RelationProduct,
    Static,
    Uncertainty,
)
from hf_mtl.objectives.torchjd_bridge import build
from hf_mtl.objectives.torchjd_offers import INSTALL, PREFIX, find, installed, offered_names

__all__ = ["OBJECTIVES", "ObjectiveLike", "objective_names", "objective_of"]

ObjectiveLike: TypeAlias = str | Mapping[str, object] | Objective

_ALL: tuple[type[Objective], ...] = (
    DynamicWeightAverage, Equal, GeometricMean, GradNorm, GradientNorm, PCGrad, RandomWeights, RelationProduct, Static,
    Uncertainty,
)  # fmt: skip

OBJECTIVES: Mapping[str, type[Objective]] = MappingProxyType({own.name: own for own in _ALL})


def objective_of(spec: ObjectiveLike, seed: int = 0) -> Objective:
    """The objective that is meant.

    Args:
        spec: A name, a mapping of `name` and options, or an objective.
        seed: For those that draw random numbers, unless their options have a seed.

    Raises:
        ConfigError: If there is no such objective, or its options do not fit, with all problems.

    Example:
        >>> objective_of("equal").name, objective_of({"name": "dwa", "temperature": 1.0}).name
        ('equal', 'dwa')
        >>> objective_of({"name": "dwa", "width": 1})
        Traceback (most recent call last):
        hf_mtl.errors.ConfigError: the objective 'dwa' has no option 'width'; its options are 'temperature', 'window'.
    """
    if isinstance(spec, Objective):
        return spec
    options: dict[str, object] = {"name": spec} if isinstance(spec, str) else {}
    if isinstance(spec, Mapping):
        options = {str(key): value for key, value in spec.items()}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(
            "an objective must be a name, or a mapping of name and options such as {'name': 'dwa', 'window': 50}, "
            f"found {spec!r}. Names are {listing(objective_names())}."
        )
    if name in OBJECTIVES:
        return _built(OBJECTIVES[name], options, seed)
    return _from_torchjd(name, options, seed)


def objective_names() -> tuple[str, ...]:
    """All names: ours, and TorchJD's if it is installed, with `torchjd:` before those that ours have too.

    Example:
        >>> "equal" in objective_names()
        True
    """
    theirs = offered_names()
    return (*sorted(OBJECTIVES), *(PREFIX + name if name in OBJECTIVES else name for name in theirs))


def _built(own: type[Objective], options: Mapping[str, object], seed: int) -> Objective:
    known = options_of(own)
    if problems := option_problems(f"the objective {own.name!r}", known, options):
        raise ConfigError(problems)
    return own(**({"seed": seed} if "seed" in known else {}) | dict(options))


def _from_torchjd(name: str, options: Mapping[str, object], seed: int) -> Objective:
    if installed():
        found = find(name.removeprefix(PREFIX))
        if found is not None:
            return build(found, options, seed)
    elif name.startswith(PREFIX):
        raise ConfigError(f"the objective {name!r} needs TorchJD, which is not installed: {INSTALL}")
    names = objective_names()
    more = "" if installed() else f"; TorchJD brings more: {INSTALL}"
    raise ConfigError(
        f"there is no objective {name!r}; known are {listing(names)}{more}.{did_you_mean(name, names)}"
    )
