"""An error that nobody expected, on its way to the terminal: a short message, and the traceback in a file.

The file is the user's alone (mode 0600), in the folder for temporary files, and holds no tokens: neither what looks
like one, nor the value of an environment variable whose name says that it is secret.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hf_mtl import __version__
from hf_mtl.printable import printable

__all__ = ["message_of", "redacted", "traceback_of"]

_LONGEST = 500  # characters of an error's text; a library may put a whole file into it
_TOKEN: Final = re.compile(r"\b(?:hf|api_org|sk|ghp|gho|github_pat|wandb_v1)[_-][A-Za-z0-9_-]{16,}")
_PASSWORD: Final = re.compile(r"(?<=://)[^/\s@:]+:[^/\s@]+(?=@)")
_BEARER: Final = re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}")
_SECRET: Final = re.compile(r"(?i)token|secret|password|passwd|api_?key|access_?key|credential")
_LEAST = 8  # characters: a shorter value would be found inside of words
_REPLACED = "<secret>"


def message_of(error: BaseException) -> str:
    """Return the message for a user, and save the traceback."""
    name = f"{type(error).__name__}: {redacted(str(error)) or 'without a message'}"
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}…"
    return printable(f"{_what(error)}: {name}\n{_saved(error)}{_next(error)}")


def _what(error: BaseException) -> str:
    if _is_memory(error):
        return "There was not enough memory"
    if isinstance(error, OSError):
        return "A file, a folder or a connection could not be used"
    return "This is a bug of hf_mtl, or something that it did not expect"


def _is_memory(error: BaseException) -> bool:
    # That of a GPU is a class of torch, which need not be here.
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _next(error: BaseException) -> str:
    if _is_memory(error):
        return " Lower training.token_budget, or take a smaller base, or one in 8 or 4 bits."
    if isinstance(error, OSError):
        return " If the name, the permissions and the disk are as they should be, please report it with that file."
    return " Please report it with that file, which holds no tokens."


def _saved(error: BaseException) -> str:
    """Save the traceback, and say where."""
    facts = f"hf_mtl {__version__}, Python {platform.python_version()}, {platform.platform()}"
    content = f"{facts}\n\n{traceback_of(error)}"
    try:
        handle, name = tempfile.mkstemp(prefix="hf_mtl-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
    except OSError as problem:
        return f"The traceback could not be saved ({problem.strerror}); `hf-mtl --traceback ...` shows it instead."
    return f"The traceback is saved in {Path(name)}."


def traceback_of(error: BaseException) -> str:
    """Return an error's traceback as a terminal may show it: without secrets and control characters."""
    return printable(redacted("".join(traceback.format_exception(error))))


def redacted(text: str) -> str:
    """Return text without what is secret.

    >>> redacted("https://ada:pass@host/x, hf_abcdefghijklmnopqrstuvwxyz")
    'https://<secret>@host/x, <secret>'
    """
    for value in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(value, _REPLACED)
    for form in (_TOKEN, _PASSWORD, _BEARER):
        text = form.sub(_REPLACED, text)
    return text


def _secrets() -> Iterator[str]:
    """The values that environment and login keep."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _LEAST and not value.startswith(os.sep):
            yield value
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import get_token

        with contextlib.suppress(OSError, ValueError):  # its file cannot be read: then nothing shows it
            if token := get_token():
                yield token
