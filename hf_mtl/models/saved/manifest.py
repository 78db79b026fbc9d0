"""The manifest of a saved suite: which base, which tasks, in which folders.

Task names may be any text, folder names may not; so each task gets a folder whose name is a harmless form of
its own (`hf_mtl.files.folder_names`), and the manifest (`hf_mtl.json`) keeps the pairs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hf_mtl.bounded_json import read_json
from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.files import write_text
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models.base import BaseIdentity
from hf_mtl.tasks import TaskForm

__all__ = ["MANIFEST_FILE", "HeadRecord", "Manifest"]

MANIFEST_FILE = "hf_mtl.json"
_MAX_OUTPUTS = 1_000_000  # of a head
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

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> HeadRecord:
        """From JSON."""
        labels = content["labels"]
        spec = HeadSpec(HeadShape(content["shape"]), int(content["outputs"]))
        return cls(spec, str(content["auto_class"]), None if labels is None else tuple(map(str, labels)))


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
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

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
        try:
            content = read_json(file)
            version, base, tasks = (
                content["format_version"],
                BaseIdentity(**content["base"]),
                {str(name): str(place) for name, place in content["tasks"].items()},
            )
            _check(version, content)
            heads = {name: HeadRecord.of(head) for name, head in content.get("heads", {}).items()}
            if version > FORMAT_VERSION:
                raise CheckpointError(
                    f"{file} has format {version}; this version reads up to {FORMAT_VERSION}. Upgrade hf-mtl."
                )
            forms = {name: TaskForm.of_content(form) for name, form in content.get("forms", {}).items()}
            repos = {str(name): str(repo) for name, repo in content.get("repos", {}).items()}
            if repos.keys() - tasks.keys():
                raise ValueError(f"repositories of {sorted(repos.keys() - tasks.keys())}, which are no tasks")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, ConfigError) as error:
            raise CheckpointError(f"{file} is not a manifest of hf_mtl: {error!r}") from error
        outside = [path for path in tasks.values() if not _inside(folder, path)]
        if outside:
            raise CheckpointError(f"{file} names folders outside its own: {outside!r:.200}. It is refused.")
        return cls(base, tasks, heads, forms, repos)


def _check(version: object, content: Mapping[str, Any]) -> None:  # Any: plain JSON
    """Check that the parts are of the sorts that they are read as, and of the same tasks.

    Raises:
        ValueError: If not; it names the part and the task.
    """
    if type(version) is not int or version < 1:
        raise ValueError(f"format_version is {version!r:.80}; expected a whole number from 1")
    tasks = content["tasks"]
    odd = [name for name, place in tasks.items() if not isinstance(place, str)]
    if odd:
        raise ValueError(f"the folder of task {odd[0]!r} is {tasks[odd[0]]!r:.80}; expected text")
    for part in ("heads", "forms"):
        of_tasks = content.get(part, {})
        if version <= FORMAT_VERSION and (others := sorted(of_tasks.keys() - tasks.keys())):
            raise ValueError(f"{part} of {others!r:.200}, which are no tasks")
    for name, head in content.get("heads", {}).items():
        if type(outputs := head["outputs"]) is not int or not 1 <= outputs <= _MAX_OUTPUTS:
            raise ValueError(
                f"the head of task {name!r} has {outputs!r:.80} outputs; expected a number from 1 to {_MAX_OUTPUTS:,}"
            )
    for name, form in content.get("forms", {}).items() if version <= FORMAT_VERSION else ():
        try:
            TaskForm.of_content(form)
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise ValueError(f"the form of task {name!r} cannot be read: {error!r:.300}") from error


def _inside(folder: Path, relative: str) -> bool:
    try:
        return (folder / relative).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long for a path, or with characters that none has
        return False
