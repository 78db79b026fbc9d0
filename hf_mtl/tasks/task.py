"""A task: its name, its data, how a row becomes text, its adapter, its metrics and its own training settings."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, is_dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

from hf_mtl.adapter_limits import pattern_problems
from hf_mtl.bounds import bound_problems, plain
from hf_mtl.data import RowTable, RowTemplate
from hf_mtl.errors import ConfigError, DataError, listing
from hf_mtl.keywords import explained_keywords
from hf_mtl.metrics import Metric, MetricLike
from hf_mtl.notices import logger_of
from hf_mtl.printable import is_name
from hf_mtl.setting_bounds import LABELS, OF_TASK, adapter_problems
from hf_mtl.setting_names import name_problems
from hf_mtl.tasks.adapter_field import AdapterField
from hf_mtl.tasks.declaring import declare, measures
from hf_mtl.tasks.field_checks import sort_problems
from hf_mtl.tasks.kinds import Declared, Kind, kind_of
from hf_mtl.tasks.rows_field import RowsField
from hf_mtl.tasks.settling import settle

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from peft import PeftConfig

__all__ = ["UNNAMED", "Task"]

ON_BAD_ROW = ("raise", "skip")
UNNAMED = "(unnamed)"  # until a suite or a mapping of tasks names it

logger = logger_of(__name__)

_SETTINGS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim", "adam_beta1",
    "adam_beta2", "adam_epsilon",
)  # fmt: skip


@explained_keywords
@dataclass(frozen=True)
class Task:
    """One task of a suite.

    Args:
        name: Any text; it names the task in logs, reports and files. It may be left out where a mapping
            `{name: Task(...)}` names the task.
        train: Rows to learn from, stored or streamed (then with `max_steps`); without them the task is only evaluated.
            A `datasets.Dataset` or `IterableDataset`, a list of dicts, a dict of columns, or what
            `hf_mtl.data.load_rows` takes: a file, a folder, a Hub id or `asset:NAME`.
        eval: Rows to measure on, in the same forms, not streamed.
        kind: The kind of task: its name, a mapping of `name` and options, or an object. Where neither a kind nor a
            template is given, the format of the rows is recognised from their columns (`recognised` says it), and
            rows that could be read in several ways are refused.
        columns: By the parts of the kind's rows, the columns; for texts also `{field}` patterns.
        template: How a row becomes text: `PromptCompletion`, `Chat`, or a callable that gives
            `{"prompt": ..., "completion": ...}` or `{"messages": [...]}`.
        labels: The labels' names or their number; default: those that the rows' features name, else those that the
            rows to learn from hold. Of a language model, the values of the completion's one field, if it is one of a
            closed set; they are ranked by likelihood for the metric `accuracy`.
        adapter: Any supported PEFT config object; the default is the trainer's `peft_config`, or else a LoRA of rank 8
            on all linear layers.
        metrics: Names (`hf_mtl.metrics.METRICS`), mappings of a name and options, `evaluate` modules, or callables
            `(predictions, references) -> {name: value}`; default: those of the kind (docs/kinds.md), for texts that are
            written by how long the answers are (docs/metrics.md).
        max_length: Most tokens of an example; longer ones are cut at the end and counted. Default: that of the training
            arguments, which by default keep all.
        on_bad_row: What a row that cannot be used does (an empty answer, a prompt that fills `max_length`, a corrupt
            image): `"raise"` ends the run, before training but for streamed rows; `"skip"` leaves it out and counts it.
        batch_size: Rows of a batch, over all processes; default `per_device_train_batch_size` times their number.
        gradient_accumulation_steps: Batches of one optimizer step. This and all further settings default to the
            training arguments' values of the same name, and mean the same.
        learning_rate: Peak learning rate of this task's adapter.
        num_train_epochs: Passes over the task's rows.
        max_steps: Optimizer steps of this task; overrides `num_train_epochs`.
        lr_scheduler_type: Name of the schedule, counted in this task's own steps.
        warmup_steps: Steps of warm-up; below 1 a share of the task's steps.
        weight_decay: Decoupled weight decay.
        max_grad_norm: Largest norm of this task's own gradient; 0 does not clip.
        optim: Name of the optimizer.
        adam_beta1: Decay of the gradient's running mean.
        adam_beta2: Decay of the squared gradient's running mean.
        adam_epsilon: Added to the denominator of Adam's update.
        metric_for_best_model: What decides which weights are the task's best: `loss` or a metric of the task.
        greater_is_better: Whether a larger figure of that metric is better; default: of all metrics but losses.
        early_stopping_patience: Evaluations without a better figure after which the task stops.

    Raises:
        ConfigError: With all problems of the declaration at once.

    Example:
        >>> from datasets import Dataset
        >>> from hf_mtl import PromptCompletion
        >>> rows = Dataset.from_list([{"text": "A joy.", "label": "positive"}])
        >>> task = Task("sentiment", train=rows, template=PromptCompletion("{text} It was", " {label}"))
        >>> task.adapter.r
        8
    """

    name: str = UNNAMED
    _: KW_ONLY
    train: RowsField[Dataset | IterableDataset] = RowsField()  # noqa: RUF009  # holds no rows itself
    eval: RowsField[Dataset] = RowsField()  # noqa: RUF009
    kind: str | Mapping[str, Any] | Kind | None = None  # Any: options of a kind
    columns: Mapping[str, str] = field(default_factory=dict)
    template: RowTemplate | None = None
    labels: Sequence[str] | int | None = None
    adapter: AdapterField = AdapterField()  # noqa: RUF009  # holds no adapter itself
    metrics: Sequence[MetricLike] | None = None
    max_length: int | None = None
    on_bad_row: str = "raise"
    batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    learning_rate: float | None = None
    num_train_epochs: float | None = None
    max_steps: int | None = None
    lr_scheduler_type: str | None = None
    warmup_steps: float | None = None
    weight_decay: float | None = None
    max_grad_norm: float | None = None
    optim: str | None = None
    adam_beta1: float | None = None
    adam_beta2: float | None = None
    adam_epsilon: float | None = None
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    early_stopping_patience: int | None = None
    recognised: str | None = field(init=False, repr=False, compare=False)
    declared: Declared = field(init=False, repr=False, compare=False)
    measures: tuple[Metric, ...] = field(init=False, repr=False, compare=False)
    has_default_adapter: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if wrong := [*sort_problems(vars(self))]:
            raise ConfigError([f"task {self.name!r}: {problem}" for problem in wrong])
        object.__setattr__(self, "has_default_adapter", vars(self)["adapter"] is None)
        problems = [*self._name_problems(), *self._setting_problems(), *self._adapter_problems()]
        if self.on_bad_row not in ON_BAD_ROW:
            problems.append(f"on_bad_row must be one of {listing(ON_BAD_ROW)}, found {self.on_bad_row!r}.")
        if self.train is None and self.eval is None:
            problems.append("it has neither train nor eval rows; give it at least one of the two.")
        unreadable = [*self._read("train"), *self._read("eval")]
        try:
            if too_many := self._number_of_labels_problem():
                raise ConfigError(too_many)  # as many names as it says could not be made
            self._recognise(None if unreadable else self.eval if self.train is None else self.train)
        except ConfigError as error:
            problems += error.problems
        else:
            problems += [] if unreadable else self._settle()
        problems += unreadable
        if problems:
            raise ConfigError([f"task {self.name!r}: {problem}" for problem in problems])
        self._log()

    def _recognise(self, rows: Dataset | IterableDataset | None) -> None:
        """Fill in what the task does not say of its rows."""
        found = settle(
            rows,
            kind=self.kind,
            columns=self.columns,
            template=self.template,
            labels=self.labels,
        )
        object.__setattr__(self, "kind", kind_of(found.kind))
        object.__setattr__(self, "columns", found.columns)
        object.__setattr__(self, "template", found.template)
        object.__setattr__(self, "labels", found.labels)
        object.__setattr__(self, "recognised", found.line)

    def _log(self) -> None:
        """Say what was recognised, once the task has its name."""
        if self.recognised is not None and self.name != UNNAMED:
            logger.info("%s: %s", self.name, self.recognised)

    def _read(self, split: str) -> list[str]:
        """Make a data set of the rows of a split; returns what is wrong with them."""
        given = vars(self)[split]
        if given is None or isinstance(given, RowTable):
            return []
        from datasets import IterableDataset

        from hf_mtl.data import as_rows

        try:
            rows = as_rows(given)
        except ConfigError as error:
            return [f"{split}: {problem}" for problem in error.problems]
        except DataError as error:
            return [f"{split}: {error}"]
        if split == "eval" and isinstance(rows, IterableDataset):
            few = "Dataset.from_list(list(stream.take(500)))"
            return [f"eval: rows to measure on are not streamed; take a number of them: {few}."]
        object.__setattr__(self, split, rows)
        return []

    def _settle(self) -> list[str]:
        """Fill in what follows from the kind and the rows; returns what is wrong."""
        kind = self.own_kind
        declared, problems = declare(
            kind,
            [rows for rows in (self.train, self.eval) if rows is not None],
            columns=self.columns,
            template=self.template,
            labels=self.labels,
            max_length=self.max_length,
        )
        # Of a kind whose labels come from a column, a wrong column would be reported a second time as missing labels.
        problems += [] if problems and kind.roles else kind.problems(declared)
        problems += kind.option_problems()
        object.__setattr__(self, "declared", declared)
        if self.metrics is not None:
            given = tuple(self.metrics)
        elif problems:
            given = kind.default_metrics
        else:
            given = kind.usual_metrics(declared, self.train if self.eval is None else self.eval)
        looked_at = any(isinstance(rows, RowTable) for rows in (self.train, self.eval))
        metrics, wrong = measures(kind, declared, given, quick=looked_at)
        object.__setattr__(self, "measures", metrics)
        object.__setattr__(self, "metrics", tuple(given))
        return [*problems, *wrong]

    @property
    def own_kind(self) -> Kind:
        """The kind, as an object."""
        assert isinstance(self.kind, Kind)
        return self.kind

    def _name_problems(self) -> list[str]:
        if not isinstance(self.name, str) or not is_name(self.name):
            return ["a task's name must be printable text that is not blank."]
        return []

    def _setting_problems(self) -> list[str]:
        for name in OF_TASK:  # JSON, in which a checkpoint keeps them, has no numbers of numpy
            object.__setattr__(self, name, plain(getattr(self, name)))
        problems = bound_problems(OF_TASK, vars(self))
        problems += [f"{name}: {problem}" for name, problem in name_problems(vars(self)).items()]
        return problems + [f"adapter.{problem}" for problem in adapter_problems(vars(self)["adapter"])]

    def _number_of_labels_problem(self) -> str | None:
        problem = LABELS.problem(self.labels) if isinstance(self.labels, Real) else None
        return None if problem is None else f"labels: {problem}"

    def _adapter_problems(self) -> list[str]:
        adapter: object = vars(self)["adapter"]
        fields = vars(adapter) if is_dataclass(adapter) else {}
        return [f"adapter: {name}: {problem}" for name, problem in pattern_problems(fields)]

    def named(self, name: str) -> Self:
        """The same task under another name.

        Raises:
            ConfigError: If that is no name.
        """
        task = self._changed(name=name)
        if self.name == UNNAMED:
            task._log()
        return task

    def with_defaults(self, *, adapter: PeftConfig | None = None, max_length: int | None = None) -> Self:
        """The same task with what it leaves open filled in; what it says itself stays.

        Raises:
            ConfigError: If its kind cannot work with that `max_length`.
        """
        changes: dict[str, Any] = {}  # Any: values of fields
        if adapter is not None and self.has_default_adapter:
            changes |= {"adapter": adapter, "has_default_adapter": False}
        if max_length is not None and self.max_length is None:
            changes |= {"max_length": max_length, "declared": replace(self.declared, max_length=max_length)}
        return self._changed(**changes) if changes else self

    def _changed(self, **changes: Any) -> Self:  # Any: values of fields
        """A copy that keeps what was settled; the rows are not read anew."""
        task = copy.copy(self)
        vars(task).update(changes)
        problems = [*task._name_problems(), *task._setting_problems(), *task._adapter_problems()]
        if task.declared is not self.declared:
            problems += task.own_kind.problems(task.declared)
        if problems:
            raise ConfigError([f"task {task.name!r}: {problem}" for problem in problems])
        return task

    @property
    def settings(self) -> Mapping[str, float | str]:
        """The optimizer's settings that the task makes itself, keyed by the training arguments' names."""
        return {name: getattr(self, name) for name in _SETTINGS if getattr(self, name) is not None}
