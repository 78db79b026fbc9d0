"""Every write of the library: whole or not there, and an error that names the file, the reason and what is finished."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hf_mtl.errors import ConfigError, HfMtlError, WriteError
from hf_mtl.files.faults import is_folder, is_there, system_number, write_error

__all__ = [
    "SeveralWrites",
    "check_folder",
    "check_target",
    "folder_problem",
    "make_folder",
    "noting",
    "remove_file",
    "replacing",
    "scratch_folder",
    "sync",
    "write_bytes",
    "write_text",
    "writing",
]


@contextlib.contextmanager
def writing(file: str | Path) -> Iterator[None]:
    """Tell of what the system refuses in the block as a `WriteError` about a file.

    Other errors, those of the library and a reader of our output that went away among them, pass as they are.
    """
    try:
        yield
    except (HfMtlError, BrokenPipeError):
        raise
    except Exception as error:
        if system_number(error) is not None:
            raise write_error(file, error) from error
        raise


@contextlib.contextmanager
def noting(*notes: str) -> Iterator[None]:
    """Add to every `WriteError` of the block what is finished and usable all the same."""
    try:
        yield
    except WriteError as error:
        raise error.with_notes(*notes) from error.__cause__


def write_text(file: str | Path, text: str, *, durable: bool = True) -> None:
    """Write a text in UTF-8, its lines ended as they are; see `write_bytes`."""
    write_bytes(file, text.encode(), durable=durable)


def write_bytes(file: str | Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file by way of another one that takes its place, so that it is never half of itself.

    Args:
        file: Replaced if it is there.
        content: The bytes.
        durable: Whether to wait until they are on the disk; for files that can be made again it is not worth the time.

    Raises:
        WriteError: If it cannot be written; what was there before is still there.
    """
    with replacing(Path(file), durable=durable) as new:
        new.write_bytes(content)


@contextlib.contextmanager
def replacing(file: Path, *, durable: bool = True) -> Iterator[Path]:
    """A new file that the block writes, and that takes the place of `file` at its end.

    A link stays, and what it leads to is replaced. What is no file (a pipe, `/dev/stdout`), and a file in a folder that
    takes no others, is written in its place.

    Raises:
        WriteError: If it cannot be written; what was there before is still there.
    """
    with writing(file):
        target = file.resolve() if file.is_symlink() else file
        if _in_place(target):
            yield target
            return
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        new = target.with_name(f".hf_mtl.new-{secrets.token_hex(4)}")
        try:
            yield new
            if target.exists():
                with contextlib.suppress(OSError):  # some disks keep no modes
                    new.chmod(stat.S_IMODE(target.stat().st_mode))
            if durable:
                sync(new)
            new.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise


def _in_place(target: Path) -> bool:
    if not target.exists() or target.is_dir():
        return False
    return not target.is_file() or not os.access(target.parent, os.W_OK)


def sync(path: Path) -> None:
    """Wait until a file or, where the system can do that, a folder is on the disk."""
    if os.name != "posix" and path.is_dir():
        return
    # A file is opened for writing, which Windows wants to see.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: str | Path) -> None:
    """Make a folder and those that lead to it, unless they are there.

    Raises:
        WriteError: If it cannot be made.
    """
    with writing(folder):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, "a file is there", str(folder)) from error


def remove_file(file: Path) -> None:
    """Delete a file, unless it is not there.

    Raises:
        WriteError: If it cannot be deleted.
    """
    with writing(file):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, as `$TMPDIR` says where.

    Raises:
        WriteError: If it cannot be made.
    """
    with writing("a temporary folder (see TMPDIR)"):
        temporary = tempfile.TemporaryDirectory(prefix="hf_mtl-", ignore_cleanup_errors=True)
    with temporary as folder:
        yield Path(folder)


def check_target(file: Path, *, named_by: str, makes_folder: bool = False) -> None:
    """Look, before the work whose outcome goes there, whether a file can be written.

    Args:
        file: The file.
        named_by: What asks for it, such as `--output`.
        makes_folder: Whether its folder is made if it is not there.

    Raises:
        ConfigError: If it cannot be written; nothing has been done yet.
    """
    folder = file.absolute().parent
    if (unfit := _name_problem(file)) is not None:
        problem: str | None = unfit
    elif is_folder(file):
        problem = "it is a folder; expected the name of a file"
    elif is_there(file):
        problem = None if os.access(file, os.W_OK) else "this user may not write to it"
    elif not makes_folder and not os.path.lexists(folder):
        problem = f"there is no folder {folder}; make it first"
    else:
        problem = folder_problem(folder)
    if problem is not None:
        raise ConfigError(f"{named_by}: {file} cannot be written: {problem}, or choose another place.")


def check_folder(folder: Path, *, named_by: str) -> None:
    """Look, before the work whose outcome goes there, whether files can be written into a folder.

    Args:
        folder: The folder; it need not be there yet.
        named_by: What asks for it, such as `--output-dir`.

    Raises:
        ConfigError: If they cannot; nothing has been done yet.
    """
    if (problem := folder_problem(folder)) is not None:
        raise ConfigError(f"{named_by}: {folder} cannot be written into: {problem}, or choose another place.")


def folder_problem(folder: str | Path) -> str | None:
    """Why no file could be written into a folder, which need not be there yet; None if nothing is known against it."""
    path = Path(folder).absolute()
    if (unfit := _name_problem(path)) is not None:
        return unfit
    place = next((part for part in (path, *path.parents) if os.path.lexists(part)), path)
    if not is_folder(place):
        return f"{place} is a file, not a folder; move it away"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"this user may not write into {place}; change its permissions"
    return None


def _name_problem(path: Path) -> str | None:
    """Why nothing can be called so: a name that is too long, or holds a NUL."""
    try:
        path.lstat()
    except ValueError as error:
        return f"nothing can be called so ({error})"
    except OSError as error:
        return f"nothing can be called so ({error.strerror})" if error.errno == errno.ENAMETOOLONG else None
    return None


class SeveralWrites:
    """Writes none of which keeps the others from being tried; the errors come together at the end."""

    def __init__(self) -> None:
        self.errors: list[WriteError] = []

    @contextlib.contextmanager
    def one(self, *stale: Path) -> Iterator[None]:
        """Keep the `WriteError` of the block for the end.

        Args:
            stale: Files that are then deleted, for they would be taken for what could not be written.
        """
        try:
            yield
        except WriteError as error:
            self.errors.append(error)
            for file in stale:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)

    def check(self, *notes: str) -> None:
        """Raise what was kept.

        Args:
            notes: What is finished and usable all the same.

        Raises:
            WriteError: If a write failed; it names all the files.
        """
        if self.errors:
            raise WriteError.of(self.errors).with_notes(*notes) from self.errors[0].__cause__
