"""A saved suite, loaded with its base."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.errors import CheckpointError
from hf_mtl.models.base import load_base
from hf_mtl.models.routed_model import RoutedModel
from hf_mtl.models.saved import (
    Source,
    check_base,
    fetch_suite,
    parse_source,
    place_adapters,
    read_adapters,
)

__all__ = ["load_suite"]


def load_suite(
    suite: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
    token: str | None = None,
) -> RoutedModel:
    """Load a base and all adapters of a saved suite.

    Args:
        suite: The folder with `hf_mtl.json`, or the suite's repository on the Hub, `user/suite` or
            `user/suite@revision`.
        base: Where the base is loaded from; default: where it was loaded from when the suite was saved, or its Hub
            id if the suite comes from there.
        dtype: The base's dtype; default that of its files.
        quantization: As in `load_base`. On a base that is quantised in another way than that of the training,
            answers differ by the rounding, and a warning says so.
        token: For private repositories; default: that of `hf auth login`.

    Raises:
        CheckpointError: If a part is missing or broken, or the base's weights are not those that the adapters
            belong to.
    """
    source = _suite_source(suite)
    manifest, files = fetch_suite(source, token=token)
    adapters = read_adapters(files)
    own = manifest.base
    named = own.source or own.hub_id if source.repo is None else own.hub_id or own.source
    if base is None and named is None:
        raise CheckpointError(f"{source}: the manifest names no base that could be loaded; pass base=... .")
    loaded, identity = load_base(
        base or named or "", dtype=dtype, hub_id=own.hub_id, quantization=quantization, token=token
    )
    check_base(own, identity, where=str(source))
    model = RoutedModel(loaded, identity=identity)
    place_adapters(model, identity, adapters)
    return model


def _suite_source(suite: str | Path) -> Source:
    if isinstance(suite, Path):
        return Source(folder=suite)
    source = parse_source(suite)
    if source.task is not None:
        raise CheckpointError(
            f"{source} names one task of a suite. RoutedModel.from_pretrained(base, {{'name': {str(source)!r}}}) loads "
            f"one."
        )
    return source
