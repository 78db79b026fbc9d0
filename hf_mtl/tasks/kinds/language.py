"""What the kinds that the vocabulary head serves have in common: a prompt is read, a completion is learned.

Loss and logits are those of `AutoModelForCausalLM` and `AutoModelForSeq2SeqLM` with the prompt's labels set to -100;
the vocabulary head is computed for the completion's tokens only. All measures but generated texts come from one
forward pass: greedy decoding gives the reference exactly when each reference token is the most likely one after the
reference's own beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hf_mtl.bounds import FRACTION, Bounds
from hf_mtl.data import (
    Chat,
    Example,
    PromptCompletion,
    Row,
    answer_text,
    last_run,
)
from hf_mtl.errors import ConfigError
from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.declared import Declared
from hf_mtl.tasks.kinds.kind import Answers, Context, Kind, Labelled, Outcome
from hf_mtl.tasks.kinds.open_answers import OPEN_METRICS, short_answers
from hf_mtl.tasks.kinds.query import Found, Option, Query, settled
from hf_mtl.tasks.kinds.ranking import (
    candidates_of,
    check_completion,
    extra_prefixes,
    label_likelihoods,
)
from hf_mtl.tasks.kinds.single_label import ClassLoss
from hf_mtl.tasks.kinds.writing import WRITING, prompt_of, row_tokens, told

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from torch import Tensor

    from hf_mtl.data import RowTable
    from hf_mtl.data import Sequence as TokenSequence

__all__ = ["LanguageModelling", "Read"]

OTHER = (
    "\0"  # stands for whatever greedy decoding gives in the place of the reference; no text is equal to it
)


class Read(NamedTuple):
    """What one forward pass tells of a completion.

    Args:
        exact: Whether greedy decoding would give exactly the last answer, end token included.
        predicted_ids: The most likely token at each learned place, given the reference before it.
        reference_ids: The learned tokens.
        ranked: The number of the label whose completion is the most likely; None without labels.
        last: Where the last answer begins among them: of a chat, that is what is generated.
    """

    exact: bool
    predicted_ids: tuple[int, ...]
    reference_ids: tuple[int, ...]
    ranked: int | None = None
    last: int = 0

    @property
    def answer_ids(self) -> tuple[int, ...]:
        """The last answer's tokens."""
        return self.reference_ids[self.last :]

    @property
    def hits(self) -> int:
        """How many of the learned tokens are the most likely ones."""
        return sum(map(int.__eq__, self.predicted_ids, self.reference_ids))


