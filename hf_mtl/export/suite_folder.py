"""A whole suite on disk: one PEFT folder per task and the manifest that lists them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from hf_mtl.errors import CheckpointError, listing
from hf_mtl.export.adapter_folder import write_adapter_folder
from hf_mtl.models import RoutedModel, load_base
from hf_mtl.models.saved import HeadRecord, Manifest, folder_names, read_adapter_folder, restore_parameters
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
    forms = {name: TaskForm.of(tasks[name]) for name in folders if name in tasks}
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
    folder: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
) -> RoutedModel:
    """Load a base and all adapters of a saved suite.

    Args:
        folder: The folder with `hf_mtl.json`.
        base: Where the base is loaded from; default: where it was loaded from when the suite was saved.
        dtype: The base's dtype; default that of its files.
        quantization: As in `load_base`; a suite trained on a quantised base needs it quantised in the same way.

    Raises:
        CheckpointError: If a part is missing or broken, or the base's weights are not those that the adapters
            belong to.
    """
    folder = Path(folder)
    manifest = Manifest.load(folder)
    source = base or manifest.base.source or manifest.base.hub_id
    if source is None:
        raise CheckpointError(f"{folder}: the manifest names no base that could be loaded; pass base=... .")
    loaded, identity = load_base(source, dtype=dtype, hub_id=manifest.base.hub_id, quantization=quantization)
    if identity.fingerprint != manifest.base.fingerprint:
        raise CheckpointError(
            f"{folder}: the adapters were trained on a base with the fingerprint {manifest.base.fingerprint}, but "
            f"{str(source)!r} has {identity.fingerprint}: other weights, for which they were not made."
            + (f" The base was: {manifest.base.note}." if manifest.base.note else "")
        )
    model = RoutedModel(loaded, identity=identity)
    for name, place in manifest.tasks.items():
        config, tensors = read_adapter_folder(folder / place)
        head = manifest.heads.get(name)
        model.add_adapter(name, config, head=None if head is None else head.spec)
        if head is not None and head.labels is not None:
            model.labels[name] = head.labels
        restore_parameters(model.adapter_parameters(name), tensors, where=str(folder / place))
    return model


def head_record(model: RoutedModel, name: str) -> HeadRecord | None:
    """What a manifest tells of an adapter's head; None for the vocabulary head."""
    spec = model.route_head(name) if name in model.routes else None
    return None if spec is None else HeadRecord(spec, model.auto_class(name), model.labels.get(name))
