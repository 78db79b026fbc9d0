"""Where a run is reported to: whether what `report_to` names is here, asked before the run and not at its first log."""

from __future__ import annotations

from collections.abc import Sequence

from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)

from hf_mtl.errors import did_you_mean, listing

__all__ = ["tracker_problems"]

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
