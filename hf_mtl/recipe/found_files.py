"""Which data files are splits of one task, by their names: `news.train.csv`, `news.test.csv`; `news/train.csv`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hf_mtl.errors import ConfigError, DataError, listing
from hf_mtl.printable import printable

__all__ = ["FoundTask", "Source", "found_tasks"]

_SPLITS: Final = {
    "train": "train", "training": "train", "valid": "eval", "validation": "eval", "val": "eval", "dev": "eval",
    "eval": "eval", "test": "test", "testing": "test",
}  # fmt: skip
_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}$")
_NO_DATA: Final = re.compile(r"(readme|license|licence|requirements|notice|changelog)", re.IGNORECASE)
_SAVED: Final = ("dataset_dict.json", "state.json")


@dataclass(frozen=True)
class Source:
    """Where the rows of one split are.

    Args:
        path: The file or the folder.
        split: Which of a folder's splits.
    """

    path: Path
    split: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.split is None else f"{self.path} ({self.split})"


@dataclass
class FoundTask:
    """A task and where its splits (`train`, `eval`, `test`) are."""

    name: str
    splits: dict[str, Source] = field(default_factory=dict)


def found_tasks(paths: Sequence[Path]) -> list[FoundTask]:
    """Sort files and folders into tasks and splits.

    A file is a split if the first or the last word of its name says so (train, valid, val, dev, test, ...); the rest
    of the name is the task's, or, where nothing is left, its folder's. Any other file is the `train` of a task of its
    name.

    Raises:
        ConfigError: If two files are the same split of a task, or a task has no rows to learn from.
        DataError: If there is no such file, or a folder holds no data.
    """
    tasks: dict[tuple[Path, str], FoundTask] = {}
    for folder, given, split, source in _all(paths):
        name = printable(given, kept="", instead="_")
        task = tasks.setdefault((folder, name), FoundTask(name))
        if split in task.splits:
            raise ConfigError(
                f"the task {name!r} has two files for {split}: {task.splits[split]} and {source}. Join them, or rename "
                f"one: the name before or behind the split is the task's."
            )
        task.splits[split] = source
    _check(list(tasks.values()))
    return list(tasks.values())


def _check(tasks: Sequence[FoundTask]) -> None:
    problems = [
        f"the task {task.name!r} has no rows to learn from, only {listing(map(str, task.splits.values()))}. Give its "
        f"train file too; a file whose name names no split is one."
        for task in tasks
        if "train" not in task.splits
    ]
    names = [task.name for task in tasks]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [f"two folders have files of a task {name!r}; rename those of one of them." for name in twice]
    if problems:
        raise ConfigError(problems)


def _all(paths: Sequence[Path]) -> Iterator[tuple[Path, str, str, Source]]:
    """Of each file and each split of a folder: its folder, the task's name, the split, and where it is."""
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no file or folder {str(path)!r}.")
        if path.is_dir():
            yield from _in_folder(path)
        else:
            yield _of_file(path)


def _of_file(path: Path) -> tuple[Path, str, str, Source]:
    folder = path.resolve().parent
    words = re.split(r"[._\-\s]+", _SHARD.sub("", path.stem))
    for place in (-1, 0):
        split = _SPLITS.get(words[place].lower())
        if split is not None:
            stem = _SHARD.sub("", path.stem)
            rest = stem[: -len(words[-1])] if place else stem[len(words[0]) :]
            return folder, rest.strip("._- ") or folder.name or "task", split, Source(path)
    return folder, path.stem, "train", Source(path)


def _in_folder(folder: Path) -> Iterator[tuple[Path, str, str, Source]]:
    """The data files of a folder; of one that is a data set as a whole, its splits."""
    from hf_mtl.data.file_formats import FORMATS

    saved = any((folder / name).is_file() for name in _SAVED)
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS)
    files = [path for path in files if not _NO_DATA.match(path.name)]
    if files and not saved and not any(path.name.startswith("metadata.") for path in files):
        yield from map(_of_file, files)
        return
    for split in _splits_of(folder, saved=saved):
        known = _SPLITS.get((split or "train").lower())
        if known is None:
            raise ConfigError(
                f"{folder} has a split {split!r}; expected names such as train, validation and test."
            )
        yield folder.resolve(), folder.resolve().name, known, Source(folder, split)


def _splits_of(folder: Path, *, saved: bool) -> list[str | None]:
    from datasets import DatasetDict, load_from_disk

    from hf_mtl.data.strange_sets import open_builder

    try:
        if not saved:
            return [str(split) for split in open_builder(str(folder)).config.data_files]
        rows = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder}: no data is found in it: {error}") from error
    return list(rows) if isinstance(rows, DatasetDict) else [None]
