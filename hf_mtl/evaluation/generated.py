"""Answers that are written for real, beside what one forward pass says of them.

Exact matches are measured by one forward pass over the references. That is what greedy decoding gives as long as the
base is causal, the prompt has its tokens of training, and what is learned last stops generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from hf_mtl.data import added_ids
from hf_mtl.evaluation.figures import TaskOutcomes
from hf_mtl.models import RoutedModel, completions
from hf_mtl.tasks import row_tokens

__all__ = ["GeneratedSample", "generated_sample"]

_LONGEST = 256  # tokens: an answer beyond is not written for this
_BEHIND = 4  # tokens that an answer may go on behind its reference's end, which shows that nothing stopped it


@dataclass(frozen=True)
class GeneratedSample:
    """What became of some rows in one forward pass, and when they were written.

    Args:
        rows: The rows.
        teacher_forced: The share of them whose reference is exactly the most likely continuation, by one pass.
        generated: The share of them whose reference was exactly what greedy decoding wrote, token by token, to its end.
        differing: The rows in which the two do not agree.
        running_on: Those of them that were exact by one pass and were not stopped at their end.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    rows: int
    teacher_forced: float
    generated: float
    differing: int = 0
    running_on: int = 0

    @property
    def problem(self) -> str | None:
        """The disagreement in words, with its likely reasons; None where both agree.

        >>> GeneratedSample(4, 1.0, 1.0).problem is None
        True
        """
        if not self.differing:
            return None
        figures = (
            f"of {self.rows} rows, {self.teacher_forced:.2f} are exact by one forward pass (teacher-forced) and "
            f"{self.generated:.2f} when they are generated; {self.differing} differ"
        )
        if self.running_on:
            return (
                f"{figures}, {self.running_on} of them because nothing stopped the answer at its end. Likely reasons: "
                f"the token that ends the completions does not stop generation, or another token ends them in training."
            )
        return (
            f"{figures}. Likely reasons: the prompt has other tokens than in training (chat template, special tokens), "
            f"the base looks at later tokens, or near ties that half precision rounds otherwise."
        )


def generated_sample(outcomes: TaskOutcomes, model: RoutedModel) -> GeneratedSample | None:
    """Write the answers of rows whose references are at most 256 tokens; None if there are no such rows.

    Rows of a corpus, whose prompts have no token to begin with, are left out, and so are those that lost their end to
    `max_length`.

    Args:
        outcomes: What one pass gave for the rows.
        model: The model.
    """
    context = outcomes.context
    reads = {row: own[-1].output for row, own in outcomes.found.items()}
    tokens = row_tokens(context)
    stops = added_ids(context.tokenizer)
    short = [
        row
        for row, read in reads.items()
        if len(read.answer_ids) <= _LONGEST and read.answer_ids[-1] in stops
    ]
    asked = {row: tokens.prompt(outcomes.rows[row], answered=True).ids for row in short}
    rows = [row for row, prompt in asked.items() if prompt]
    if not rows:
        return None
    longest = max(len(reads[row].answer_ids) for row in rows)
    prompts = [asked[row] for row in rows]
    with outcomes.forward_pass():
        written = completions(
            model, context.tokenizer, outcomes.task.name, prompts, max_new_tokens=longest + _BEHIND
        )
    forced, exact, running_on = 0, 0, 0
    differing = 0
    for row, answer in zip(rows, written, strict=True):
        by_pass = reads[row].exact
        # Token by token: the same text in other tokens is no more exact here than it is by one pass.
        right = answer.token_ids == tuple(reads[row].answer_ids)
        forced, exact, differing = forced + by_pass, exact + right, differing + (by_pass != right)
        running_on += by_pass and answer.finish == "length"
    return GeneratedSample(len(rows), forced / len(rows), exact / len(rows), differing, running_on)
