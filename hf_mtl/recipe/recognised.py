"""What a recipe leaves open about a task's rows, recognised in them and written into the task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_mtl.bounded_json import read_json
from hf_mtl.notices import logger_of
from hf_mtl.paths import is_folder
from hf_mtl.recipe.declared import kind_of_spec, template_of
from hf_mtl.recipe.schema import ASSET_PREFIX, ModelSpec, TaskSpec, TemplateSpec

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from hf_mtl.data import RowTemplate

__all__ = ["config_file", "is_encoder_decoder", "is_open", "recognised", "template_spec"]

logger = logger_of(__name__)

_SHOWN = 8


def is_open(spec: TaskSpec) -> bool:
    """Whether a task leaves open how its rows are read, or which labels they have."""
    if spec.template is not None:
        return False
    if spec.kind is None:
        return True
    kind = kind_of_spec(spec)
    return not kind.roles or (kind.label_role is not None and spec.labels is None) or not spec.columns


def recognised(
    name: str, spec: TaskSpec, rows: Dataset | IterableDataset, *, encoder_decoder: bool = False
) -> TaskSpec:
    """Fill in what a task leaves open; what was recognised is logged in one line.

    Args:
        name: The task's name.
        spec: The task, its defaults merged.
        rows: All its rows to learn from, before any are drawn or held out; without any, those to measure on.
        encoder_decoder: Whether the base is an encoder-decoder.

    Raises:
        ConfigError: If the rows can be read in no way, or in several; or there is no such kind.
    """
    from hf_mtl.tasks import settle

    found = settle(
        rows,
        kind=spec.kind if spec.kind is None else kind_of_spec(spec),
        columns=spec.columns,
        template=None if spec.template is None else template_of(spec.template),
        labels=spec.labels,
        encoder_decoder=encoder_decoder,
    )
    filled: dict[str, Any] = {"columns": dict(found.columns), "labels": found.labels}  # Any: of the schema
    filled["kind"] = _kind(spec, found.kind)
    if found.template is not None and spec.template is None:
        filled["template"] = template_spec(found.template)
    settled = spec.model_copy(
        update={key: value for key, value in filled.items() if value != vars(spec)[key]}
    )
    if found.line is not None:
        logger.info("%s: %s", name, found.line)
        return settled
    return _with_labels(name, settled, rows)


def _kind(spec: TaskSpec, found: object) -> object:
    """The kind as a recipe writes it: what it said, unless it said a bare name that has options now."""
    from hf_mtl.tasks import Kind

    return spec.kind if isinstance(found, Kind) and spec.kind is not None else found


def _with_labels(name: str, spec: TaskSpec, rows: Dataset | IterableDataset) -> TaskSpec:
    """The labels that the rows hold, for a task that says its kind and not its labels."""
    from hf_mtl.tasks import found_labels
    from hf_mtl.tasks.formats import Columns, Sort

    kind = kind_of_spec(spec)
    role = kind.label_role
    if role is None or spec.labels is not None:
        return spec
    column = spec.columns.get(role, kind.roles[role].column)
    if Columns.of(rows, {}).sorts.get(column) in (Sort.CLASS, Sort.CLASSES):
        return spec
    labels = found_labels(rows, column, multi_label=kind.multi_label)
    if labels is None:
        return spec
    count = labels if isinstance(labels, int) else len(labels)
    shown = (
        "numbered from 0"
        if isinstance(labels, int)
        else ", ".join(f"{label:.40}" for label in labels[:_SHOWN])
    )
    logger.info("%s: %d labels in %s: %s%s", name, count, column, shown, ", ..." if count > _SHOWN else "")
    return spec.model_copy(update={"labels": labels})


def template_spec(template: RowTemplate) -> TemplateSpec:
    """A template as a recipe writes it."""
    from hf_mtl.data import Chat, PromptCompletion

    if isinstance(template, PromptCompletion):
        texts = TemplateSpec(prompt=template.prompt, completion=template.completion)
        return texts if template.engine == "format" else texts.model_copy(update={"engine": template.engine})
    assert isinstance(template, Chat)
    chat = TemplateSpec(messages=template.messages)
    more = {"completion": template.completion}
    return chat if template.completion is None else chat.model_copy(update=more)


def is_encoder_decoder(model: ModelSpec, folder: Path) -> bool:
    """Whether a recipe's base is an encoder-decoder, as far as that is known without the network.

    Args:
        model: The base.
        folder: What the path of its weights is relative to.
    """
    config = config_file(model, folder)
    if config is None or not config.is_file():
        return False
    try:
        content = read_json(config)
    except (OSError, ValueError):
        return False  # where the base is checked or loaded, it is said what is wrong with the file
    return isinstance(content, dict) and bool(content.get("is_encoder_decoder"))


def config_file(model: ModelSpec, folder: Path) -> Path | None:
    """Where a base's configuration is on this machine; None if only the Hub has it."""
    source = model.source or model.id
    if source.startswith(ASSET_PREFIX):
        from hf_mtl.data.assets import is_fetched, resolve_asset

        name = source.removeprefix(ASSET_PREFIX)
        return resolve_asset(name) / "config.json" if is_fetched(name) else None
    if is_folder(folder / source):
        return folder / source / "config.json"
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(model.id, "config.json") if model.id else None
    except HFValidationError:  # the check of the model says what is wrong with its id
        return None
    return Path(cached) if isinstance(cached, str) else None
