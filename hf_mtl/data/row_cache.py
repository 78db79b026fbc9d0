"""What `datasets` keeps of rows on the disk: errors of it that name the cache, and not the rows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hf_mtl.files import is_forbidden, is_full, write_error

__all__ = ["writing_cache"]


@contextlib.contextmanager
def writing_cache() -> Iterator[None]:
    """Tell of a cache of `datasets` that cannot be written as a `WriteError`; other errors pass as they are.

    Raises:
        WriteError: If the disk of the cache is full, or this user may not write there.
    """
    from datasets import config
    from datasets.exceptions import DatasetGenerationError

    try:
        yield
    except (OSError, DatasetGenerationError, ValueError) as error:
        cause = next(filter(_is_of_writing, _chain(error)), None)
        if cause is None:
            raise
        note = "datasets keeps rows there; HF_DATASETS_CACHE names another place."
        raise write_error(config.HF_DATASETS_CACHE, cause).with_notes(note) from cause


def _chain(error: BaseException | None) -> Iterator[OSError]:
    """The system's errors behind an error: Arrow fails a second time when it closes what it could not write."""
    while error is not None:
        if isinstance(error, OSError):
            yield error
        error = error.__cause__ or error.__context__


def _is_of_writing(error: OSError) -> bool:
    """Whether there is no room or no permission; but not to read a file of rows."""
    name = error.filename
    unreadable = isinstance(name, str) and Path(name).is_file() and not os.access(name, os.R_OK)
    return (is_full(error) or is_forbidden(error)) and not unreadable
