"""One bad input: how it is made of good ones, what is done with it, and what the message must say."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Case",
    "Change",
    "all_of",
    "api",
    "changed_json",
    "cli",
    "removed",
    "replaced",
    "untouched",
    "written",
]

Change = Callable[[Path], object]
REFUSED = 2


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: What is wrong, in a few words.
        spoil: Changes the case's folder, in which good inputs lie.
        run: The program's arguments, or a call of the library with the folder.
        words: What the message must hold: the place, what was found, the choices or the next action.
        needs: Which of the good things (`good.make`) are copied into the folder, to be spoiled there.
        code: The program's exit code.
        stdin: What the program reads.
    """

    name: str
    spoil: Change
    run: tuple[str, ...] | Callable[[Path], object]
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()
    code: int = REFUSED
    stdin: bytes = b""

    @property
    def loads_a_model(self) -> bool:
        """Whether a run is prepared for it, which takes a second or more."""
        return not callable(self.run) and self.run[:1] in _LOADING


_LOADING = [(verb,) for verb in ("train", "compare", "verify")]


def untouched(_: Path) -> None:
    """Change nothing: what is wrong is in the call."""


def cli(
    name: str,
    arguments: str,
    *words: str,
    spoil: Change = untouched,
    needs: tuple[str, ...] = (),
    code: int = REFUSED,
    stdin: bytes = b"",
) -> Case:
    """A case of the program; the arguments are written as in a shell."""
    return Case(name, spoil, tuple(shlex.split(arguments)), words, needs, code, stdin)


def api(
    name: str,
    call: Callable[[Path], object],
    *words: str,
    spoil: Change = untouched,
    needs: tuple[str, ...] = (),
) -> Case:
    """A case of the Python API: the call must raise an error of the library."""
    return Case(name, spoil, call, words, needs)


def replaced(old: str, new: str, file: str = "recipe.yaml") -> Change:
    """Put one text in the place of another."""

    def change(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, f"{file} holds no {old!r}"
        (folder / file).write_bytes(text.replace(old, new, 1).encode("utf-8", "surrogateescape"))

    return change


def written(file: str, content: str | bytes) -> Change:
    """Write a file, over what is there."""

    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def removed(file: str) -> Change:
    """Remove a file or folder."""

    def change(folder: Path) -> None:
        path = folder / file
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def changed_json(
    file: str, change: Callable[[Any], object] | Mapping[str, object]
) -> Change:  # Any: plain JSON
    """Change the content of a JSON file; a mapping is merged into it."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        if isinstance(change, Mapping):
            content.update(change)
        else:
            change(content)
        (folder / file).write_text(json.dumps(content), encoding="utf-8")

    return spoil


def all_of(*changes: Change) -> Change:
    """Make several changes."""

    def change(folder: Path) -> None:
        for each in changes:
            each(folder)

    return change
