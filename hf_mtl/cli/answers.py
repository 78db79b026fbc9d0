"""Where answers go: standard output, or a file that a stopped call goes on with.

A file `FILE` grows as `FILE.partial` and gets its name when it is whole. `FILE.partial.json` says what was asked and
how much of the answers is whole: the same call, given again, reads those inputs once more, checks that they are the
same, and goes on behind them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from hf_mtl.cli.json_lines import Inputs
from hf_mtl.errors import ConfigError, DataError, listing
from hf_mtl.files import writing
from hf_mtl.inference.inputs import Input, window_size
from hf_mtl.notices import logger_of
from hf_mtl.printable import json_text

__all__ = ["AnswersFile", "StandardOutput", "answers_to"]

logger = logger_of(__name__)

_FORMAT = 1
Answer = Mapping[str, Any]  # Any: plain JSON


class StandardOutput:
    """Answers on the standard output, or in what is no file that could be taken up again: a pipe, a device."""

    def __init__(self, target: Path | None = None) -> None:
        self._target = target

    @contextmanager
    def writing(self, inputs: Inputs) -> Iterator[StandardOutput]:
        """Open it for the answers to some inputs."""
        self._inputs = inputs
        if self._target is None:
            self._file = sys.stdout
        else:
            with writing(self._target):
                self._file = self._target.open("w", encoding="utf-8")
        try:
            yield self
        finally:
            if self._target is not None:
                with suppress(OSError):  # all has been written
                    self._file.close()

    def windows(self) -> Iterator[list[Input]]:
        """The inputs that are to be answered."""
        return _windows(self._inputs, 0)

    def write(self, answers: Iterable[Answer]) -> None:
        """Write the answers to the next inputs, at once."""
        text = "".join(map(_line, answers))
        # What goes wrong with the standard output concerns every verb: `hf_mtl.cli.program` says it.
        with nullcontext() if self._target is None else writing(self._target):
            self._file.write(text)
            self._file.flush()


class AnswersFile:
    """Answers in a file.

    Args:
        target: The file.
        call: What the answers depend on besides the inputs; a call that differs in it does not go on.
    """

    def __init__(self, target: Path, call: Mapping[str, object]) -> None:
        self._target = target
        self._call = dict(call)
        self._partial = target.with_name(f"{target.name}.partial")
        self._state = target.with_name(f"{target.name}.partial.json")
        self._digest = hashlib.sha256()
        self._answered = 0
        self._pending: deque[Input] = deque()

    @contextmanager
    def writing(self, inputs: Inputs) -> Iterator[AnswersFile]:
        """Open it for the answers to some inputs; it gets its name when the context ends without an error.

        Raises:
            ConfigError: There are answers of another call.
            DataError: It cannot be written.
        """
        kept, self._inputs = self._kept(), inputs
        self._skip(kept)
        with self._named():
            self._file = self._opened(kept)
        try:
            with self._file:
                yield self
            with self._named():
                self._partial.replace(self._target)
                self._state.unlink(missing_ok=True)
        except BaseException:
            self._leave()
            raise

    def windows(self) -> Iterator[list[Input]]:
        """The inputs that are still to be answered."""
        for window in _windows(self._inputs, self._answered):
            self._pending.extend(window)
            yield window

    def write(self, answers: Iterable[Answer]) -> None:
        """Write the answers to the next inputs, at once."""
        lines = [_line(answer).encode() for answer in answers]
        with self._named():
            self._file.write(b"".join(lines))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._count([self._pending.popleft() for _ in lines])
            self._note(self._file.tell())

    def _kept(self) -> Mapping[str, Any]:
        """What an earlier call has noted, if there are answers of it."""
        if not self._partial.exists():
            return {}
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            version, call, size = state["format_version"], state["call"], state["bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{self._partial} is there, and no readable {self._state.name} beside it says what it holds. "
                f"Delete it, or choose another --output."
            ) from None
        differ = [key for key in {**call, **self._call} if call.get(key) != self._call.get(key)]
        if version != _FORMAT or differ or self._partial.stat().st_size < size:
            why = f"they differ in {listing(differ)}" if differ else "it is damaged, or of another version"
            raise ConfigError(
                f"{self._partial} holds answers of an earlier call that this one cannot go on with: {why}. "
                f"Give that call again, delete the file to begin anew, or choose another --output."
            )
        return dict(state)

    def _opened(self, kept: Mapping[str, Any]) -> BinaryIO:
        if not kept:
            self._note(0)  # before the file: one without a note is not ours
        file = self._partial.open("ab")
        file.truncate(kept.get("bytes", 0))
        return file

    def _skip(self, kept: Mapping[str, Any]) -> None:
        """Read the inputs that have been answered, and see that they are those that were."""
        if not kept:
            return
        while (left := kept["answered"] - self._answered) > 0:
            window = self._inputs.take(min(window_size(self._answered), left))
            if not window:
                break
            self._count(window)
        if self._answered != kept["answered"] or self._digest.hexdigest() != kept["inputs"]:
            raise ConfigError(
                f"{self._partial} holds the answers to {kept['answered']} inputs, and they are not the first ones of "
                f"this call. Give the inputs of that call, delete the file to begin anew, or choose another --output."
            )
        logger.info("%s holds the first %d answers; going on behind them.", self._partial, self._answered)

    def _count(self, inputs: Iterable[Input]) -> None:
        for one in inputs:
            text = str(one.item) if isinstance(one.item, DataError) else json.dumps(one.item)
            self._digest.update(text.encode() + b"\n")
            self._answered += 1

    def _note(self, size: int) -> None:
        """Say how much is whole, after it has been written."""
        state = {
            "format_version": _FORMAT,
            "call": self._call,
            "answered": self._answered,
            "bytes": size,
            "inputs": self._digest.hexdigest(),
        }
        new = self._state.with_name(f"{self._state.name}.new")
        new.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        new.replace(self._state)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say of a failing write which file it was."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self._target} cannot be written: {error.strerror or error}. Free room or choose another --output."
            ) from error

    def _leave(self) -> None:
        """At an error, keep the answers and say where they are; without any, keep nothing."""
        if self._answered:
            logger.warning(
                "The first %d answers are in %s; the same command goes on behind them.",
                self._answered,
                self._partial,
            )
        else:
            self._partial.unlink(missing_ok=True)
            self._state.unlink(missing_ok=True)


def answers_to(target: Path | None, call: Callable[[], Mapping[str, object]]) -> StandardOutput | AnswersFile:
    """Where answers go: to a file, or to standard output.

    Args:
        target: The file, or none.
        call: Gives what the answers depend on besides the inputs.
    """
    if target is None:
        if sys.stdout is None:
            raise ConfigError("stdout is closed: write the answers with --output FILE.")
        return StandardOutput()
    target = target.resolve()
    return StandardOutput(target) if target.exists() and not target.is_file() else AnswersFile(target, call())


def _windows(inputs: Inputs, start: int) -> Iterator[list[Input]]:
    while window := inputs.take(window_size(start)):
        yield window
        start += len(window)


def _line(answer: Answer) -> str:
    return json_text(answer) + "\n"
