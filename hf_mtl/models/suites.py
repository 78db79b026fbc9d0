"""A saved suite, loaded with its base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hf_mtl.errors import CheckpointError
from hf_mtl.models.base import load_base, load_processor
from hf_mtl.models.processors import read_image_processor, read_tokenizer
from hf_mtl.models.routed_model import RoutedModel
from hf_mtl.models.saved import (
    AdapterFiles,
    Manifest,
    Source,
    check_base,
    fetch_suite,
    parse_source,
    place_adapters,
    read_adapters,
)
from hf_mtl.tasks import Processor

__all__ = ["SavedSuite", "load_suite"]


def load_suite(
    suite: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
    token: str | None = None,
    allow_pickle: bool = False,
) -> RoutedModel:
    """Load a base and all adapters of a saved suite.

    Args:
        suite: The folder with `hf_mtl.json`, or the suite's repository on the Hub, `user/suite` or
            `user/suite@revision`; or one task of either, `user/suite:task`.
        base: Where the base is loaded from; default: where it was loaded from when the suite was saved, or its Hub
            id if the suite comes from there.
        dtype: The base's dtype; default that of its files.
        quantization: As in `load_base`. On a base that is quantised in another way than that of the training,
            answers differ by the rounding, and a warning says so.
        token: For private repositories; default: that of `hf auth login`.
        allow_pickle: Whether the base's weights may be pickles, as in `load_base`; an adapter's never may.

    Raises:
        CheckpointError: If a part is missing or broken, or the base's weights are not those that the adapters
            belong to.
        ConfigError: If the base cannot be loaded.
    """
    return SavedSuite.find(suite, token=token).load(
        base=base, dtype=dtype, quantization=quantization, allow_pickle=allow_pickle
    )


@dataclass(frozen=True)
class SavedSuite:
    """A suite whose files are on this machine.

    Args:
        source: Where it was found.
        manifest: What it says of itself.
        files: By task, its adapter's files.
        token: For a base that is private.
    """

    source: Source
    manifest: Manifest
    files: Mapping[str, AdapterFiles]
    token: str | None = None

    @classmethod
    def find(cls, suite: str | Path, *, token: str | None = None) -> SavedSuite:
        """Bring a suite's files to this machine; arguments and errors as in `load_suite`."""
        source = Source(folder=suite) if isinstance(suite, Path) else parse_source(suite)
        return cls(source, *fetch_suite(source, token=token), token)

    def load(
        self,
        *,
        base: str | Path | None = None,
        dtype: str | None = None,
        quantization: str | None = None,
        allow_pickle: bool = False,
    ) -> RoutedModel:
        """Load the base and the adapters; arguments and errors as in `load_suite`."""
        adapters = read_adapters(self.files)
        own = self.manifest.base
        named = own.source or own.hub_id if self.source.repo is None else own.hub_id or own.source
        if base is None and named is None:
            raise CheckpointError(
                f"{self.source}: the manifest names no base that could be loaded; pass base=... ."
            )
        loaded, identity = load_base(
            base or named or "",
            dtype=dtype,
            hub_id=own.hub_id,
            quantization=quantization,
            token=self.token,
            allow_pickle=allow_pickle,
        )
        check_base(own, identity, where=str(self.source))
        model = RoutedModel(loaded, identity=identity)
        place_adapters(model, identity, adapters)
        return model

    def processor(self, model: RoutedModel) -> Processor:
        """What lies beside the adapters, which may have a chat template of its own; else what the model's base has."""
        for files in self.files.values():
            if (files.folder / "tokenizer_config.json").is_file():
                return read_tokenizer(files.folder, shown=files.where)
            if (files.folder / "preprocessor_config.json").is_file():
                return read_image_processor(files.folder, shown=files.where)
        own = model.identity
        return load_processor(own.source or own.hub_id or str(model.base.name_or_path))
