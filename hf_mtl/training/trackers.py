"""Where a run is reported to: whether what `report_to` names is here, and what happens if it cannot write.

The first is asked before the run and not at its first log.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from transformers import TrainerCallback
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    get_available_reporting_integrations,
)

from hf_mtl.errors import HfMtlError, WriteError, did_you_mean, listing
from hf_mtl.files.faults import system_number, write_error

__all__ = ["tracker_problems", "trackers_writing"]

# What transformers does not count among those at hand: their own callbacks say at construction what they miss.
_UNLISTED = ("azure_ml", "flyte", "kubeflow")


def tracker_problems(names: Sequence[str]) -> list[str]:
    """What is wrong with `report_to`: trackers that do not exist, and those that are not installed.

    >>> tracker_problems([])
    []
    >>> tracker_problems(["tensorbord"])[0].partition(" Valid")[0]
    "report_to: unknown tracker 'tensorbord'. Did you mean 'tensorboard'?"
    """
    here = get_available_reporting_integrations() if names else []  # it imports every tracker that it finds
    problems = []
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            hint = did_you_mean(name, INTEGRATION_TO_CALLBACK)
            valid = listing([*INTEGRATION_TO_CALLBACK, "all", "none"])
            problems.append(f"report_to: unknown tracker {name!r}.{hint} Valid: {valid}.")
        elif name not in (*here, *_UNLISTED):
            package = name.replace("_", "-")
            problems.append(
                f"report_to={name!r} needs the package {package}, which is not installed: pip install {package}"
            )
    return problems


@contextmanager
def trackers_writing(callbacks: Sequence[TrainerCallback], folder: Path) -> Iterator[None]:
    """Raise a `WriteError` for what the system refuses to a tracker, or to a thread of one.

    Args:
        callbacks: All of the trainer's.
        folder: Where the run writes; trackers write below it, or in a place of their own.

    Raises:
        WriteError: If a tracker could not write, at once, or at the end of the block if a thread of it could not.
    """
    for callback in callbacks:
        if isinstance(callback, TensorBoardCallback):
            # Its queue has room for ten figures, and who adds one waits for a thread that ends with the first error.
            # Without a limit, the flush after them says what the error is.
            writer = vars(callback)["_SummaryWriter"]
            vars(callback)["_SummaryWriter"] = (
                writer if isinstance(writer, partial) else partial(writer, max_queue=0)
            )
    of_threads: list[WriteError] = []
    before = threading.excepthook

    def noted(ended: threading.ExceptHookArgs) -> None:
        error = None if ended.exc_value is None else _refused(ended.exc_value, folder)
        if error is None:
            before(ended)
        else:
            of_threads.append(error)

    threading.excepthook = noted
    try:
        yield
    except Exception as error:
        if (refused := _refused(error, folder)) is None:
            raise
        raise refused from error
    finally:
        threading.excepthook = before
    if of_threads:
        raise of_threads[0]


def _refused(error: BaseException, folder: Path) -> WriteError | None:
    """What the system refused to a tracker; None of any other error."""
    if isinstance(error, HfMtlError) or not isinstance(error, Exception) or system_number(error) is None:
        return None
    if (tracker := _tracker_of(error)) is None:
        return None
    place = error.filename if isinstance(error, OSError) and error.filename else folder
    known = write_error(str(place), error)
    notes = [
        f"The checkpoints in {folder}, if there are any, are whole: --resume last goes on from the last one, "
        f"with report_to: none without the tracker."
    ]
    return WriteError(f"the log of the tracker {tracker!r}", known.reason, known.action, notes)


def _tracker_of(error: BaseException) -> str | None:
    """The tracker whose code an error passed through."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        part = type(frame.f_locals.get("self"))
        for name, callback in INTEGRATION_TO_CALLBACK.items():
            if part is callback or module.split(".")[0].lower().startswith(name):
                return name
    return None
