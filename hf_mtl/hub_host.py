"""The user's token, kept at the Hub.

huggingface_hub takes the token out of redirects to other hosts, and yet sends it wherever an answer of the Hub says
that a listing goes on (`Link: ...; rel="next"`), an upload is to be confirmed (`verify` of Git LFS) or a storage is to
be asked for access (`rel="xet-auth"`). With a mirror, or a Hub that is not the public one (`HF_ENDPOINT`), that may be
anywhere.

>>> from urllib.parse import urlsplit
>>> is_hub(urlsplit("https://cdn-lfs.huggingface.co/x"), urlsplit("https://huggingface.co"))
True
>>> is_hub(urlsplit("http://localhost:8000/x"), urlsplit("http://127.0.0.1:8000"))
False
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

__all__ = ["NO_ANSWER", "is_hub", "token_stays"]

logger = logging.getLogger(__name__)

NO_ANSWER = (AttributeError, AssertionError, KeyError, IndexError, TypeError)
"""What huggingface_hub and transformers raise of JSON that is not what they expect, from the Hub or of a file."""

_DEFAULT = "huggingface.co"
_PORTS = {"http": 80, "https": 443}

# The client is one for the whole process, and pushes run in the background.
_changing = threading.Lock()


def is_hub(address: SplitResult, endpoint: SplitResult) -> bool:
    """Whether an address is the Hub's.

    Args:
        address: The address.
        endpoint: That of the Hub in use.
    """
    if _origin(address) == _origin(endpoint):
        return True
    host = (address.hostname or "").lower()
    return address.scheme == "https" and (host == _DEFAULT or host.endswith(f".{_DEFAULT}"))


def _origin(address: SplitResult) -> tuple[str, str, int | None]:
    return address.scheme, (address.hostname or "").lower(), address.port or _PORTS.get(address.scheme)


@contextmanager
def token_stays(token: str | None = None) -> Iterator[None]:
    """While this runs, the token goes to the Hub alone; elsewhere the client's requests go without it.

    Args:
        token: The token; default the one that `hf auth login` or `HF_TOKEN` left.
    """
    from huggingface_hub import constants, get_session, get_token

    secret = token or get_token()
    if not secret:
        yield
        return
    endpoint = urlsplit(constants.ENDPOINT)

    def leave_out(request: Any) -> None:  # Any: of httpx or httpx2, by the version of huggingface_hub
        if secret not in request.headers.get("authorization", ""):
            return
        address = urlsplit(str(request.url))
        if not is_hub(address, endpoint):
            del request.headers["authorization"]
            logger.warning(
                "The Hub refers to another host, %s. It is asked without your token; if that fails, check HF_ENDPOINT.",
                address.hostname,
            )

    session = get_session()
    _change_hooks(session, lambda hooks: [*hooks, leave_out])
    try:
        yield
    finally:
        _change_hooks(session, lambda hooks: [hook for hook in hooks if hook is not leave_out])


def _change_hooks(session: Any, change: Callable[[list[Any]], list[Any]]) -> None:  # Any: as above
    with _changing:
        hooks = session.event_hooks
        session.event_hooks = {**hooks, "request": change(hooks["request"])}
