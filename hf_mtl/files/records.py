"""Reads what a run wrote about itself: a JSON file with a format version and content of one form.

    {"format_version": 4, ...}

The file may have been changed by hand, cut off, or written by a newer version; each is a `CheckpointError` that says
what was expected and what was found.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hf_mtl.bounded_json import MAX_RECORD_BYTES, read_json
from hf_mtl.errors import CheckpointError
from hf_mtl.wrong_values import problems_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["checked_record", "read_record"]

Content = TypeVar("Content")
Json = dict[str, Any]  # Any: plain JSON


def read_record(
    path: str | Path, what: str, *, newest: int, oldest: int | None = None, max_bytes: int = MAX_RECORD_BYTES
) -> tuple[int, Json]:
    """Read a file of some format version.

    Args:
        path: The file.
        what: What it should hold, such as "a report", for messages.
        newest: The format that is written today.
        oldest: The first one that is still read; by default the newest.
        max_bytes: The largest file that is read.

    Returns:
        The format version, and the object without it.

    Raises:
        CheckpointError: It cannot be read, or is not of these versions.
    """
    try:
        content = read_json(Path(path), max_bytes=max_bytes)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} should hold {what} as JSON, but cannot be read: {error}") from error
    version = content.pop("format_version", None) if isinstance(content, dict) else None
    first = newest if oldest is None else oldest
    if type(version) is not int or not first <= version <= newest:
        versions = (
            f"the format_version {newest}"
            if first == newest
            else f"a format_version from {first} to {newest}"
        )
        advice = (
            "A newer hf_mtl wrote it: upgrade to read this file."
            if type(version) is int and version > newest
            else "It is another file, or was changed: restore it, or let the run write it again."
        )
        raise CheckpointError(f"{path} should hold {what} with {versions}, found {version!r:.80}. {advice}")
    return version, content


def checked_record(path: str | Path, what: str, adapter: TypeAdapter[Content], content: object) -> Content:
    """Check the form of a file's content.

    Raises:
        CheckpointError: It is of another form; all problems are listed, each with its key.
    """
    from pydantic import ValidationError

    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        problems = "\n".join(f"  - {problem}" for problem in problems_of(error))
        raise CheckpointError(
            f"{path} does not hold {what} as hf_mtl writes it:\n{problems}\n"
            "It was changed or cut off: restore it, or let the run write it again."
        ) from error
