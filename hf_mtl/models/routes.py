"""Which adapters a route uses, and under which neutral names they stand in the model.

Adapters may be called like parts of a base's paths (`mlp`, `layers`), which would mix them up with those parts; so
each gets a name of its own inside.

>>> routes = Routes()
>>> routes.add("mlp"), routes.add("topic")
('mtl_0', 'mtl_1')
>>> routes.set("both", {"mlp": 1.0, "topic": 0.5})
>>> [(span.adapter, span.weight) for span in routes.stack("both")]
[('mtl_0', 1.0), ('mtl_1', 0.5)]
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from torch import nn

from hf_mtl.adapters import Span
from hf_mtl.data import Segment
from hf_mtl.errors import ConfigError, did_you_mean, listing

__all__ = ["Routes", "check_new_name"]

NONE: Mapping[str, nn.Parameter] = MappingProxyType({})


def check_new_name(name: object, taken: Collection[str]) -> None:
    """Check that an adapter can be called by a name.

    Raises:
        ConfigError: If it is not text, is blank, or the name of another.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"an adapter's name must be text that is not blank, found {name!r:.80}.")
    if name in taken:
        raise ConfigError(f"There is an adapter {name!r} already; names must differ.")


class Routes:
    """The adapters by name and the routes that use them.

    Attributes:
        weights: By route, the weight of each of its adapters.
        factors: By route, the learned scalars that multiply these weights, for the adapters that have one.
    """

    def __init__(self) -> None:
        self.weights: dict[str, dict[str, float]] = {}
        self.factors: dict[str, dict[str, nn.Parameter]] = {}
        self._inner: dict[str, str] = {}
        self._count = 0  # of all adapters that there have ever been: a neutral name is never given again

    def __contains__(self, adapter: str) -> bool:
        return adapter in self._inner

    def add(self, adapter: str) -> str:
        """Take up an adapter and give it a neutral name; it is a route of its own, unless there is one of its name."""
        self._inner[adapter] = f"mtl_{self._count}"
        self._count += 1
        self.weights.setdefault(adapter, {adapter: 1.0})
        return self._inner[adapter]

    def remove(self, adapter: str) -> Mapping[str, nn.Parameter]:
        """Forget an adapter and the route of its name.

        Returns:
            The learned scalars of that route.

        Raises:
            ConfigError: If there is no such adapter, or other routes use it.
        """
        self.inner(adapter)
        users = [route for route, weights in self.weights.items() if adapter in weights and route != adapter]
        if users:
            raise ConfigError(
                f"The adapter {adapter!r} is used by the routes {listing(users)}. Give these others first, with "
                f"add_route."
            )
        del self._inner[adapter], self.weights[adapter]
        return self.factors.pop(adapter, NONE)

    def set(
        self, route: str, adapters: Mapping[str, float], factors: Mapping[str, nn.Parameter] = NONE
    ) -> None:
        """Name a stack of adapters with their weights.

        Raises:
            ConfigError: If there is no such adapter.
        """
        for adapter, weight in adapters.items():
            self.inner(adapter)
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
                raise ConfigError(
                    f"route {route!r}: the weight of {adapter!r} is {weight!r}; expected a finite number."
                )
        self.weights[route] = dict(adapters)
        self.factors[route] = dict(factors)

    def weights_of(self, route: str) -> Mapping[str, float]:
        """The weights of a route's adapters.

        Raises:
            ConfigError: If there is no such route.
        """
        if route not in self.weights:
            near = did_you_mean(str(route), self.weights)
            raise ConfigError(
                f"There is no route {route!r}; there are {listing(self.weights) or 'none'}.{near}"
            )
        return self.weights[route]

    def weight(self, route: str, adapter: str) -> float:
        """The weight of one of a route's adapters, as it has been learned."""
        factor = self.factors.get(route, {}).get(adapter)
        return self.weights[route][adapter] * (1.0 if factor is None else factor.item())

    def inner(self, adapter: str) -> str:
        """The neutral name of an adapter.

        Raises:
            ConfigError: If there is no such adapter.
        """
        if adapter not in self._inner:
            raise ConfigError(
                f"There is no adapter {adapter!r}; there are {listing(self._inner) or 'none'}."
                f"{did_you_mean(adapter, self._inner)}"
            )
        return self._inner[adapter]

    def stack(self, route: str) -> tuple[Span, ...]:
        """A route's adapters, by their neutral names, with their weights, as spans of nothing.

        Raises:
            ConfigError: If there is no such route.
        """
        if route not in self.weights:
            raise ConfigError(
                f"There is no route {route!r}; there are {listing(self.weights)}.{did_you_mean(route, self.weights)}"
            )
        factors = self.factors.get(route, {})
        return tuple(
            Span(self._inner[adapter], 0, 0, weight, factors.get(adapter), route)
            for adapter, weight in self.weights[route].items()
        )

    def spans(self, segments: Iterable[Segment]) -> tuple[Span, ...]:
        """Which adapter acts where, and how much."""
        return tuple(
            span._replace(start=start, stop=stop)
            for route, start, stop in segments
            for span in self.stack(route)
        )
