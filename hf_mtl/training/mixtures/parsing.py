"""From a setting, as it stands in arguments and recipes, to a mixture."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.training.mixtures.kinds import (
    All,
    Annealed,
    Proportional,
    Rates,
    RoundRobin,
    Sequential,
    Temperature,
)
from hf_mtl.training.mixtures.mixture import Mixture

__all__ = ["MIXTURES", "mixture_from", "mixture_problems"]

MIXTURES: Mapping[str, Callable[..., Mixture]] = {
    "all": All,
    "annealed": Annealed,
    "proportional": Proportional,
    "rates": Rates,
    "round_robin": RoundRobin,
    "sequential": Sequential,
    "temperature": Temperature,
}


def mixture_from(value: str | Mapping[str, object] | Mixture, names: Sequence[str]) -> Mixture:
    """Build the mixture that a setting asks for.

    Args:
        value: The kind's name, a mapping of `kind` and its options, or a mixture, which is returned as it is.
        names: The tasks that train, in the order of the suite.

    Raises:
        ConfigError: With all problems at once: unknown kind or option, wrong value, unknown or missing task.

    Example:
        >>> mixture_from({"kind": "temperature", "temperature": 2.0, "cap": 10000}, ["a", "b"])
        Temperature(cap=10000, unit='examples', temperature=2.0)
        >>> mixture_from("sequental", ["a", "b"])
        Traceback (most recent call last):
            ...
        hf_mtl.errors.ConfigError: mixture: there is no kind 'sequental'; known are 'all', 'annealed', 'proportional', \
'rates', 'round_robin', 'sequential', 'temperature', and any object of a class derived from Mixture. Did you mean \
'sequential'?
    """
    mixture, problems = _built(value, names)
    if mixture is None or problems:
        raise ConfigError([f"mixture: {problem}" for problem in problems])
    return mixture


def mixture_problems(value: str | Mapping[str, object] | Mixture, names: Sequence[str]) -> list[str]:
    """What `mixture_from` would raise."""
    try:
        mixture_from(value, names)
    except ConfigError as error:
        return list(error.problems)
    return []


def _built(value: object, names: Sequence[str]) -> tuple[Mixture | None, list[str]]:
    if isinstance(value, Mixture):
        return value, value.name_problems(names)
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        return None, [f"expected a kind's name, a mapping with 'kind', or a Mixture, found {value!r}."]
    if "kind" not in value:
        return None, [f"the option 'kind' is missing; choose one of {listing(MIXTURES)}."]
    kind, options = value["kind"], {name: option for name, option in value.items() if name != "kind"}
    if not isinstance(kind, str) or kind not in MIXTURES:
        return None, [
            f"there is no kind {kind!r}; known are {listing(MIXTURES)}, and any object of a class derived from "
            f"Mixture.{did_you_mean(str(kind), MIXTURES)}"
        ]
    return _with_options(kind, options, names)


def _with_options(
    kind: str, options: Mapping[object, object], names: Sequence[str]
) -> tuple[Mixture | None, list[str]]:
    parameters = inspect.signature(MIXTURES[kind]).parameters
    valid = f"valid are {listing(parameters)}" if parameters else "it has none"
    problems = [
        f"kind {kind!r} has no option {name!r}; {valid}.{did_you_mean(str(name), parameters)}"
        for name in options
        if name not in parameters
    ]
    missing = [
        f"kind {kind!r} needs the option {name!r}."
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and name not in options
    ]
    if missing:
        return None, problems + missing
    try:
        mixture = MIXTURES[kind](**{name: options[name] for name in parameters if name in options})
    except ConfigError as error:
        return None, problems + list(error.problems)
    return mixture, problems + mixture.name_problems(names)