@dataclass(frozen=True)
class LanguageModelling(Kind):
    """Abstract: a kind whose rows become a prompt and a completion through the task's template.

    Args:
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
    """

    bounds: ClassVar[Mapping[str, Bounds]] = {"label_smoothing": FRACTION}
    label_smoothing: float = 0.0

    forms: ClassVar[tuple[Form, ...]] = ("texts", "labels", "likelihoods", "tokens")
    options: ClassVar[Mapping[str, Option]] = WRITING

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        problems = []
        if declared.columns:
            problems.append(
                f"columns={dict(declared.columns)!r}: a task of the kind {self.name!r} reads its rows through its "
                f"template; name the columns there."
            )
        labels = declared.labels
        if labels is None:
            return problems
        if len(set(labels)) < max(2, len(labels)):
            problems.append(f"labels must be two or more different texts, found {list(labels)!r}.")
        elif isinstance(declared.template, Chat):
            problems.append("labels cannot be ranked in a chat; use PromptCompletion, or leave labels out.")
        elif isinstance(declared.template, PromptCompletion):
            try:
                declared.template.candidate(labels[0])
            except ConfigError as error:
                problems.append(str(error))
        return problems

    def usual_metrics(
        self, declared: Declared, rows: Dataset | IterableDataset | RowTable | None
    ) -> tuple[str | Mapping[str, object], ...]:
        """As in `Kind`: exact matches where answers are short or of a closed set, else figures of single tokens."""
        closed = declared.labels is not None or short_answers(declared.template, rows)
        return self.default_metrics if closed else OPEN_METRICS

    def base_problems(self, *, encoder_decoder: bool, decodes: bool) -> list[str]:
        """As in `Kind`."""
        if not decodes:
            return [
                f"{self.name} needs a base that writes text from left to right; load one with AutoModelForCausalLM or "
                f"AutoModelForSeq2SeqLM, or choose a kind with a head of its own."
            ]
        return []

    def examples(self, row: Row, context: Context) -> list[Example]:
        """As in `Kind`."""
        encoded = row_tokens(context).encode(row, max_length=context.declared.max_length)
        examples = [Example.next_token(own) for own in encoded]
        if candidates_of(context):
            check_completion(row, examples[0], context)
        return examples

    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """As in `Kind`: `[N]`."""
        return ClassLoss(None, self.label_smoothing)(logits, labelled.ids)

    def questions(self, own: TokenSequence, context: Context) -> tuple[TokenSequence, ...]:
        """As in `Kind`: with labels, also the beginnings that ranking them takes."""
        candidates = candidates_of(context)
        if not candidates:
            return (own,)
        prompt = own.input_ids[: own.label_positions[0] + 1]
        last = len(prompt) - 1
        return (
            own,
            *(
                replace(
                    own,
                    input_ids=prompt + list(prefix),
                    label_positions=list(range(last, last + len(prefix) + 1)),
                    label_ids=[*prefix, 0],
                )
                for prefix in extra_prefixes(candidates, tuple(own.label_ids))
            ),
        )

    def output(self, asked: Sequence[TokenSequence], logits: Sequence[Tensor], context: Context) -> Read:
        """As in `Kind`."""
        predicted = tuple(logits[0].argmax(dim=-1).tolist())
        reference = tuple(asked[0].label_ids)
        ranked = None
        if candidates_of(context):
            likelihoods = label_likelihoods(asked, logits, context)
            ranked = likelihoods.index(max(likelihoods))
        last = last_run(asked[0].label_positions)
        return Read(predicted[last:] == reference[last:], predicted, reference, ranked, last)

    def answers(
        self, form: Form, outcomes: Mapping[int, Sequence[Outcome]], rows: Mapping[int, Row], context: Context
    ) -> Answers:
        """As in `Kind`. Of texts, only those that are exactly the reference are known without generating."""
        if form == "likelihoods":
            sums = [(sum(x.loss_sum for x in own), sum(x.weight for x in own)) for own in outcomes.values()]
            return Answers(sums, [0] * len(sums))
        if form == "tokens":
            reads = [[each.output for each in own] for own in outcomes.values()]
            counts = [(sum(x.hits for x in own), sum(len(x.reference_ids) for x in own)) for own in reads]
            return Answers(counts, [0] * len(counts))
        last = [own[-1].output for own in outcomes.values()]
        if form == "labels":
            numbers = {tokens: number for number, tokens in enumerate(candidates_of(context))}
            gold = [numbers[read.reference_ids[:-1]] for read in last]
            return Answers([read.ranked for read in last], gold)
        references = self.references(outcomes, context)
        texts = [text if read.exact else OTHER for read, text in zip(last, references, strict=True)]
        return Answers(texts, references)

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """As in `Kind`: a whole prompt, a row with the template's fields, or chat messages."""
        chosen = settled(options, self.options, self.name)
        prompt = prompt_of(given, context)
        return Query(chosen, prompt=prompt.text, prompt_ids=prompt.ids, source=prompt)

    def reply(
        self, query: Query, found: Found, context: Context
    ) -> list[dict[str, Any]]:  # Any: texts and numbers
        """As in `Kind`: `[{"generated_text": ...}]`."""
        return told(query.source, found.text, full=query.options["return_full_text"])

    def references(self, outcomes: Mapping[int, Sequence[Outcome]], context: Context) -> list[str]:
        """The completions as texts; of a chat the last answer, for that is what is generated."""
        return [answer_text(own[-1].output.answer_ids, context.tokenizer) for own in outcomes.values()]
