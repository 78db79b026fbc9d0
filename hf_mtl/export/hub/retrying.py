"""Calls of the Hub that are tried again: when it is busy, when it fails, when the line breaks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from hf_mtl.notices import logger_of
from hf_mtl.versions import hub_errors

__all__ = ["GaveUpError", "Passing", "Retries", "passing"]

logger = logger_of(__name__)

Result = TypeVar("Result")

# 409 and 412: somebody else's commit came in between; the next attempt sees it.
_PASSING_STATUS = (408, 409, 412, 425, 429, 500, 502, 503, 504)
_LONGEST_TEXT = 300

# Not the module's own functions: their state is the run's, and pushes in the background must not move it.
_chance = random.SystemRandom()


class GaveUpError(Exception):
    """All attempts failed; the text tells of the last one."""


@dataclass(frozen=True)
class Passing:
    """A failure that may pass.

    Args:
        text: What went wrong.
        wait: The seconds that the Hub asks to wait, if it says so.
    """

    text: str
    wait: float | None = None


@dataclass(frozen=True)
class Retries:
    """How often a call is tried, and how long is waited in between: twice as long each time, and a random part more.

    Args:
        attempts: At most so many calls.
        first_wait: Seconds after the first failure.
        longest_wait: No pause of our own is longer, in seconds.
        longest_asked: The longest pause that the Hub may ask for (`Retry-After`), in seconds.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 600.0

    def call(self, what: str, function: Callable[[], Result]) -> Result:
        """Return the function's result, after as many attempts as it takes.

        Args:
            what: Names the call in the log.
            function: May be called several times.

        Raises:
            GaveUpError: If no attempt worked.
        """
        attempt = 1
        while True:
            try:
                return function()
            except (HfHubHTTPError, hub_errors().transport, OSError, RuntimeError) as error:
                failure = passing(error)
                if failure is None:
                    raise
                self._pause(what, attempt, failure)
            attempt += 1

    def _pause(self, what: str, attempt: int, failure: Passing) -> None:
        if attempt >= self.attempts:
            raise GaveUpError(f"{failure.text}; {attempt} attempts were made")
        if failure.wait is not None and failure.wait > self.longest_asked:
            raise GaveUpError(
                f"{failure.text}; the Hub asks to wait {failure.wait:.0f} s, and more than {self.longest_asked:.0f} s "
                f"are not waited"
            )
        own = min(self.longest_wait, self.first_wait * 2 ** (attempt - 1))
        seconds = max(failure.wait or 0.0, own) + _chance.uniform(0, own / 2)
        logger.info(
            "%s: %s; attempt %d of %d in %.1f s", what, failure.text, attempt + 1, self.attempts, seconds
        )
        time.sleep(seconds)


def passing(error: BaseException) -> Passing | None:
    """What may pass of an error, or None if another attempt would meet the same.

    >>> passing(ConnectionResetError("gone"))
    Passing(text='ConnectionResetError: gone', wait=None)
    >>> passing(FileNotFoundError("adapter_model.safetensors"))
    """
    for cause in _causes(error):
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            text = f"HTTP {status} ({cause.server_message or cause.response.reason_phrase})"
            return Passing(text[:_LONGEST_TEXT], _asked(cause)) if status in _PASSING_STATUS else None
        if isinstance(cause, OfflineModeIsEnabled):
            return None
        if isinstance(cause, (hub_errors().transport, ConnectionError, TimeoutError)):
            return Passing(f"{type(cause).__name__}: {cause}"[:_LONGEST_TEXT])
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from: the client wraps failed uploads."""
    while error is not None:
        yield error
        error = error.__cause__


def _asked(error: HfHubHTTPError) -> float | None:
    value = error.response.headers.get("Retry-After", "").strip()
    return float(value) if value.isdigit() else None
