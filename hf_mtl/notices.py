r"""The package's loggers, whose records hold nothing that a terminal or a reader of log files acts on.

Rows, labels and file names are arguments of a record: in these line breaks are written out too, so that no row can
pretend to be a line of the log. Those of the record's own text stay.

>>> record = logging.LogRecord("x", logging.INFO, "x.py", 1, "task %r: %s", ("a", "b\x1b[2J\nc"), None)
>>> make_printable(record).getMessage()
"task 'a': b\\x1b[2J\\nc"
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from pathlib import PurePath

from hf_mtl.errors import HfMtlError
from hf_mtl.printable import printable

__all__ = ["logger_of", "make_printable"]


class _Printable(logging.Filter):
    """Lets every record through, printable."""

    def filter(self, record: logging.LogRecord) -> bool:
        make_printable(record)
        return True


_PRINTABLE = _Printable()


def logger_of(name: str) -> logging.Logger:
    """Return the logger of a module, whoever handles its records.

    Args:
        name: The module's `__name__`.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_PRINTABLE)  # once, however often it is asked for
    return logger


def make_printable(record: logging.LogRecord) -> logging.LogRecord:
    """Change a record so that its message and its traceback are printable; returns it."""
    args = record.args
    if isinstance(args, Mapping):
        record.args = {key: _argument(value) for key, value in args.items()}
    elif args:
        record.args = tuple(map(_argument, args))
    message = record.getMessage()
    if message != printable(message):  # by an object whose text is its own
        record.msg, record.args = printable(message), None
    if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
        lines = traceback.format_exception(record.exc_info[1])
        record.exc_text = printable("".join(lines).rstrip("\n"))
    return record


def _argument(value: object) -> object:
    """An argument as the message shows it; numbers stay numbers for its format, and lines of our errors lines."""
    if isinstance(value, HfMtlError):
        return value
    return printable(value, kept="") if isinstance(value, str | PurePath | BaseException) else value
