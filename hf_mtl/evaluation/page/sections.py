"""The parts of a run's page, in the order in which a reader meets them."""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.evaluation.page.records import (
    COSINES_FILE,
    INCIDENTS,
    LOG,
    MIXTURE,
    RELATIONS_FILE,
    REPORT_FILE,
    SINGLE,
    TRANSFER,
)

__all__ = ["SECTIONS", "Section"]


@dataclass(frozen=True)
class Section:
    """One part.

    Args:
        part: The field of `RunStory` that it shows, which is also its anchor in the page.
        title: Its heading.
        caption: How to read it.
        source: What a run must leave to have it.
        folded: Whether its table is shown when the reader asks for it, under the picture that says the same.
    """

    part: str
    title: str
    caption: str
    source: str
    folded: bool = False


_LOG = LOG.name

SECTIONS = (
    Section(
        "results",
        "Results",
        "After training, with its 95 % interval by bootstrap over rows; before training; and the best answer that is "
        "the same for every row (constant). Seconds: the task's share of the training time, by its tokens.",
        REPORT_FILE,
    ),
    Section(
        "changes",
        "Together against alone",
        "Relative change of each task's metrics against training it alone, above 0 is a gain, whichever way the metric "
        "points. The mean over the tasks is called delta-p (Maninis et al. 2019). Private adapters share nothing, so "
        "their changes are chance; gains and losses come from what is shared.",
        f"{SINGLE.name}, the figures of single-task runs",
        folded=True,
    ),
    Section(
        "incidents",
        "Incidents",
        "Rounds in which a task's loss or gradient was not usable. Its update was left out; the other tasks went on.",
        INCIDENTS.name,
    ),
    Section(
        "losses",
        "Training loss",
        "Each task's loss as logged (thin) and its running mean (bold).",
        f"{REPORT_FILE}, or {_LOG}",
    ),
    Section(
        "evaluations",
        "Evaluations during training",
        "One panel per metric.",
        f"{_LOG} of a run with eval_strategy",
    ),
    Section(
        "relations",
        "Relations of the tasks",
        "What the row's task has to do with the column's: 1 most, 0 nothing, below 0 conflict.",
        RELATIONS_FILE,
    ),
    Section(
        "cosines",
        "Agreement of gradients",
        "The mean cosine between two tasks' gradients in the shared parameters; below 0 they pull apart.",
        COSINES_FILE,
    ),
    Section(
        "transfer",
        "Transfer",
        "The figure of the column's task with the adapter of the row's task. Colour: the relative change against the "
        "column's own adapter, blue is better.",
        TRANSFER.name,
    ),
    Section(
        "shares",
        "What each task had of the run",
        "Shares of all examples and tokens; the mark at a bar is what the mixture had planned.",
        MIXTURE.name,
        folded=True,
    ),
    Section(
        "loss_weights",
        "Weights of the losses",
        "The weight of each task's loss in the update of the shared parameters.",
        f"NAME/loss_weight in {_LOG}",
    ),
    Section(
        "learning_rates",
        "Learning rates",
        "Of each owner of parameters: a task, or an adapter that several tasks share.",
        _LOG,
    ),
    Section(
        "throughput",
        "Throughput and padding",
        "Tokens per second of all processes, evaluations left out; the share of the computed tokens that are padding.",
        _LOG,
    ),
)
