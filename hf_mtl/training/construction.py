"""What the trainer's constructor is given: tasks, or what the stock Trainer takes, and never both.

The third argument is `tasks` here and `data_collator` in `Trainer`. A script that was written for `Trainer` passes a
function there, tasks are a collection: so what it is tells what is meant. An object that can be called is a collator,
also where it can be iterated over.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from torch import nn
from transformers import PreTrainedModel, TrainingArguments
from transformers.trainer_utils import IntervalStrategy

from hf_mtl.errors import ConfigError, listing
from hf_mtl.files import folder_problem, make_folder
from hf_mtl.models import RoutedModel
from hf_mtl.tasks import Task, TaskSuite
from hf_mtl.tasks.best_figure import Evaluations, best_problems, figure_problem
from hf_mtl.training.argument_checks import eval_problems, refused_arguments
from hf_mtl.training.argument_table import PARAMETERS
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.declared_tasks import Adapters, Tasks, tasks_of, tasks_of_rows, with_adapters
from hf_mtl.training.mixtures import mixture_problems
from hf_mtl.training.treatments import Refused

__all__ = [
    "Collator",
    "arguments_elsewhere",
    "given_problems",
    "refuse_stock",
    "run_arguments",
    "split_third",
    "stock_model",
    "suite_of",
    "task_arguments",
    "task_model",
    "with_lengths",
    "without_defaults",
]

Given = TypeVar("Given")
Collator: TypeAlias = Callable[[list[Any]], dict[str, Any]]  # Any: as in transformers


def split_third(
    third: Tasks | Collator | None, data_collator: Collator | None
) -> tuple[Tasks | None, Collator | None]:
    """Tell tasks from a data collator in the place that both may stand in.

    Raises:
        ConfigError: If it is a single task, or a second data collator.
    """
    if isinstance(third, Task):
        raise ConfigError(f"tasks is one task, {third.name!r}; pass a list: tasks=[task].")
    if third is None or (isinstance(third, Iterable) and not callable(third)):
        return third, data_collator
    if data_collator is not None:
        raise ConfigError(
            f"There are two data collators: the third argument, {third!r}, and "
            f"data_collator={data_collator!r}. Pass one."
        )
    return None, third


def suite_of(
    tasks: Tasks | None, stock: dict[str, Any], adapters: Adapters | None
) -> tuple[TaskSuite | None, list[str]]:
    """The suite that is meant, None for a stock Trainer, and what is wrong.

    Args:
        tasks: The tasks, if they are given as such.
        stock: What the stock Trainer takes, by its parameters' names. A dict as `train_dataset` is tasks, and is taken
            out together with its `eval_dataset`.
        adapters: The trainer's `peft_config`.
    """
    rows = stock["train_dataset"]
    if tasks is not None:
        found, problems = tasks_of(tasks)
    elif isinstance(rows, Mapping):
        found, problems = tasks_of_rows(rows, stock["eval_dataset"])
        stock |= {"train_dataset": None, "eval_dataset": None}
    elif adapters is None:
        return None, []
    else:
        return None, [
            "peft_config is for tasks, each of which gets an adapter of its own: pass tasks=[Task(...), ...] or "
            "train_dataset={'name': rows}. Without tasks, model=peft.get_peft_model(model, peft_config)."
        ]
    if not problems:
        found, problems = with_adapters(found, adapters)
    if not problems:
        try:
            return TaskSuite(found), []
        except ConfigError as error:
            problems += error.problems
    return {}, problems  # type: ignore[return-value]  # as false as a suite can be


def with_lengths(suite: TaskSuite, args: MultiTaskTrainingArguments) -> TaskSuite:
    """The tasks, with the arguments' `max_length` where they have none."""
    if args.max_length is None:
        return suite
    return TaskSuite(task.with_defaults(max_length=args.max_length) for task in suite.values())


def given_problems(
    suite: TaskSuite | None,
    model: str | Path | nn.Module | None,
    args: TrainingArguments | None,
    stock: Mapping[str, object],
    *,
    more: bool = False,
) -> list[str]:
    """What is wrong with a model, arguments, and what the stock Trainer takes, for the tasks of a suite or for none.

    Args:
        suite: The tasks.
        model: The model.
        args: The training arguments.
        stock: What the stock Trainer takes.
        more: Whether a user's code adds figures to those of the tasks, or may ask for evaluations.
    """
    if suite is None:
        return _raised(stock_model, model)
    return [
        *refuse_stock(stock),
        *_raised(task_model, model),
        *([] if args is None else _raised(task_arguments, args)),
        *refused_arguments(args, suite.values()),
        *_unfit_arguments(args, suite),
        *_best_problems(args, suite, more=more),
        *_place_problems(args),
    ]


def _unfit_arguments(args: TrainingArguments | None, suite: TaskSuite) -> list[str]:
    """What is wrong with arguments for these very tasks."""
    if not isinstance(args, TrainingArguments):
        return []
    evaluated = [name for name, task in suite.items() if task.eval is not None]
    problems = eval_problems(_strategy(args), evaluated)
    if not isinstance(args, MultiTaskTrainingArguments):
        return problems
    trained = [name for name, task in suite.items() if task.train is not None]
    return problems + (mixture_problems(args.mixture, trained) if trained else [])


