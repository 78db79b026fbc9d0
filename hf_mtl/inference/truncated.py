"""The warning that inputs are read in part only."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from hf_mtl.inference.queries import Asked
from hf_mtl.notices import logger_of

__all__ = ["Truncated"]

logger = logger_of(__name__)


class Truncated:
    """Warns of the first inputs that are cut off, and at the end of the context of all together."""

    def __init__(self) -> None:
        self._warned = self._count = 0

    def add(self, asked: Iterable[Asked]) -> None:
        """Look at the inputs of a window."""
        cut = [own for own in asked if own.truncated]
        self._count += len(cut)
        if cut and not self._warned:
            self._warned = len(cut)
            logger.warning(
                "%d inputs are longer than their task's max_length or the base's positions, and only their beginnings "
                "are read; the first is %s (task %r).",
                len(cut),
                cut[0].name,
                cut[0].task.name,
            )

    def __enter__(self) -> Truncated:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._count > self._warned:
            logger.warning("In all, of %d inputs only the beginnings were read.", self._count)
