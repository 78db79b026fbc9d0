"""The routed layers of one base, by their paths."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from torch import nn
from transformers import PreTrainedModel

from hf_mtl.adapters import LayerUpdate, RoutedLinear

__all__ = ["RoutedLayers", "file_keys"]


def file_keys(
    updates: Mapping[str, LayerUpdate], file_path: Callable[[str], str | None]
) -> dict[str, nn.Parameter]:
    """An adapter's parameters, keyed as in PEFT's files.

    Args:
        updates: By the path of the layer that each changes.
        file_path: From a layer's path in the base to that in the class that the files are for; None if that class
            lacks the layer.
    """
    paths = {path: file_path(path) for path in updates}
    return {
        f"base_model.model.{paths[path]}.{ending}": parameter
        for path, update in updates.items()
        if paths[path] is not None
        for ending, parameter in update.file_parameters().items()
    }


class RoutedLayers:
    """The routed layers of a base: each stands in the place of a layer that some adapter changes.

    Args:
        base: The base; its layers are wrapped where `place` says.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        self._base = base
        self._by_path: dict[str, RoutedLinear] = {}

    def place(self, inner: str, updates: Mapping[str, LayerUpdate]) -> None:
        """Put an adapter's updates to their layers.

        Args:
            inner: The adapter's neutral name.
            updates: By the path of the layer that each changes.
        """
        for path, update in updates.items():
            self._layer(path).adapters[inner] = update

    def updates(self, inner: str) -> dict[str, LayerUpdate]:
        """An adapter's updates, by the paths of the layers that they change."""
        return {path: layer.update(inner) for path, layer in self._by_path.items() if inner in layer.adapters}

    def file_parameters(self, inner: str, file_path: Callable[[str], str | None]) -> dict[str, nn.Parameter]:
        """The parameters of a placed adapter; see `file_keys`."""
        return file_keys(self.updates(inner), file_path)

    def remove(self, inner: str) -> None:
        """Take an adapter's updates out; a layer that no adapter changes any more is the base's own again.

        Args:
            inner: The adapter's neutral name.
        """
        for path in self.updates(inner):
            layer = self._by_path[path]
            del layer.adapters[inner]
            if not layer.adapters:
                self._base.set_submodule(path, layer.base_layer)
                del self._by_path[path]

    @contextlib.contextmanager
    def taken_out(self) -> Iterator[None]:
        """The base as it was before any layer was wrapped, for PEFT to plan on."""
        for path, layer in self._by_path.items():
            self._base.set_submodule(path, layer.base_layer)
        try:
            yield
        finally:
            for path, layer in self._by_path.items():
                self._base.set_submodule(path, layer)

    def _layer(self, path: str) -> RoutedLinear:
        """The routed layer at `path`, put there if none is."""
        if path not in self._by_path:
            layer = self._base.get_submodule(path)
            at_head = layer is self._base.get_output_embeddings()
            self._by_path[path] = RoutedLinear(layer, at_head=at_head)
            self._base.set_submodule(path, self._by_path[path])
        return self._by_path[path]
