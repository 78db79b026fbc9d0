"""A recipe written from data files: what `hf-mtl init` puts down, ready to train."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hf_mtl.errors import ConfigError, DataError
from hf_mtl.files import replacing, writing
from hf_mtl.paths import exists, expanded, is_folder
from hf_mtl.printable import printable
from hf_mtl.recipe.found_files import FoundTask, Source, found_tasks
from hf_mtl.recipe.recognised import template_spec
from hf_mtl.recipe.rows import source_rows
from hf_mtl.recipe.schema import RowsSpec
from hf_mtl.recipe.yaml_text import block, flow

if TYPE_CHECKING:
    from hf_mtl.models import ConfiguredBase
    from hf_mtl.tasks import Recognised

__all__ = ["DEFAULT_BASE", "Draft", "draft_recipe", "write_draft"]

DEFAULT_BASE: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"

_MAX_LENGTH: Final = 512
_WINDOW: Final = 384  # of question answering, whose windows overlap by 128 tokens
_EVAL_SHARE: Final = 0.1
_TRAINING: Final = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 8,
    "learning_rate": "2.0e-4",
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,
    "logging_steps": 10,
    "seed": 42,
}


@dataclass(frozen=True)
class Draft:
    """A recipe that is not written yet.

    Args:
        text: Its YAML.
        lines: What was recognised in each task's rows, and what could not be looked at.
    """

    text: str
    lines: tuple[str, ...]


def draft_recipe(paths: Sequence[Path], output: Path, *, base: str | None = None) -> Draft:
    """Write a recipe for data files.

    Args:
        paths: Files, and folders of files.
        output: Where the recipe will stand; its paths are relative to that folder.
        base: A Hub id or a folder; default: a small causal language model.

    Raises:
        ConfigError: If files do not fit together, or the format of some is not recognised; all that is wrong is listed.
        DataError: If a file cannot be read.
    """
    from hf_mtl.tasks import kind_of

    model, lines = _opened(base or DEFAULT_BASE)
    problems: list[str] = []
    sections, kinds = [], []
    for task in found_tasks(paths):
        try:
            found, rows = _recognised(task, model)
        except (ConfigError, DataError) as error:
            texts = error.problems if isinstance(error, ConfigError) else (str(error),)
            problems += [f"{task.splits['train']}: {text}" for text in texts]
            continue
        if model is not None:
            wrong = model.problems(kind_of(found.reading.spec))
            problems += [f"task {task.name!r} ({found.line}): {text}" for text in wrong]
        lines = [*lines, f"{task.name}: {found.line}"]
        kinds.append(found.reading.kind)
        sections.append(_task(task, found, rows, model, output.parent))
    if problems:
        raise ConfigError(problems)
    head = _head(base or DEFAULT_BASE, kinds, model, output)
    text = "\n".join([*head, "tasks:", *"\n\n".join(sections).split("\n"), "", "training:", *_training(), ""])
    return Draft(text, tuple(lines))


def write_draft(draft: Draft, output: Path, *, force: bool = False) -> None:
    """Write a recipe to its file, once it and a sample of its rows have been checked as `hf-mtl validate` does.

    Raises:
        ConfigError: If there is such a file already, unless `force`; or training would refuse the recipe or a row.
    """
    from hf_mtl.recipe.loading import load_recipe
    from hf_mtl.recipe.row_checks import check_rows

    if exists(output) and not force:
        raise ConfigError(f"{output} exists; give another --output, or --force to write over it.")
    if not is_folder(output.parent):
        raise ConfigError(f"there is no folder {str(output.parent)!r} to write {output.name} into.")
    with replacing(output) as tried:
        with writing(output):
            tried.write_text(draft.text, encoding="utf-8")
        try:
            problems = check_rows(load_recipe(tried)).problems
        except ConfigError as error:
            problems = error.problems
        if problems:
            names = [problem.replace(tried.name, output.name) for problem in problems]
            raise ConfigError([f"{problem} ({output} was not written)" for problem in names])


def _opened(base: str) -> tuple[ConfiguredBase | None, list[str]]:
    """The base's configuration and tokenizer; without them, a line that says so."""
    from hf_mtl.models import ConfiguredBase

    path = expanded(base)
    try:
        return ConfiguredBase.load(path if is_folder(path) else base), []
    except ConfigError as error:
        if path.exists() or path.is_absolute() or base.startswith("."):
            raise
        return None, [f"The base {base} was not looked at, and is taken for a causal language model: {error}"]


