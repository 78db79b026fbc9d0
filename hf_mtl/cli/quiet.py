"""Keeps other libraries' progress bars and notices out of a command's output; their errors stay, made printable."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from typing import Any

from hf_mtl.cli.unexpected import message_of
from hf_mtl.launch import is_first
from hf_mtl.notices import make_printable
from hf_mtl.printable import printable
from hf_mtl.versions import PEFT_NOTICES

__all__ = ["be_quiet"]

# With every import of peft it says that a faster kernel for 4-bit bases could be downloaded.
_CHATTY = "bitsandbytes"
# They log what is wrong with a file before they raise it as an error, which our message quotes.
_READERS = "datasets.packaged_modules"


class _Notices(logging.Handler):
    """Prints to what is the standard error output at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:  # Any: as logging calls it
    """A record of any library."""
    record = logging.LogRecord(*args, **kwargs)
    try:
        return make_printable(record)
    except (TypeError, ValueError, KeyError):  # its arguments do not fit its text, which its handler says
        return record


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of any library, as Python writes it."""
    shown = f"{filename}:{lineno}: {category.__name__}: {message}"
    return printable(f"{shown}\n  {line.strip()}\n" if line else f"{shown}\n")


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    """A thread of any library that ended with an error."""
    if ended.exc_value is not None:
        sys.stderr.write(f"{message_of(ended.exc_value)}\n")


def be_quiet() -> None:
    """Switch bars and notices off for the rest of the process, and show our own. Imports transformers.

    Our notices (how batches are laid out, which task stops and why) go to the standard error output.
    """
    # Read when huggingface_hub and datasets are imported; the first comes with transformers.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    logging.setLogRecordFactory(_record)
    warnings.formatwarning = _warning
    threading.excepthook = _thread_ended
    logging.getLogger(_CHATTY).setLevel(logging.ERROR)
    logging.getLogger(_READERS).setLevel(logging.CRITICAL)
    for renamed in PEFT_NOTICES:
        warnings.filterwarnings("ignore", message=renamed, category=FutureWarning)
    import transformers

    own = logging.getLogger("hf_mtl")
    own.setLevel(logging.INFO if is_first() else logging.WARNING)
    if not own.handlers:
        own.addHandler(_Notices())
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    if "datasets" in sys.modules:
        import datasets

        datasets.disable_progress_bars()
