"""Locks that the system itself lets go when their process ends, however it ends.

A lock is a `flock` on an open file. No lock outlives its process, so nothing ever has to be found stale; what a file
says about its holder is only for people to read.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType

from hf_mtl.bounded_json import parse_json
from hf_mtl.errors import CheckpointError
from hf_mtl.files import is_forbidden, write_error
from hf_mtl.notices import logger_of

__all__ = ["LOCK_FILE", "FileLock", "RunLock"]

logger = logger_of(__name__)

LOCK_FILE = ".hf_mtl.lock"

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

# A forked child (a worker that loads data) has a copy of the descriptor, and with it the lock, even if it outlives
# its parent; so the child closes the copies at once.
_open: set[int] = set()


@cache
def _tell_fork() -> None:
    os.register_at_fork(after_in_child=_close_in_child)


def _close_in_child() -> None:
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()


class FileLock:
    """An open file that is locked for this process; made by `acquire`.

    Args:
        descriptor: Of the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._process = os.getpid()
        _open.add(descriptor)
        _tell_fork()

    @classmethod
    def acquire(cls, file: Path, *, make: bool = False, wait: bool = False) -> FileLock | None:
        """Lock a file; returns None, at once, where somebody else has it, unless it shall wait.

        Args:
            file: The file.
            make: Make it if it is not there.
            wait: Wait for the other one; for locks that are held for moments only.

        Raises:
            FileNotFoundError: If it is not there, or no longer there once it is locked.
            OSError: If it cannot be opened.
        """
        import fcntl  # not on Windows, where the package shall still import

        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                os.close(descriptor)
                raise
            logger.warning(
                "%s: this file system has no locks (%s); see to it that no two runs write to this folder at once.",
                file.parent,
                error.strerror,
            )
        if not _is_at(file, descriptor):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "deleted or renamed while it was being locked", str(file))
        return cls(descriptor)

    def write(self, text: str) -> None:
        """Replace the file's content, and wait until it is on the disk."""
        os.ftruncate(self.descriptor, 0)
        rest = memoryview(text.encode())
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
        os.fsync(self.descriptor)

    def release(self) -> None:
        """Let go; a second time, or in a forked child, it does nothing."""
        if self._process == os.getpid() and self.descriptor in _open:
            _open.discard(self.descriptor)
            os.close(self.descriptor)
            self._process = -1


def _is_at(file: Path, descriptor: int) -> bool:
    """Whether a path still leads to an open file: its last holder may have deleted or renamed it before letting go."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


class RunLock:
    """Keeps a run's folder for one run at a time.

    Args:
        run_dir: The run's folder; made if it is not there.

    Raises:
        CheckpointError: On entering, if another run has the folder, or this user may not write there.
        WriteError: On entering, if it cannot be written for another reason.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with RunLock(Path(folder.name)):
        ...     with RunLock(Path(folder.name)):  # doctest: +ELLIPSIS
        ...         pass
        Traceback (most recent call last):
        hf_mtl.errors.CheckpointError: ... is in use by another run: process ... on ..., since ...
        >>> folder.cleanup()
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._lock: FileLock | None = None

    def __enter__(self) -> RunLock:
        file = self.run_dir / LOCK_FILE
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock.acquire(file, make=True)
            if self._lock is None:
                raise CheckpointError(_refusal(self.run_dir, file.read_text(encoding="utf-8")))
            self._lock.write(_this_process())
        except OSError as error:
            self._let_go()
            if not is_forbidden(error):
                raise write_error(file, error) from error
            raise CheckpointError(
                f"{file}: the run's folder must be writable, found: {error.strerror}. Give another output_dir, or "
                f"the permission to write there."
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._let_go()

    def _let_go(self) -> None:
        # The file stays: a second run may have it open already, and would then lock a file that nobody else sees.
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _this_process() -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}) + "\n"


def _refusal(run_dir: Path, holder: str) -> str:
    try:
        found = parse_json(holder)
        who = f"process {found['pid']} on {found['host']}, since {found['since']}"
    except (ValueError, KeyError, TypeError):
        who = "a process that has not yet written who it is"
    return (
        f"{run_dir} is in use by another run: {who}. Two runs in one folder would delete each other's checkpoints. "
        f"Wait until that run ends, stop it, or give another output_dir."
    )
