"""From the `training` section of a recipe to training arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hf_mtl.errors import ConfigError
from hf_mtl.recipe.settings import field_problems
from hf_mtl.setting_bounds import ARGUMENTS
from hf_mtl.training import MultiTaskTrainingArguments
from hf_mtl.training.argument_checks import argument_problems as refused_with_tasks
from hf_mtl.training.argument_checks import value_problems
from hf_mtl.training.argument_table import FIELDS
from hf_mtl.training.arguments import MixtureChoice
from hf_mtl.training.mixtures import MixtureFacts, TaskFacts, mixture_from
from hf_mtl.training.trackers import tracker_problems
from hf_mtl.training.treatments import Honoured

__all__ = ["argument_problems", "training_arguments"]

_TOP_LEVEL = ("output_dir", "sharing", "objective")
_OF_TASKS = ("max_length",)

_SCRIPTS = {
    "resume_from_checkpoint": "run `hf-mtl train RECIPE --resume last`",
    "do_eval": "set eval_strategy",
    "do_predict": "give the tasks `test` rows",
}

Report = Callable[[tuple[str, ...], str], None]
"""Takes the path of a field and what is wrong with it."""


def training_arguments(
    values: Mapping[str, object], **top_level: str | Mapping[str, object]
) -> MultiTaskTrainingArguments:
    """Return the arguments.

    Args:
        values: The section `training`.
        **top_level: The arguments that stand at a recipe's top level.

    Raises:
        ConfigError: The values do not go together, or not with this machine.
    """
    fields: dict[str, Any] = copy.deepcopy({**values, **top_level})  # Any: checked by `field_problems`
    return MultiTaskTrainingArguments(**fields)


def argument_problems(
    values: Mapping[str, object],
    report: Report,
    optimizers: Iterable[str | None] = (),
    schedules: Iterable[str | None] = (),
    streams: Mapping[str, bool] = MappingProxyType({}),
) -> None:
    """Report what keeps `values` from being training arguments of a run with tasks.

    Args:
        values: By the names of fields.
        report: Takes the path of a field (empty for all of them) and what is wrong.
        optimizers: What each task asks for as its own `optim`.
        schedules: What each task asks for as its own `lr_scheduler_type`; unknown ones are left out.
        streams: By the tasks that train, whether their rows are streamed.
    """
    right = dict(values)

    def note(name: str, text: str) -> None:
        del right[name]
        report((name,), text)

    for name, text in _not_here(values):
        note(name, text)
    field_problems(MultiTaskTrainingArguments, dict(right), (*_TOP_LEVEL, *_OF_TASKS), note, ARGUMENTS)
    for problem in value_problems(right, MultiTaskTrainingArguments):
        right.pop(problem.path[0], None)
        report(problem.path, problem.text)
    try:
        # The classes themselves know which of their fields do not go together.
        args = training_arguments(right, output_dir=".")
    except ConfigError as error:
        for text in error.problems:
            report((), text)
    else:
        for problem in refused_with_tasks(args, optimizers, schedules):
            written = problem.path[0] in values
            report(problem.path if written else (), problem.text if written else str(problem))
        for text in tracker_problems(args.report_to or ()):
            report(("report_to",) if "report_to" in values else (), text)
        if streams and "mixture" in values:
            _mixture_problems(args.mixture, streams, lambda text: report(("mixture",), text))


def _mixture_problems(
    mixture: MixtureChoice, streams: Mapping[str, bool], report: Callable[[str], None]
) -> None:
    """Report what does not fit these tasks: names, options, or rows of unknown number."""
    rows = {name: TaskFacts(None if streamed else 1, 1.0, 1, 1) for name, streamed in streams.items()}
    try:
        mixture_from(mixture, list(streams)).rates(MixtureFacts(0, 0, rows))
    except ConfigError as error:
        for text in error.problems:
            report(text.removeprefix("mixture: "))


def _not_here(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Fields that have no place in the section `training`, whatever their value."""
    for name in values:
        if name in _TOP_LEVEL:
            yield name, f"write {name} at the recipe's top level."
        elif name in _OF_TASKS:
            yield name, f"write {name} under `defaults`, or under a task's name."
        elif name.endswith("_token"):
            yield (
                name,
                "a recipe is kept beside its results and shared; log in with `hf auth login`, or set HF_TOKEN.",
            )
        elif FIELDS.get(name) is Honoured.SCRIPT:
            yield name, f"no Trainer reads it, only scripts do; {_SCRIPTS.get(name, 'leave it out')}."