def _recognised(task: FoundTask, model: ConfiguredBase | None) -> tuple[Recognised, int]:
    """What was recognised in a task's rows, and how many there are to learn from."""
    from datasets import Dataset

    from hf_mtl.tasks import recognise

    rows = source_rows(_rows_spec(task.splits["train"]))
    for split, source in task.splits.items():
        if split != "train":
            source_rows(_rows_spec(source))  # a broken file is to be found now
    found = recognise(rows, encoder_decoder=model is not None and model.facts.encoder_decoder)
    return found, len(rows) if isinstance(rows, Dataset) else 0


def _rows_spec(source: Source) -> RowsSpec:
    return RowsSpec(source=str(source.path), split=source.split)


def _head(base: str, kinds: Sequence[str], model: ConfiguredBase | None, output: Path) -> list[str]:
    # A path with a dot in front, for without one a folder looks like a Hub id.
    folder = expanded(base)
    written = _relative(folder, output.parent, dotted=True) if is_folder(folder) else base
    defaults = ["  adapter: {r: 8, lora_alpha: 16, target_modules: all-linear}"]
    if any(kind != "image-classification" for kind in kinds):
        defaults.append(f"  max_length: {_longest(model)}  # tokens; longer rows are cut, and counted")
    return [
        f"# hf-mtl train {printable(output.name)}",
        "#",
        f"# Written by `hf-mtl init`. Check changes with `hf-mtl validate {printable(output.name)}`.",
        "",
        f"model: {flow(written)}",
        "",
        f"output_dir: {flow(f'runs/{output.resolve().parent.name}')}",
        "",
        "defaults:",
        *defaults,
        "",
    ]


def _longest(model: ConfiguredBase | None) -> int:
    from hf_mtl.tasks import Declared

    positions = None if model is None else model.context(Declared()).longest
    return min(_MAX_LENGTH, positions or _MAX_LENGTH)


def _task(task: FoundTask, found: Recognised, rows: int, model: ConfiguredBase | None, folder: Path) -> str:
    reading = found.reading
    lines = [f"  # {printable(found.line, kept='')}", f"  {flow(task.name)}:"]
    said = reading.spec
    if reading.kind == "question-answering" and _longest(model) < _WINDOW:
        said = {"name": reading.kind, **reading.options, "doc_stride": _longest(model) // 4}
    lines.append(f"    kind: {flow(said)}")
    for split, source in sorted(
        task.splits.items(), key=lambda item: ("train", "eval", "test").index(item[0])
    ):
        lines.append(f"    {split}: {flow(_source(source, folder))}")
    if "eval" not in task.splits and (share := _eval_share(rows)) is not None:
        lines.append(
            f"    eval_fraction: {share:g}  # of train, held out: no file of rows to measure on was given"
        )
    if reading.columns:
        lines.append(f"    columns: {flow(dict(reading.columns))}")
    if reading.template is not None:
        spec = template_spec(reading.template)
        lines += ["    template:", *block(spec.model_dump(exclude_unset=True), indent=6)]
    if found.labels is not None:
        lines.append(
            f"    labels: {flow(found.labels if isinstance(found.labels, int) else list(found.labels))}"
        )
    return "\n".join(lines)


def _source(source: Source, folder: Path) -> str | dict[str, object]:
    from hf_mtl.data.file_formats import format_of
    from hf_mtl.data.plain_text import sampled_by

    path = _relative(source.path, folder)
    if source.path.is_dir():
        path = _relative(source.path, folder, dotted=True)
        return path if source.split is None else {"source": path, "split": source.split}
    if format_of(source.path) == "text":
        return {"source": path, "sample_by": sampled_by(source.path)}
    return path


def _eval_share(rows: int) -> float | None:
    """The share that is held out: a tenth, or of few rows so much that it is at least one; None of a single row."""
    if rows * _EVAL_SHARE >= 1:
        return _EVAL_SHARE
    return math.ceil(100 / rows) / 100 if rows > 1 else None


def _relative(path: Path, folder: Path, *, dotted: bool = False) -> str:
    text = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    return f"./{text}" if dotted and not text.startswith(".") else text


def _training() -> list[str]:
    return [f"  {name}: {value}" for name, value in _TRAINING.items()]
