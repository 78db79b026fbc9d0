"""The one place where names that users choose become names of folders and of repositories.

A task may be called anything; a folder may not. What comes out here is a plain name on every system, differs from the
others whatever the case of its letters, and is never the name of something that a run keeps beside it.

>>> folder_names(["q&a", "Q A", "README.md", "checkpoint-2", "NUL"])
{'q&a': 'q-a', 'Q A': 'Q-A-2', 'README.md': 'README-md', 'checkpoint-2': 'task-checkpoint-2', 'NUL': 'task-NUL'}
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["folder_names", "repo_name", "repo_names"]

_LONGEST: Final = 80  # letters of a folder's name before a number that sets it apart
_LONGEST_REPO: Final = 96  # letters of a repository's name, as the Hub has it

# Files that a run, a suite, a checkpoint or a saved processor holds end like this, and so does nothing else here; the
# last two are refused by the Hub as the end of a repository's name.
_FILE_TYPES: Final = frozenset({
    "json", "jsonl", "md", "png", "svg", "html", "yaml", "yml", "txt", "csv", "log", "lock", "jinja", "model",
    "safetensors", "bin", "pt", "pth", "git", "ipynb",
})  # fmt: skip
# Folders that stand beside those of the tasks: our pages, transformers' and trackers' logs, pushed checkpoints.
_FOLDERS: Final = frozenset({"report", "runs", "logs", "adapters", "last-checkpoint"})
_NUMBERED: Final = re.compile(r"(tmp-)?checkpoint-[0-9]+|_push-.*")
# What Windows takes for a device, in any folder and with any ending.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|conin|conout|(com|lpt)[0-9])(\..*)?")


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """Give each task a folder name of its own.

    >>> folder_names(["q&a", "Q A", "mlp"])
    {'q&a': 'q-a', 'Q A': 'Q-A-2', 'mlp': 'mlp'}
    """
    apart = _Apart()
    return {name: apart.take(_plain(name), _numbered) for name in names}


def repo_name(text: str) -> str:
    """A harmless form of a name, as the Hub takes it.

    >>> repo_name("runs--of..mine ")
    'runs-of-mine'
    """
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", text)
    plain = re.sub(r"[-.]{2,}", "-", plain).strip("-.")[:_LONGEST_REPO].strip("-.")
    return _without_file_type(plain) or "suite"


def repo_names(suite: str, tasks: Iterable[str]) -> dict[str, str]:
    """Give each task the name of a repository of its own, behind the suite's.

    Args:
        suite: The name of the suite's repository, without its owner.
        tasks: The tasks' names.

    >>> repo_names("eight", ["q&a", "a..b", "a-b"])
    {'q&a': 'eight-q-a', 'a..b': 'eight-a-b', 'a-b': 'eight-a-b-2'}
    """
    apart = _Apart([suite])
    return {
        task: apart.take(folder, lambda part, count: _joined(suite, part, count))
        for task, folder in folder_names(tasks).items()
    }


def _plain(name: str) -> str:
    """Letters, digits, `_`, `-` and dots that a folder on any system may have, and at least one of them."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", letters).strip("-.")[:_LONGEST].strip("-.")
    return _without_file_type(stem) or "task"


def _without_file_type(stem: str) -> str:
    return stem.replace(".", "-") if stem.rpartition(".")[2].lower() in _FILE_TYPES else stem


def _numbered(stem: str, count: int) -> str:
    name = stem if count == 1 else f"{stem}-{count}"
    return f"task-{name}" if _is_reserved(name.lower()) else name


def _is_reserved(name: str) -> bool:
    return name in _FOLDERS or any(pattern.fullmatch(name) for pattern in (_NUMBERED, _DEVICES))


def _joined(suite: str, part: str, count: int) -> str:
    """`suite-part`, or `suite-part-2`; what is too long for the Hub is cut, the task's part less than the suite's."""
    end = "" if count == 1 else f"-{count}"
    room = _LONGEST_REPO - 1 - len(end)
    part = part[: max(room - len(suite), room // 2)]
    return repo_name(f"{suite[: room - len(part)]}-{part}".rstrip("-.") + end)


class _Apart:
    """Names that differ, whatever the case of their letters."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.lower() for name in taken}
        self._counts: dict[
            str, int
        ] = {}  # so that many names of one form are not compared with all before them

    def take(self, stem: str, name_of: Callable[[str, int], str]) -> str:
        """The first name of a form that is free."""
        count = self._counts.get(stem.lower(), 0) + 1
        while (name := name_of(stem, count)).lower() in self._taken:
            count += 1
        self._counts[stem.lower()] = count
        self._taken.add(name.lower())
        return name
