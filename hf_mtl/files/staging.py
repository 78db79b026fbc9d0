"""Many files that take their places together: all of them, or none."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from hf_mtl.errors import WriteError
from hf_mtl.files.whole import make_folder, sync, writing

__all__ = ["link_or_copy", "staged"]


@contextlib.contextmanager
def staged(folder: Path, *, gone: Iterable[str] = ()) -> Iterator[Path]:
    """A folder in which the block writes files that then take their places in `folder`, those at its top last.

    What the block did not write stays as it is. If anything fails, all that was there before is there again.

    Args:
        folder: Made if it is not there.
        gone: Files, relative to the folder, that are deleted unless the block writes them.

    Raises:
        WriteError: If a file cannot be written, or cannot take its place.
    """
    is_new = not folder.exists()
    make_folder(folder)
    # The name of a half that is being written: if we are killed, the next run clears it away.
    stage = folder / f".files.partial-{secrets.token_hex(4)}"
    new = stage / "new"
    try:
        with writing(folder):
            new.mkdir(parents=True)
        with _named_as_in(folder, new):
            yield new
            with writing(new):
                for path in sorted(new.rglob("*")):
                    sync(path)
        with writing(folder):
            _put_in_place(new, stage / "old", folder, gone)
    except BaseException:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def _named_as_in(folder: Path, new: Path) -> Iterator[None]:
    """Errors name a file by the place that it was to take."""
    try:
        yield
    except WriteError as error:
        if not Path(error.file).is_relative_to(new):
            raise
        file = folder / Path(error.file).relative_to(new)
        reason = error.reason.replace(str(new), str(folder))
        raise WriteError(str(file), reason, error.action, error.notes) from error.__cause__


def _put_in_place(new: Path, old: Path, folder: Path, gone: Iterable[str]) -> None:
    files = [path.relative_to(new) for path in new.rglob("*") if path.is_file()]
    files.sort(key=lambda file: (-len(file.parts), file))
    deleted = [file for file in map(Path, gone) if file not in files and (folder / file).is_file()]
    with ExitStack() as undo:
        for file in (*files, *deleted):
            with writing(folder / file):
                _replace(new / file, old / file, folder / file, undo)
        for place in {(folder / file).parent for file in files}:
            sync(place)
        undo.pop_all()


def _replace(new: Path, old: Path, target: Path, undo: ExitStack) -> None:
    """Put one file in its place, or delete what is there if there is no new one; what was there goes to `old`."""
    if target.exists():
        old.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(target, old)
        undo.callback(old.replace, target)
    else:
        for place in [part for part in reversed(target.parents) if not part.exists()]:
            place.mkdir()
            undo.callback(place.rmdir)
        undo.callback(target.unlink, missing_ok=True)
    if new.exists():
        new.replace(target)
    else:
        target.unlink()


def link_or_copy(source: str | Path, target: str | Path) -> str:
    """Give a file that is never written to again a second name; copy it where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return str(target)
