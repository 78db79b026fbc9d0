"""A kind of task: how a row becomes sequences with labels, what the loss is, and what the outputs mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, TypeVar

import numpy as np

from hf_mtl.bounds import Bounds, bound_problems, impossible
from hf_mtl.data import Example, Row
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec, Pool
from hf_mtl.metrics import Form
from hf_mtl.packages import Package
from hf_mtl.tasks.kinds.declared import Declared, Role
from hf_mtl.tasks.kinds.query import Found, Option, Query

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from torch import Tensor
    from transformers import BaseImageProcessor, PreTrainedTokenizerBase

    from hf_mtl.data import RowTable
    from hf_mtl.data import Sequence as TokenSequence

__all__ = ["Answers", "Context", "Kind", "Labelled", "Outcome", "Processor"]

Remembered = TypeVar("Remembered")
Processor: TypeAlias = "PreTrainedTokenizerBase | BaseImageProcessor"


@dataclass(frozen=True)
class Context:
    """A declared task on a base.

    Args:
        declared: What the task declares.
        processor: The base's tokenizer, or its image processor.
        pool: Which states a head on sequences reads; None where the base can have none.
        longest: Most tokens that the base has positions for; None if there is no limit.
        encoder_decoder: Whether prompts go to an encoder and completions to a decoder.
        vocabulary: How many token ids the base has; None if it is not known.
        image: Channels, height and width of the images that it reads; None if there is no fixed size.
        token_types: How many types of token it tells apart; None if it tells none apart, or it is not known.
    """

    declared: Declared
    processor: Processor
    pool: Pool | None = None
    longest: int | None = None
    encoder_decoder: bool = False
    vocabulary: int | None = None
    image: tuple[int, int, int] | None = None
    token_types: int | None = None
    _memory: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # Any: see `remembered`

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer; a `ConfigError` if it reads images."""
        from transformers import PreTrainedTokenizerBase

        if not isinstance(self.processor, PreTrainedTokenizerBase):
            raise ConfigError(
                f"this kind reads text, and the base comes with a {type(self.processor).__name__} in the place of a "
                f"tokenizer. Use image-classification, or a base that reads text."
            )
        return self.processor

    @property
    def max_length(self) -> int | None:
        """Most tokens of a sequence that a head of its own reads."""
        return min((n for n in (self.declared.max_length, self.longest) if n is not None), default=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels' names; none where the kind has none."""
        return self.declared.labels or ()

    def remembered(self, name: str, made: Callable[[], Remembered]) -> Remembered:
        """Something that a kind makes of this context once."""
        if name not in self._memory:
            self._memory[name] = made()
        found: Remembered = self._memory[name]
        return found

    def places(self, tokens: int) -> list[int]:
        """The places of a text whose states a head on sequences reads."""
        assert self.pool is not None  # checked where the head is made
        return self.pool.places(tokens)


class Labelled(NamedTuple):
    """What a route's part of a batch is to give.

    Args:
        ids: `[N]`, at each place; `IGNORED` where `targets` say it.
        targets: Of each of the `R` sequences.
        counts: Each sequence's number of places.
    """

    ids: Tensor
    targets: tuple[tuple[float, ...], ...]
    counts: tuple[int, ...]

    def values(self, like: Tensor) -> Tensor:
        """The targets as one tensor `[R, K]`, on the device and in the dtype of another."""
        import torch

        return torch.tensor(self.targets, device=like.device, dtype=like.dtype)


@dataclass(frozen=True)
class Outcome:
    """What one forward pass gives for one sequence.

    Args:
        loss_sum: The sum of its losses, weighted as in training.
        weight: What it counts for in the mean.
        output: What its kind makes of the logits.
    """

    loss_sum: float
    weight: float
    output: Any  # Any: each kind has its own


@dataclass(frozen=True)
class Answers:
    """A task's predictions beside the references, row by row, in one form."""

    predictions: Sequence[Any]  # Any: what the form says
    references: Sequence[Any]


class Kind(ABC):
    """Abstract: a kind of task. Its options are the fields of its dataclass.

    Attributes:
        name: What recipes call it.
        shape: The shape of the head; None for the vocabulary head.
        roles: The parts that its rows have; empty for kinds whose rows go through a template.
        metrics: What is usually measured.
        forms: The forms of predictions that it gives, the first one to metrics that do not care.
        options: What an input may say of its answer.
        bounds: Of those of its options that are numbers.
        packages: What must be installed beyond the dependencies.
    """

    name: ClassVar[str]
    shape: ClassVar[HeadShape | None] = None
    roles: ClassVar[Mapping[str, Role]] = {}
    metrics: ClassVar[tuple[str | Mapping[str, object], ...]] = ()
    forms: ClassVar[tuple[Form, ...]] = ()
    options: ClassVar[Mapping[str, Option]] = {}
    packages: ClassVar[tuple[Package, ...]] = ()
    bounds: ClassVar[Mapping[str, Bounds]] = {}

    def option_problems(self) -> list[str]:
        """What is wrong with its options that are numbers: those without bounds must at least be finite."""
        free = {name: impossible(value) for name, value in vars(self).items() if name not in self.bounds}
        return bound_problems(self.bounds, vars(self)) + [
            f"{name}: {problem}" for name, problem in free.items() if problem is not None
        ]

    @property
    def default_metrics(self) -> tuple[str | Mapping[str, object], ...]:
        """What is measured where the task says nothing."""
        return self.metrics

    def usual_metrics(
        self, declared: Declared, rows: Dataset | IterableDataset | RowTable | None
    ) -> tuple[str | Mapping[str, object], ...]:
        """What is measured of a task that names no metrics, in view of its eval rows (or, without such, train rows)."""
        return self.default_metrics

    @property
    def writes(self) -> bool:
        """Whether its answers are text that the base writes."""
        return "max_new_tokens" in self.options

    @property
    def label_role(self) -> str | None:
        """The role whose values are of a closed set of labels; None if there is none."""
        return None

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several labels."""
        return False

    def problems(self, declared: Declared) -> list[str]:
        """What is wrong with a declaration, apart from names that the kind's roles know."""
        return []

    def base_problems(self, *, encoder_decoder: bool, decodes: bool) -> list[str]:
        """What is wrong with a base for this kind.

        Args:
            encoder_decoder: Whether the base is an encoder-decoder.
            decodes: Whether it writes text, from left to right.
        """
        return []

    def head(self, declared: Declared) -> HeadSpec | None:
        """The head that a task of this kind has; None for the vocabulary head."""
        return None if self.shape is None else HeadSpec(self.shape, len(declared.labels or ()))

    @abstractmethod
    def examples(self, row: Row, context: Context) -> list[Example]:
        """The sequences of a row; none for a row without a label.

        Raises:
            DataError: If the row cannot be used.
        """

    def pixels(self, row: Row, context: Context) -> Tensor:
        """The image `[C, H, W]` of a row; for kinds that read text there is none.

        Raises:
            DataError: If the row has no image that the base can read.
        """
        raise DataError(f"a task of the kind {self.name!r} reads no images.")

    @property
    def reads_images(self) -> bool:
        """Whether its rows are images."""
        return "image" in self.roles

    @abstractmethod
    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """The losses of a route's part of a batch, in fp32 or wider: one per sequence `[R]` or per place `[N]`.

        Their sum, over the weights of all the round's sequences, is the task's loss.

        Args:
            logits: What the head gave.
            labelled: What it is to give.
            declared: What the task declares.
        """

    def questions(self, own: TokenSequence, context: Context) -> tuple[TokenSequence, ...]:
        """The sequences that are run to measure one, itself first."""
        return (own,)

    def output(self, asked: Sequence[TokenSequence], logits: Sequence[Tensor], context: Context) -> Any:
        """What is kept of the logits of one sequence and of those that are run with it; by default all of its own.

        Args:
            asked: The sequences.
            logits: Of each, `[1, C]` of a head on sequences, else `[N, C]`.
            context: The task on its base.
        """
        kept: np.ndarray = logits[0].float().cpu().numpy()
        return kept[0] if self.shape is HeadShape.SEQUENCE else kept

    @abstractmethod
    def answers(
        self, form: Form, outcomes: Mapping[int, Sequence[Outcome]], rows: Mapping[int, Row], context: Context
    ) -> Answers:
        """Predictions and references in one of its `forms`.

        Args:
            form: The form.
            outcomes: By row, those of its sequences, in order.
            rows: The rows that have a label.
            context: The task on its base.
        """

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """An input without a label, made ready to be run.

        Raises:
            DataError: If the input or an option cannot be used; the message says what was expected.
        """
        raise ConfigError(
            f"a task of the kind {self.name!r} gives no answers: its class has no query and reply."
        )

    def reply(self, query: Query, found: Found, context: Context) -> Any:
        """The answer to a query, in the form that `transformers.pipeline` gives for such tasks."""
        raise NotImplementedError
