"""A whole suite on disk: one PEFT folder per task and the manifest that lists them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from hf_mtl.errors import CheckpointError, listing
from hf_mtl.export.adapter_folder import write_adapter_folder
from hf_mtl.models import RoutedModel, load_base
from hf_mtl.models.saved import (
    HeadRecord,
    Manifest,
    Source,
    check_base,
    fetch_suite,
    folder_names,
    parse_source,
    place_adapters,
    read_adapters,
)
from hf_mtl.tasks import Processor, Task, TaskForm

__all__ = ["load_suite", "save_suite"]

logger = logging.getLogger(__name__)


def save_suite(
    model: RoutedModel,
    folder: Path,
    *,
    names: Iterable[str] | None = None,
    processor: Processor | None,
    tasks: Mapping[str, Task] = MappingProxyType({}),
) -> Manifest:
    """Write every route as a PEFT folder, then the manifest.

    A route that is a stack of LoRAs is folded into one. A stack that does not fold is told, and its adapters are
    written one by one.

    Args:
        model: The routed model.
        folder: Where the folders go.
        names: The routes to save; default: every adapter by itself.
        processor: The tokenizer or image processor, saved beside each adapter, so that each folder stands alone.
        tasks: The tasks that are known, by route: the manifest keeps what it takes to answer as they do.

    Returns:
        The manifest that was written.
    """
    if model.identity.hub_id is None:
        logger.warning(
            "The base has no Hub id, so the adapters cannot name their base. Pass hub_id=... to load_base if it "
            "has one."
        )
    folders = folder_names(_that_fold(model, names if names is not None else model.adapter_names))
    folder.mkdir(parents=True, exist_ok=True)
    for name, place in folders.items():
        config, parameters = model.folded(name)
        write_adapter_folder(folder / place, config, parameters, base_hub_id=model.identity.hub_id)
        if processor is not None:
            processor.save_pretrained(str(folder / place))
    heads = {name: head for name in folders if (head := head_record(model, name)) is not None}
    forms = {name: form for name, form in model.forms.items() if name in folders}
    forms |= {name: TaskForm.of(tasks[name]) for name in folders if name in tasks}
    manifest = Manifest(model.identity, folders, heads, forms)
    for name, place in folders.items():
        manifest.of_one(name).save(folder / place)
    manifest.save(folder)
    return manifest


def _that_fold(model: RoutedModel, routes: Iterable[str]) -> list[str]:
    """The routes that are or fold into one adapter, and the adapters of the others."""
    names: dict[str, None] = {}
    for route in routes:
        if model.folds(route):
            names[route] = None
            continue
        logger.warning(
            "Route %r does not fold into one adapter (only LoRAs add up to a LoRA); its adapters %s are saved one by "
            "one, to be stacked again with RoutedModel.add_route.", route, listing(model.routes[route]),
        )  # fmt: skip
        names |= dict.fromkeys(model.routes[route])
    return list(names)


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


def head_record(model: RoutedModel, name: str) -> HeadRecord | None:
    """What a manifest tells of an adapter's head; None for the vocabulary head."""
    spec = model.route_head(name) if name in model.routes else None
    return None if spec is None else HeadRecord(spec, model.auto_class(name), model.labels.get(name))
