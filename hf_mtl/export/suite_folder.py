"""A whole suite on disk: one PEFT folder per task, written, and the manifest that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from hf_mtl.errors import listing
from hf_mtl.export.adapter_folder import write_adapter_folder
from hf_mtl.export.generation_file import write_generation_config
from hf_mtl.files import folder_names, staged, writing
from hf_mtl.models import RoutedModel
from hf_mtl.models.saved import GENERATION_FILE, HeadRecord, Manifest
from hf_mtl.notices import logger_of
from hf_mtl.tasks import Processor, Task, TaskForm

__all__ = ["head_record", "save_suite"]

logger = logger_of(__name__)


def save_suite(
    model: RoutedModel,
    folder: Path,
    *,
    names: Iterable[str] | None = None,
    processor: Processor | None,
    tasks: Mapping[str, Task] = MappingProxyType({}),
) -> Manifest:
    """Write every route as a PEFT folder, and the manifest: all of them, or none.

    A route that is a stack of LoRAs is folded into one. A stack that does not fold is logged, and its adapters are
    written one by one.

    Args:
        model: The routed model.
        folder: Where the folders go.
        names: The routes to save; default: every adapter by itself.
        processor: The tokenizer or image processor, saved beside each adapter, so that each folder stands alone.
        tasks: The tasks that are known, by route: the manifest keeps what it takes to answer as they do.

    Returns:
        The manifest that was written.

    Raises:
        WriteError: If a file cannot be written. The adapters that were in the folder before are still there.
    """
    base = model.identity.hub_id or model.base.name_or_path or None
    if base is None:
        logger.warning(
            "The base has no Hub id and came from no folder, so the adapters cannot name it. Load it from where it is "
            "kept, or pass hub_id=... to load_base."
        )
    folders = folder_names(_that_fold(model, names if names is not None else model.adapter_names))
    heads = {name: head for name in folders if (head := head_record(model, name)) is not None}
    forms = {name: form for name, form in model.forms.items() if name in folders}
    forms |= {
        name: TaskForm.of(tasks[name], ends=model.ends.get(name, ())) for name in folders if name in tasks
    }
    manifest = Manifest(model.identity, folders, heads, forms)
    with staged(folder, gone=[f"{place}/{GENERATION_FILE}" for place in folders.values()]) as new:
        for name, place in folders.items():
            config, parameters = model.folded(name)
            write_adapter_folder(new / place, config, parameters, base=base)
            if processor is not None:
                with writing(new / place):
                    processor.save_pretrained(str(new / place))
            write_generation_config(new / place, model, name, processor)
            manifest.of_one(name).save(new / place)
        manifest.save(new)
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


def head_record(model: RoutedModel, name: str) -> HeadRecord | None:
    """What a manifest tells of an adapter's head; None for the vocabulary head."""
    spec = model.route_head(name) if name in model.routes else None
    return None if spec is None else HeadRecord(spec, model.auto_class(name), model.labels.get(name))