def _best_problems(args: TrainingArguments | None, suite: TaskSuite, *, more: bool) -> list[str]:
    """Figures that there will not be and evaluations that are waited for in vain, of the tasks and of the run."""
    own = args if isinstance(args, TrainingArguments) else None
    problems: list[str] = []
    lacking: dict[str, str | None] = {}
    for name, task in suite.items():
        during = Evaluations(_strategy(own), task.train is not None and task.eval is not None, more)
        wrong = best_problems(task, task.measures, during)
        problems += [f"task {name!r}: {setting}: {problem}" for setting, problem in wrong.items()]
        if during.rows and own is not None and own.metric_for_best_model:
            lacking[name] = figure_problem(own.metric_for_best_model, task.measures, more=more)
    if own is None or (_strategy(own) == "no" and not own.eval_on_start):
        return problems
    # A task that names none goes by the run's; and the run itself by the mean over the tasks that have the figure.
    without = [name for name, problem in lacking.items() if problem]
    named = [name for name in without if suite[name].metric_for_best_model is None]
    if not named and len(without) == len(lacking) and "/" not in str(own.metric_for_best_model):
        named = without
    if named:
        what = f"metric_for_best_model={own.metric_for_best_model!r} of the training arguments"
        problems.append(f"{what}, task {listing(named)}: {lacking[named[0]]}")
    return problems


def _strategy(args: TrainingArguments | None) -> str:
    """When tasks are measured; an unknown strategy is reported elsewhere."""
    if args is None or args.eval_strategy not in tuple(IntervalStrategy):
        return "no"
    return IntervalStrategy(args.eval_strategy).value


def _place_problems(args: TrainingArguments | None) -> list[str]:
    """Why a run's files could not be written, found before rows are read and models are built."""
    if not isinstance(args, TrainingArguments) or not args.should_save:
        return []
    folder = args.output_dir or "."
    problem = folder_problem(folder)
    return [] if problem is None else [f"output_dir={folder!r}: {problem}, or give another output_dir."]


def _raised(check: Callable[[Given], object], given: Given) -> list[str]:
    try:
        check(given)
    except ConfigError as error:
        return list(error.problems)
    return []


def arguments_elsewhere() -> dict[str, str]:
    """Where keywords belong that are no parameters of the trainer, but settings of its arguments or of a task."""
    of_arguments = {own.name for own in fields(MultiTaskTrainingArguments)}
    of_tasks = {own.name for own in fields(Task) if own.init} - of_arguments
    return {
        name: f"it is a setting of the run; pass args=MultiTaskTrainingArguments('runs/mine', {name}=...)"
        for name in of_arguments
    } | {name: f"it is a setting of a task; write it in Task(..., {name}=...)" for name in of_tasks}


def stock_model(model: str | Path | nn.Module | None) -> Any:  # Any: whatever the stock Trainer takes
    """A model for the stock Trainer.

    Raises:
        ConfigError: If only tasks can be trained on it: a name, a folder, a `RoutedModel`.
    """
    if isinstance(model, str | Path | RoutedModel):
        found = "a RoutedModel" if isinstance(model, RoutedModel) else repr(str(model))
        raise ConfigError(
            f"model is {found}, which needs tasks=[Task(...), ...] or train_dataset={{'name': rows}}. Without "
            f"tasks this is the stock Trainer, which takes a model object: AutoModelForCausalLM.from_pretrained(...)."
        )
    return model


def task_model(model: str | Path | nn.Module | None) -> str | Path | PreTrainedModel | RoutedModel:
    """A model for tasks.

    Raises:
        ConfigError: If it is something else.
    """
    if isinstance(model, str | Path | PreTrainedModel | RoutedModel):
        return model
    raise ConfigError(
        f"model is of type {type(model).__name__}; with tasks pass a Hub id, a folder, a model of transformers "
        f"without adapters, or a RoutedModel. Each task declares its own: Task(adapter=LoraConfig(...))."
    )


def without_defaults(given: Mapping[str, Any]) -> dict[str, Any]:  # Any: as in transformers
    """Of the stock Trainer's optional arguments those that are not its defaults."""
    return {
        name: value
        for name, value in given.items()
        if not (value is None or (isinstance(value, tuple) and value == (None, None)))
    }


def refuse_stock(given: Mapping[str, object]) -> list[str]:
    """Problems of arguments of the stock Trainer that are given beside tasks; its defaults are none.

    Args:
        given: By the parameters' names.
    """
    chosen = without_defaults(given)
    return [
        f"{name} cannot be given together with tasks: {treatment.text}. Without tasks it works as in Trainer."
        for name, treatment in PARAMETERS.items()
        if isinstance(treatment, Refused) and name in chosen
    ]


def run_arguments(args: TrainingArguments | None) -> MultiTaskTrainingArguments:
    """The arguments of a run that begins: a copy, for a run may change its own. The run's folder is made.

    Raises:
        ConfigError: If it is something else.
        WriteError: If the folder cannot be made.
    """
    own = copy.copy(task_arguments(args))
    if own.should_save:
        make_folder(own.output_dir or ".")
    return own


def task_arguments(args: TrainingArguments | None) -> MultiTaskTrainingArguments:
    """The arguments of a run with tasks; `TrainingArguments` of other classes get the defaults of what they lack.

    Raises:
        ConfigError: If it is something else.
    """
    if args is None:
        return MultiTaskTrainingArguments("tmp_trainer")
    if isinstance(args, MultiTaskTrainingArguments):
        return args
    if not isinstance(args, TrainingArguments):
        raise ConfigError(
            f"args is of type {type(args).__name__}; pass MultiTaskTrainingArguments('runs/mine', ...), or plain "
            f"TrainingArguments."
        )
    own = MultiTaskTrainingArguments.__new__(MultiTaskTrainingArguments)
    lacking = {field.name: field.default for field in fields(own) if field.name not in vars(args)}
    vars(own).update(vars(args) | lacking)  # and not by the constructor: what that derived is derived once
    return own
