"""The parts of a run's page, in the order in which a reader meets them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SECTIONS", "Section"]


@dataclass(frozen=True)
class Section:
    """One part.

    Args:
        part: The field of `RunStory` that it shows, which is also its anchor in the page.
        title: Its heading.
        caption: How to read it.
        otherwise: What the page says where the run has nothing to show: what brings it, as a sentence for the reader.
        folded: Whether its table is shown when the reader asks for it, under the picture that says the same.
    """

    part: str
    title: str
    caption: str
    otherwise: str
    folded: bool = False


SECTIONS = (
    Section(
        "results",
        "Results",
        "After training, with its 95 % interval by bootstrap over rows; before training; and the best answer that is "
        "the same for every row (constant). Seconds: the task's share of the training time, by its tokens.",
        "They are written when a training ends.",
    ),
    Section(
        "changes",
        "Together against alone",
        "Relative change of each task's metrics against training it alone, above 0 is a gain, whichever way the metric "
        "points. The mean over the tasks is called delta-p (Maninis et al. 2019). Private adapters share nothing, so "
        "their changes are chance; gains and losses come from what is shared.",
        "hf-mtl compare trains each task alone too.",
        folded=True,
    ),
    Section(
        "incidents",
        "Incidents",
        "Rounds in which a task's loss or gradient was not usable. Its update was left out; the other tasks went on.",
        "They are written when a training ends.",
    ),
    Section(
        "skipped",
        "Skipped rows",
        "Rows that could not be used and were left out, by what is wrong with them. The log names the first of each.",
        "No row was left out; a task with on_bad_row: skip leaves out those that cannot be used.",
    ),
    Section(
        "losses",
        "Training loss",
        "Each task's loss as logged (thin) and its running mean (bold).",
        "No loss was logged; with a smaller logging_steps it is earlier.",
    ),
    Section(
        "evaluations",
        "Evaluations during training",
        "One panel per metric.",
        "The run measured its tasks only before and after; eval_strategy measures them while it trains.",
    ),
    Section(
        "relations",
        "Relations of the tasks",
        "What the row's task has to do with the column's: 1 most, 0 nothing, below 0 conflict.",
        "hf-mtl relations measures them.",
    ),
    Section(
        "cosines",
        "Agreement of gradients",
        "The mean cosine between two tasks' gradients in the shared parameters; below 0 they pull apart.",
        "Runs whose tasks share parameters keep it with gradient_cosines: true.",
    ),
    Section(
        "transfer",
        "Transfer",
        "The figure of the column's task with the adapter of the row's task. Colour: the relative change against the "
        "column's own adapter, blue is better.",
        "hf-mtl evaluate --transfer measures what each adapter gives for the other tasks.",
    ),
    Section(
        "shares",
        "What each task had of the run",
        "Shares of all examples and tokens; the mark at a bar is what the mixture had planned.",
        "No counts of rows or tokens were logged.",
        folded=True,
    ),
    Section(
        "loss_weights",
        "Weights of the losses",
        "The weight of each task's loss in the update of the shared parameters.",
        "The run had none: they belong to shared parameters and to objectives that weigh the tasks.",
    ),
    Section(
        "learning_rates",
        "Learning rates",
        "Of each owner of parameters: a task, or an adapter that several tasks share.",
        "No learning rate was logged.",
    ),
    Section(
        "throughput",
        "Throughput and padding",
        "Tokens per second of all processes, evaluations left out; the share of the computed tokens that are padding.",
        "Neither was logged.",
    ),
)
