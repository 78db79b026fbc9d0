"""Which adapters a route uses, and under which neutral names they stand in the model.

Adapters may be called like parts of a base's paths (`mlp`, `layers`), which would mix them up with those parts; so
each gets a name of its own inside.

>>> routes = Routes()
>>> routes.add("mlp"), routes.add("topic")
('mtl_0', 'mtl_1')
>>> routes.set("both", {"mlp": 1.0, "topic": 0.5})
>>> routes.stack("both")
(('mtl_0', 1.0), ('mtl_1', 0.5))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hf_mtl.adapters import Span
from hf_mtl.data import Segment
from hf_mtl.errors import ConfigError, did_you_mean, listing

__all__ = ["Routes"]


class Routes:
    """The adapters by name and the routes that use them.

    Attributes:
        weights: By route, the weight of each of its adapters.
    """

    def __init__(self) -> None:
        self.weights: dict[str, dict[str, float]] = {}
        self._inner: dict[str, str] = {}

    def add(self, adapter: str) -> str:
        """Take up an adapter and give it a neutral name; it is a route of its own, unless there is one of its name."""
        self._inner[adapter] = f"mtl_{len(self._inner)}"
        self.weights.setdefault(adapter, {adapter: 1.0})
        return self._inner[adapter]

    def set(self, route: str, adapters: Mapping[str, float]) -> None:
        """Name a stack of adapters with their weights.

        Raises:
            ConfigError: If there is no such adapter.
        """
        for adapter in adapters:
            self.inner(adapter)
        self.weights[route] = dict(adapters)

    def inner(self, adapter: str) -> str:
        """The neutral name of an adapter.

        Raises:
            ConfigError: If there is no such adapter.
        """
        if adapter not in self._inner:
            raise ConfigError(
                f"There is no adapter {adapter!r}; there are {listing(self._inner)}."
                f"{did_you_mean(adapter, self._inner)}"
            )
        return self._inner[adapter]

    def stack(self, route: str) -> tuple[tuple[str, float], ...]:
        """A route's adapters, by their neutral names, with their weights.

        Raises:
            ConfigError: If there is no such route.
        """
        if route not in self.weights:
            raise ConfigError(
                f"There is no route {route!r}; there are {listing(self.weights)}.{did_you_mean(route, self.weights)}"
            )
        return tuple((self._inner[adapter], weight) for adapter, weight in self.weights[route].items())

    def spans(self, segments: Iterable[Segment]) -> tuple[Span, ...]:
        """Which adapter acts where, and how much."""
        return tuple(
            Span(adapter, start, stop, weight)
            for route, start, stop in segments
            for adapter, weight in self.stack(route)
        )
