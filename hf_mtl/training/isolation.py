"""Whether a run's base keeps its tasks apart: probed before the first round, and refused if it does not."""

from __future__ import annotations

from collections.abc import Iterable

from hf_mtl.errors import ConfigError
from hf_mtl.models import RoutedModel
from hf_mtl.models.probes import Extent, Finding, probe_isolation
from hf_mtl.notices import logger_of
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.sources import RowSource

__all__ = ["check_isolation", "isolation_note"]

logger = logger_of(__name__)


def check_isolation(
    model: RoutedModel, sources: Iterable[RowSource], args: MultiTaskTrainingArguments
) -> tuple[Finding, ...]:
    """Probe the base of a run.

    Args:
        model: The model, on the run's device.
        sources: The rows of the run's tasks.
        args: The run's arguments.

    Returns:
        What was found, where `isolation="relaxed"` lets the run go on; else nothing.

    Raises:
        ConfigError: With every finding and the ways out.
    """
    findings = probe_isolation(model, _extent(source.extent for source in sources))
    if not findings:
        return ()
    base = type(model.base).__name__
    if args.isolation != "relaxed":
        raise ConfigError(
            [
                f"a task trained beside others on this {base} would not be the task trained alone: {found.text}. "
                f"Choose another base, or {found.remedy}, or set isolation='relaxed': then the run goes on, and its "
                f"report and cards say so."
                for found in findings
            ]
        )
    for found in findings:
        logger.warning("isolation='relaxed': %s. To avoid it, %s.", found.text, found.remedy)
    return findings


def isolation_note(findings: Iterable[Finding]) -> str | None:
    """What a report says of a run that went on nevertheless; None where tasks are isolated."""
    told = "; ".join(found.text for found in findings)
    return f"relaxed: {told}" if told else None


def _extent(extents: Iterable[Extent]) -> Extent:
    """Of the rows of all tasks."""
    every = list(extents)
    longest = [extent.longest for extent in every]
    known = [length for length in longest if length is not None]
    return Extent(
        min(extent.shortest for extent in every), max(known) if len(known) == len(longest) else None
    )
