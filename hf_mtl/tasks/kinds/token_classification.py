"""Token classification: a tag for every word.

Loss and logits are those of `AutoModelForTokenClassification`; as is usual there, a word's tag is learned and read at
the first of its tokens. Tags may be in any scheme (IOB1, IOB2, IOBES, BILOU, or none); the metric `seqeval` takes a
`scheme` and `mode="strict"` for those that it is to be strict about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, final

from hf_mtl.bounds import FRACTION, Bounds
from hf_mtl.data import IGNORED, Example, Row
from hf_mtl.errors import DataError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.declared import Declared, Role
from hf_mtl.tasks.kinds.entities import AGGREGATIONS, entities_of
from hf_mtl.tasks.kinds.fields import by_role, part, text, words
from hf_mtl.tasks.kinds.kind import Answers, Context, Kind, Labelled, Outcome
from hf_mtl.tasks.kinds.labels import class_weights, is_missing, label_number
from hf_mtl.tasks.kinds.query import Found, Option, Query, one_of, settled
from hf_mtl.tasks.kinds.scores import label_names
from hf_mtl.tasks.kinds.sentences import sentence_of
from hf_mtl.tasks.kinds.single_label import ClassLoss, ClassWeights, label_problems

if TYPE_CHECKING:
    from torch import Tensor

    from hf_mtl.data import Sequence as TokenSequence

__all__ = ["TokenClassification"]

_OUTSIDE = "O"
_IGNORED = Option(
    (_OUTSIDE,),
    "a list of labels",
    lambda value: isinstance(value, list | tuple) and all(isinstance(each, str) for each in value),
)


@final
@dataclass(frozen=True)
class TokenClassification(Kind):
    """Token classification. Rows: `tokens` (words) and `tags`, as many; a tag None or -100 is not known.

    Args:
        class_weights: One weight per tag, in their order or by name.
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
    """

    class_weights: ClassWeights = None
    bounds: ClassVar[Mapping[str, Bounds]] = {"label_smoothing": FRACTION}
    label_smoothing: float = 0.0

    name: ClassVar[str] = "token-classification"
    shape: ClassVar[HeadShape] = HeadShape.TOKEN
    roles: ClassVar[Mapping[str, Role]] = {"tokens": Role("tokens"), "tags": Role("tags")}
    metrics: ClassVar[tuple[str, ...]] = ("seqeval",)
    forms: ClassVar[tuple[Form, ...]] = ("tags", "labels")
    options: ClassVar[Mapping[str, Option]] = {
        "aggregation_strategy": one_of(*AGGREGATIONS),
        "ignore_labels": _IGNORED,
    }

    @property
    def label_role(self) -> str:
        """As in `Kind`."""
        return "tags"

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        return label_problems(declared, self.class_weights)

    def examples(self, row: Row, context: Context) -> list[Example]:
        """As in `Kind`."""
        columns = context.declared.columns
        tokens = words(part(row, "tokens", self.roles, columns), "tokens")
        tags = self._tags(row, tokens, context.declared)
        input_ids, firsts, truncated = _aligned(tokens, context)
        known = [(place, tag) for place, tag in zip(firsts, tags, strict=True) if None not in (place, tag)]
        if not known:
            return []
        loss = self._loss(context.declared)
        places = [place for place, _ in known if place is not None]
        numbers = [tag for _, tag in known if tag is not None]
        weight = sum(map(loss.weight, numbers))
        return [Example(input_ids, places, numbers, [], weight, [], truncated)]

    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """As in `Kind`: `[N]`."""
        return self._loss(declared)(logits, labelled.ids)

    def output(self, asked: Sequence[TokenSequence], logits: Sequence[Tensor], context: Context) -> list[int]:
        """As in `Kind`: the most likely tag at each place."""
        found: list[int] = logits[0].argmax(-1).tolist()
        return found

    def answers(
        self, form: Form, outcomes: Mapping[int, Sequence[Outcome]], rows: Mapping[int, Row], context: Context
    ) -> Answers:
        """As in `Kind`. Words that were cut off, or became no token at all, count as found to be outside."""
        labels = context.labels
        outside = labels.index(_OUTSIDE) if _OUTSIDE in labels else 0
        predictions: list[list[int]] = []
        references: list[list[int]] = []
        for row, own in outcomes.items():
            tokens = words(part(rows[row], "tokens", self.roles, context.declared.columns), "tokens")
            tags = self._tags(rows[row], tokens, context.declared)
            _, firsts, _ = _aligned(tokens, context)
            found = iter(own[0].output)
            read = [next(found) if None not in pair else outside for pair in zip(firsts, tags, strict=True)]
            predictions.append([tag for tag, gold in zip(read, tags, strict=True) if gold is not None])
            references.append([gold for gold in tags if gold is not None])
        if form == "tags":
            named = ([[labels[tag] for tag in row] for row in table] for table in (predictions, references))
            return Answers(*named)
        flat = ([tag for row in table for tag in row] for table in (predictions, references))
        return Answers(*flat)

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """As in `Kind`: a sentence, a list of words, or a row; words are returned as they are, joined by blanks."""
        if isinstance(given, Mapping):
            given = by_role(given, ("tokens",), self.roles, context.declared.columns)["tokens"]
        ends = None
        if not isinstance(given, str):
            own = words(given, "tokens")
            ends = [stop - 1 for stop in _stops(own)]
            given = " ".join(own)
        sentence = sentence_of(text(given, "sentence"), context)
        places = [place for place, special in enumerate(sentence.special) if not special]
        example = Example(
            sentence.input_ids, places, [IGNORED] * len(places), [], 0.0, [], sentence.truncated
        )
        # A text of which the tokenizer makes nothing has no entities, and nothing is to be run.
        examples = (example,) if places else ()
        return Query(settled(options, self.options, self.name), examples, source=(sentence, ends))

    def reply(
        self, query: Query, found: Found, context: Context
    ) -> list[dict[str, Any]]:  # Any: texts and numbers
        """As in `Kind`: see `hf_mtl.tasks.kinds.entities`."""
        sentence, ends = query.source
        if not found.logits:
            return []
        names = label_names(context.declared)
        return entities_of(sentence, ends, found.logits[0], names, context.tokenizer, query.options)

    def _loss(self, declared: Declared) -> ClassLoss:
        return ClassLoss(class_weights(self.class_weights, declared), self.label_smoothing)

    def _tags(self, row: Row, tokens: Sequence[str], declared: Declared) -> list[int | None]:
        value = part(row, "tags", self.roles, declared.columns)
        if is_missing(value):
            return [None] * len(tokens)
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise DataError(
                f"the tags are {value!r} ({type(value).__name__}); expected one tag per word.",
                reason="tags that do not fit",
            )
        if len(value) != len(tokens):
            raise DataError(
                f"there are {len(tokens)} words but {len(value)} tags; expected one tag per word. Words: "
                f"{_beginning(tokens)}; tags: {_beginning(value)}.",
                reason="tags that do not fit",
            )
        numbers: list[int | None] = []
        for i, tag in enumerate(value):
            missing = is_missing(tag)
            numbers.append(
                None if missing else label_number(tag, declared, what=f"tag of word {i} ({tokens[i]!r})")
            )
        return numbers


def _aligned(tokens: Sequence[str], context: Context) -> tuple[list[int], list[int | None], bool]:
    """A sentence's token ids, and for each of its words the place of its first token.

    The words are joined by blanks and distinguished by their characters: byte-level tokenizers, to whom a blank belongs
    to the word behind it, take a sentence only so.

    Returns:
        Token ids `[S]`; one place per word, None for one that was cut off or became no token; whether any were cut off.
    """
    ends = _stops(tokens)
    sentence = sentence_of(" ".join(tokens), context)
    firsts: list[int | None] = [None] * len(tokens)
    word = 0
    for place, (start, stop) in enumerate(sentence.offsets):
        if start == stop:
            continue  # a special token
        while word < len(tokens) and stop >= ends[word]:
            word += 1
        if word < len(tokens) and firsts[word] is None:
            firsts[word] = place
    return sentence.input_ids, firsts, sentence.truncated


def _stops(tokens: Sequence[str]) -> list[int]:
    """The first character of the word behind each."""
    return list(accumulate(len(word) + 1 for word in tokens))


def _beginning(items: Sequence[object]) -> str:
    return repr(list(items[:8])) + (" ..." if len(items) > 8 else "")
