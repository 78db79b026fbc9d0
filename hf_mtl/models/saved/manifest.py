"""The manifest of a saved suite: which base, which tasks, in which folders.

Task names may be any text, folder names may not; so each task gets a folder whose name is a harmless form of
its own (`hf_mtl.files.folder_names`), and the manifest (`hf_mtl.json`) keeps the pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from hf_mtl.bounded_json import MAX_BYTES
from hf_mtl.errors import CheckpointError, ConfigError, listing
from hf_mtl.files import write_text
from hf_mtl.files.records import checked_record, read_record
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models.base import BaseIdentity
from hf_mtl.printable import json_text
from hf_mtl.tasks import TaskForm

__all__ = ["MANIFEST_FILE", "HeadRecord", "Manifest"]

MANIFEST_FILE = "hf_mtl.json"
_WHAT = "a manifest of hf_mtl"
_MAX_OUTPUTS = 1_000_000  # of a head
_RULES = ConfigDict(extra="forbid")
FORMAT_VERSION = 3  # 1 had no heads, 2 no forms and no other repositories


@dataclass(frozen=True)
class HeadRecord:
    """The head of an adapter's own.

    Args:
        spec: Its shape and size.
        auto_class: The auto class of transformers that the adapter's folder goes with, with `num_labels` outputs.
        labels: The names of its outputs, where it has labels.
    """

    spec: HeadSpec
    auto_class: str
    labels: tuple[str, ...] | None = None

    def content(self) -> dict[str, Any]:  # Any: plain JSON
        """As JSON."""
        labels = None if self.labels is None else list(self.labels)
        return {
            "shape": self.spec.shape.value,
            "outputs": self.spec.outputs,
            "auto_class": self.auto_class,
            "labels": labels,
        }


@dataclass(frozen=True)
class Manifest:
    """What a saved suite holds.

    Args:
        base: The base that the adapters were trained on.
        tasks: Folder by task name, relative to the manifest (`.` is the manifest's own), or to the root of the task's
            repository.
        heads: The heads of those adapters that have one of their own.
        forms: What is known of the tasks themselves; nothing of an adapter that was saved without its task.
        repos: For those tasks that are in a repository of their own on the Hub, `user/name@commit`.
    """

    base: BaseIdentity
    tasks: Mapping[str, str]
    heads: Mapping[str, HeadRecord] = field(default_factory=dict)
    forms: Mapping[str, TaskForm] = field(default_factory=dict)
    repos: Mapping[str, str] = field(default_factory=dict)

    def of_one(self, task: str) -> Manifest:
        """The manifest of one task's folder, with which this stands alone."""
        heads = {task: self.heads[task]} if task in self.heads else {}
        forms = {task: self.forms[task]} if task in self.forms else {}
        return Manifest(self.base, {task: "."}, heads, forms)

    def save(self, folder: Path) -> None:
        """Write `hf_mtl.json`; call it after everything that it names is in place."""
        write_text(folder / MANIFEST_FILE, self.text())

    def text(self) -> str:
        """What `hf_mtl.json` holds."""
        content = {
            "format_version": FORMAT_VERSION,
            "base": asdict(self.base),
            "tasks": dict(self.tasks),
            "heads": {name: head.content() for name, head in self.heads.items()},
            "forms": {name: form.content() for name, form in self.forms.items()},
            "repos": dict(self.repos),
        }
        return json_text(content, indent=2) + "\n"

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read the manifest of a folder.

        Raises:
            CheckpointError: If there is none, it is broken, made by a newer version, or names a folder
                outside.
        """
        file = folder / MANIFEST_FILE
        if not file.is_file():
            raise CheckpointError(
                f"{folder} holds no {MANIFEST_FILE}; give the folder that save_model or `hf-mtl train` wrote."
            )
        _, raw = read_record(file, _WHAT, newest=FORMAT_VERSION, oldest=1, max_bytes=MAX_BYTES)
        content = checked_record(file, _WHAT, _content_adapter(), raw)
        tasks = content.tasks
        _check_names(file, tasks, {"heads": content.heads, "forms": content.forms, "repos": content.repos})
        heads = {
            name: HeadRecord(HeadSpec(HeadShape(head.shape), head.outputs), head.auto_class, head.labels)
            for name, head in content.heads.items()
        }
        forms = {name: _form(file, name, form) for name, form in content.forms.items()}
        outside = [path for path in tasks.values() if not _inside(folder, path)]
        if outside:
            raise CheckpointError(f"{file} names folders outside its own: {outside!r:.200}. It is refused.")
        return cls(BaseIdentity(**vars(content.base)), tasks, heads, forms, content.repos)


@dataclass(frozen=True)
class _Base(BaseIdentity):
    __pydantic_config__: ClassVar[ConfigDict] = _RULES


@dataclass(frozen=True)
class _Head:
    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    shape: Literal["sequence", "token", "span"]
    outputs: Annotated[int, Field(ge=1, le=_MAX_OUTPUTS, strict=True)]
    auto_class: str
    labels: tuple[str, ...] | None


@dataclass(frozen=True)
class _Content:
    """What the file holds beside its version."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    base: _Base
    tasks: dict[str, str]
    heads: dict[str, _Head] = field(default_factory=dict)
    forms: dict[str, dict[str, Any]] = field(default_factory=dict)  # Any: plain JSON, which `TaskForm` reads
    repos: dict[str, str] = field(default_factory=dict)


@cache
def _content_adapter() -> TypeAdapter[_Content]:
    return TypeAdapter(_Content)


def _check_names(file: Path, tasks: Collection[str], parts: Mapping[str, Collection[str]]) -> None:
    """Every part is of the tasks.

    Raises:
        CheckpointError: If not.
    """
    problems = [
        f"{part} of {listing(others)}, which are not among its tasks"
        for part, names in parts.items()
        if (others := sorted(set(names) - set(tasks)))
    ]
    if problems:
        raise CheckpointError(
            f"{file} does not hold {_WHAT}: it has {' and '.join(problems)}: {listing(tasks)}. It was changed: save or "
            "fetch it again."
        )


def _form(file: Path, task: str, content: Mapping[str, Any]) -> TaskForm:  # Any: plain JSON
    try:
        return TaskForm.of_content(content)
    except KeyError as error:
        problem = f"{error.args[0]} is missing"
    except (ValueError, TypeError, AttributeError, OverflowError, ConfigError) as error:
        problem = str(error)
    raise CheckpointError(
        f"{file} does not hold {_WHAT}: the form of task {task!r} cannot be read: {problem:.300}. It was changed, or "
        "written by a newer hf_mtl: save or fetch it again, or upgrade."
    )


def _inside(folder: Path, relative: str) -> bool:
    try:
        return (folder / relative).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long for a path, or with characters that none has
        return False
