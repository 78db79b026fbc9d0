"""Saved adapters put on a routed model, all of them or none.

First everything is read and checked that needs no model (`read_adapters`); then each adapter is made beside the model
and given its weights; and only when all of them are whole are they placed (`place_adapters`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peft import PeftConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hf_mtl.errors import CheckpointError, ConfigError, SavedAdapterError
from hf_mtl.heads import HeadSpec
from hf_mtl.models.base import BaseIdentity
from hf_mtl.models.planned import PlannedAdapter
from hf_mtl.models.routed_adapters import RoutedAdapters
from hf_mtl.models.saved.adapter_files import CONFIG_FILE, WEIGHTS_FILE, restore_parameters
from hf_mtl.models.saved.checks import check_base, check_named_base, check_sizes
from hf_mtl.models.saved.configs import SavedConfig, read_config
from hf_mtl.models.saved.headers import TensorEntry, read_header
from hf_mtl.models.saved.sources import AdapterFiles, Source, fetch, parse_source
from hf_mtl.models.saved.stock_heads import saved_head

__all__ = ["SavedAdapter", "place_adapters", "read_adapter_folder", "read_adapters"]


@dataclass(frozen=True)
class SavedAdapter:
    """An adapter whose files are here and have been checked, as far as that goes without a model.

    Args:
        files: The files.
        saved: What the config says.
        header: What the file of weights declares.
    """

    files: AdapterFiles
    saved: SavedConfig
    header: Mapping[str, TensorEntry]

    def head(self, *, images: bool) -> HeadSpec | None:
        """Its head, from the manifest or from PEFT's files."""
        manifest, task = self.files.manifest, self.files.task
        if manifest is None or task is None:
            return saved_head(self.saved, self.header, images=images, where=self.files.where)
        return manifest.heads[task].spec if task in manifest.heads else None

    def check_base(self, base: BaseIdentity) -> None:
        """Check that it was made for a base.

        Raises:
            CheckpointError: If it was not.
        """
        if self.files.manifest is not None:
            check_base(self.files.manifest.base, base, where=self.files.where)
        else:
            check_named_base(self.saved.config.base_model_name_or_path, base, where=self.files.where)

    def tensors(self) -> dict[str, Tensor]:
        """Its weights.

        Raises:
            CheckpointError: If they cannot be read.
        """
        try:
            weights: dict[str, Tensor] = load_file(self.files.folder / WEIGHTS_FILE)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{self.files.where}: the adapter cannot be read: {error}") from error
        return weights


def read_adapter_folder(folder: Path) -> tuple[PeftConfig, dict[str, Tensor]]:
    """Read a PEFT folder: its config and its weights.

    Raises:
        CheckpointError: If a file is missing or broken, or what it declares is not supported or absurd.
    """
    adapter = _checked(fetch(Source(folder=folder)))
    return adapter.saved.config, adapter.tensors()


def _checked(files: AdapterFiles) -> SavedAdapter:
    """An adapter whose files hold what they must."""
    files.check()
    saved = read_config(files.folder / CONFIG_FILE, where=files.where)
    header = read_header(files.folder / WEIGHTS_FILE, where=files.where)
    check_sizes(header, saved.config, where=files.where)
    return SavedAdapter(files, saved, header)


def read_adapters(
    sources: Mapping[str, str | Path | AdapterFiles], *, token: str | None = None
) -> dict[str, SavedAdapter]:
    """Fetch and check adapters.

    Args:
        sources: Where each is, by the name that it will have.
        token: For private repositories; default: that of `hf auth login`.

    Raises:
        SavedAdapterError: With the problems of all of them.
    """
    adapters, problems = {}, []
    for name, source in sources.items():
        try:
            files = source if isinstance(source, AdapterFiles) else fetch(parse_source(source), token=token)
            adapters[name] = _checked(files)
        except (CheckpointError, ConfigError) as error:
            problems += _named(name, error)
    if problems:
        raise SavedAdapterError(problems)
    return adapters


def place_adapters(
    model: RoutedAdapters,
    base: BaseIdentity,
    adapters: Mapping[str, SavedAdapter],
    *,
    allow_other_base: bool = False,
) -> None:
    """Put adapters on a model.

    Args:
        model: The model.
        base: What its base is called.
        adapters: By the names that they will have.
        allow_other_base: Whether to take adapters that were made for another base, if only their shapes fit.

    Raises:
        SavedAdapterError: With the problems of all of them; then the model is as it was.
    """
    planned, problems = {}, []
    for name, adapter in adapters.items():
        try:
            if not allow_other_base:
                adapter.check_base(base)
            planned[name] = _prepared(model, name, adapter)
        except (CheckpointError, ConfigError) as error:
            problems += _named(name, error)
    if problems:
        raise SavedAdapterError(problems)
    for name, own in planned.items():
        model.place(name, own)
        _describe(model, name, adapters[name].files)


def _prepared(model: RoutedAdapters, name: str, adapter: SavedAdapter) -> PlannedAdapter:
    """The adapter with its weights, beside the model."""
    config = adapter.saved.config
    head = adapter.head(images=model.base.main_input_name == "pixel_values")
    if head is not None:
        config.task_type = None  # of the head's class, which the head will give it again
    planned = model.prepare(name, config, head=head)
    restore_parameters(planned.parameters, adapter.tensors(), where=adapter.files.where)
    return planned


def _describe(model: RoutedAdapters, name: str, files: AdapterFiles) -> None:
    """Keep what the manifest knows of the adapter's task."""
    if files.manifest is None or files.task is None:
        return
    head, form = files.manifest.heads.get(files.task), files.manifest.forms.get(files.task)
    if head is not None and head.labels is not None:
        model.labels[name] = head.labels
    if form is not None:
        model.forms[name] = form
        if form.ends:
            model.ends[name] = form.ends


def _named(name: str, error: CheckpointError | ConfigError) -> list[str]:
    """An error's problems, each with the adapter's name."""
    own = error.problems if isinstance(error, ConfigError | SavedAdapterError) else (str(error),)
    start = f"adapter {name!r}: "
    return [problem if problem.startswith(start) else start + problem for problem in own]
