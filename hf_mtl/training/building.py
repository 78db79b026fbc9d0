"""What the trainer is given, made into what it works with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from datasets import Dataset, IterableDataset
from transformers import PreTrainedModel

from hf_mtl.data import EndFinder, EndToken
from hf_mtl.errors import ConfigError, listing
from hf_mtl.models import RoutedModel, context_of, load_base, load_processor, refuse_auxiliary_loss
from hf_mtl.notices import logger_of
from hf_mtl.tasks import Processor, RowEncoder, TaskSuite, encode_split, sharing_of
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.optimization import schedule_problem
from hf_mtl.training.settings import TaskSettings, defaults_of_shared
from hf_mtl.training.sources import RowSource, StoredRows, StreamedRows

__all__ = ["processor_of", "routed_model", "row_source", "row_sources"]

logger = logger_of(__name__)


def row_sources(
    suite: TaskSuite, model: RoutedModel, processor: Processor, args: MultiTaskTrainingArguments
) -> tuple[dict[str, RowSource], dict[str, TaskSettings]]:
    """Each task's training rows, all of them checked, and its settings.

    Raises:
        ConfigError: If a task's settings cannot work, or its completions end with nothing that stops generation.
        DataError: If a row cannot be used.
    """
    sources: dict[str, RowSource] = {}
    settings: dict[str, TaskSettings] = {}
    problems: list[str] = []
    for name, task in suite.items():
        if task.train is None:
            continue
        encoder = RowEncoder(task, context_of(model, task, processor), model.virtual_tokens(name))
        sources[name], settings[name], own = row_source(encoder, args, model.ends)
        problems += own
    if settings and sharing_of(args.sharing).shared_by(suite.names):
        rounds = max(own.steps for own in settings.values())
        problem = schedule_problem(defaults_of_shared(args, rounds=max(1, rounds)))
        problems += [] if problem is None else [f"the shared parameters: {problem}"]
    if problems:
        raise ConfigError(problems)
    _warn_of_no_effect(suite, settings, args)
    return sources, settings


def row_source(
    encoder: RowEncoder, args: MultiTaskTrainingArguments, ends: dict[str, tuple[EndToken, ...]]
) -> tuple[RowSource, TaskSettings, list[str]]:
    """The training rows of one task, all of them checked, its settings, and what is wrong with these.

    Args:
        encoder: Of a task with rows to learn from.
        args: The training arguments.
        ends: Where the ends of the task's completions go.

    Raises:
        ConfigError: As `row_sources`.
        DataError: As `row_sources`.
    """
    task, context = encoder.task, encoder.context
    name, train = task.name, task.train
    seed = args.seed if args.data_seed is None else args.data_seed
    finder = None if task.own_kind.shape is not None else EndFinder(name, context.tokenizer, ends)
    source: RowSource
    if isinstance(train, IterableDataset):
        settings = TaskSettings.resolve(task, args, rows=None)
        try:
            source = StreamedRows(encoder, settings.batch_size, seed, ends=finder)
        except ConfigError as error:
            raise ConfigError([f"task {name!r}: {problem}" for problem in error.problems]) from error
    else:
        assert isinstance(train, Dataset)
        split = encode_split(task, train, context, split="train", virtual=encoder.virtual)
        settings = TaskSettings.resolve(task, args, rows=len(split))
        source = StoredRows(split, settings.batch_size, seed)
        if finder is not None:
            finder.add_rows(split.labelled())
    problems = _problems(name, settings)
    if finder is not None and task.own_kind.writes:
        finder.warn()
        problem = finder.problem()
        problems += [] if problem is None else [f"task {name!r}: {problem}"]
    return source, settings, problems


def _warn_of_no_effect(
    suite: TaskSuite, settings: Mapping[str, TaskSettings], args: MultiTaskTrainingArguments
) -> None:
    """Say which settings change nothing in this run; each may be right for other tasks, or in another run."""
    idle = [
        name
        for name, task in suite.items()
        if task.metric_for_best_model is not None and task.early_stopping_patience is None
    ]
    if idle and not args.load_best_model_at_end:
        logger.warning(
            "metric_for_best_model of task %s decides nothing: set load_best_model_at_end=True in the training "
            "arguments, or early_stopping_patience.",
            listing(idle),
        )
    cold = [
        name for name, own in settings.items() if own.lr_scheduler_type == "constant" and own.warmup_steps
    ]
    if cold:
        logger.warning(
            "warmup_steps of task %s has no effect: the schedule 'constant' has no warm-up; take "
            "'constant_with_warmup', or set warmup_steps to 0.",
            listing(cold),
        )


def _problems(name: str, settings: TaskSettings) -> list[str]:
    problems = []
    if settings.steps <= 0:
        problems.append(
            f"task {name!r}: its rows are a stream, whose length is not known; set its max_steps, or that of the "
            f"training arguments."
        )
    elif (problem := schedule_problem(settings)) is not None:
        problems.append(f"task {name!r}: {problem}")
    return problems


def processor_of(model: str | Path | PreTrainedModel | RoutedModel) -> Processor:
    """The tokenizer or the image processor that belongs to a model."""
    if isinstance(model, str | Path):
        return load_processor(model)
    base = model.base if isinstance(model, RoutedModel) else model
    if not base.name_or_path:
        raise ConfigError(
            "A model object without a name brings no tokenizer; pass processing_class=... (a tokenizer, or an image "
            "processor)."
        )
    return load_processor(base.name_or_path)


def routed_model(model: str | Path | PreTrainedModel | RoutedModel) -> RoutedModel:
    """The model as one that adapters are routed through.

    Raises:
        ConfigError: If the base cannot be loaded or routed, or adds a loss of its own.
    """
    if isinstance(model, str | Path):
        base, identity = load_base(model)
        routed = RoutedModel(base, identity=identity)
    else:
        routed = model if isinstance(model, RoutedModel) else RoutedModel(model)
    refuse_auxiliary_loss(routed.config)
    return routed
