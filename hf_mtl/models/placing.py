"""Tasks on a base: their adapters and heads put in place, and what their kinds must know of the base."""

from __future__ import annotations

from peft import PeftConfig

from hf_mtl.errors import ConfigError
from hf_mtl.models.architectures import image_of, positions_of, token_types_of
from hf_mtl.models.layouts import vocabulary_of
from hf_mtl.models.media import medium_problems
from hf_mtl.models.routed_adapters import RoutedAdapters
from hf_mtl.models.routed_model import RoutedModel
from hf_mtl.models.writers import writing_problem
from hf_mtl.tasks import (
    Context,
    Declared,
    Kind,
    LanguageModelling,
    Processor,
    Sharing,
    Task,
    TaskSuite,
)

__all__ = ["base_problems", "check_route", "context_of", "context_on", "place_suite", "place_task"]


def place_suite(model: RoutedModel, suite: TaskSuite, sharing: Sharing, *, seed: int) -> None:
    """Give a suite's tasks their adapters, shared and private, and their heads.

    Args:
        model: The routed model. A task whose name is a route of it keeps that route.
        suite: The tasks.
        sharing: Which adapters they have in common.
        seed: The run's seed.

    Raises:
        ConfigError: As `place_task`, and if the structure does not fit the tasks.
    """
    plan = sharing.plan(suite)
    for name, config in plan.shared.items():
        if name not in model.adapter_names:
            model.add_adapter(name, config, seed=seed)
    for name, task in suite.items():
        there = name in model.routes
        _place(model, task, seed=seed, config=plan.private[name])
        if plan.stacks[name] and not there:
            own = [name] if model.has(name) else []
            learned = plan.stacks[name] if sharing.learned_scales and name in model.adapter_names else ()
            model.add_route(name, dict.fromkeys([*plan.stacks[name], *own], 1.0), learned=learned)


def place_task(model: RoutedModel, task: Task, *, seed: int) -> None:
    """Give a task its own adapter and its head, unless the model has a route of its name.

    Args:
        model: The routed model.
        task: The task.
        seed: The run's seed.

    Raises:
        ConfigError: If the base is not one for this kind, or the adapter or the head that is there has another form.
    """
    _place(model, task, seed=seed, config=task.adapter)


def _place(model: RoutedModel, task: Task, *, seed: int, config: PeftConfig | None) -> None:
    """A task's adapter and head; without a config its head alone, if it has one."""
    kind = task.own_kind
    problems = base_problems(model, kind)
    if problems:
        raise ConfigError([f"task {task.name!r}: {problem}" for problem in problems])
    head = kind.head(task.declared)
    if task.name in model.routes:
        check_route(model, task.name, kind, task.declared)
        return
    if config is not None:
        model.add_adapter(task.name, config, seed=seed, head=head)
    elif head is not None:
        model.add_head(task.name, head, seed=seed)
    if head is not None and task.declared.labels is not None:
        model.labels[task.name] = task.declared.labels


def check_route(model: RoutedAdapters, name: str, kind: Kind, declared: Declared) -> None:
    """Check that a task can go on with the route of its name that the model has.

    Args:
        model: The model.
        name: The task's name.
        kind: Its kind.
        declared: What it declares.

    Raises:
        ConfigError: If the route's head is another, or was trained with other labels.
    """
    head, found = kind.head(declared), model.route_head(name)
    if found != head:
        wanted, there = ("the vocabulary head" if spec is None else str(spec) for spec in (head, found))
        raise ConfigError(
            f"task {name!r}: the model has a route of this name with {there}, and the task's kind "
            f"{kind.name!r} needs {wanted}. Rename the task, or declare it as it was when the adapter was "
            f"trained."
        )
    _check_labels(model, name, kind, declared)


def base_problems(model: RoutedModel, kind: Kind) -> list[str]:
    """What is wrong with a model's base for a kind."""
    images = model.base.main_input_name == "pixel_values"
    if problems := medium_problems(kind, images=images, base=type(model.base).__name__):
        return problems
    # Whether the base is causal is found out by running it, which only kinds that need it are worth.
    decodes = kind.shape is None and model.writes
    if isinstance(kind, LanguageModelling) and model.has_vocabulary_head and not decodes:
        return [f"{kind.name} needs a base that writes text from left to right. {writing_problem(model)}"]
    return kind.base_problems(encoder_decoder=bool(model.config.is_encoder_decoder), decodes=decodes)


def _check_labels(model: RoutedAdapters, name: str, kind: Kind, declared: Declared) -> None:
    """A head that was trained with other labels, or the same in another order, would answer wrongly."""
    trained = model.labels.get(name)
    if (
        kind.shape is not None
        and trained is not None
        and declared.labels is not None
        and trained != declared.labels
    ):
        raise ConfigError(
            f"task {name!r}: its head was trained with the labels {list(trained)!r}, and the task declares "
            f"{list(declared.labels)!r}. Declare the same labels in the same order, or rename the task to start a new "
            f"head."
        )


def context_of(model: RoutedModel, task: Task, processor: Processor) -> Context:
    """What a task's kind must know of the base.

    Args:
        model: The routed model, with the task's adapter.
        task: The task.
        processor: The base's tokenizer or image processor.
    """
    return context_on(model, task.name, task.declared, processor)


def context_on(model: RoutedModel, route: str, declared: Declared, processor: Processor) -> Context:
    """What a kind must know of the base to answer through a route.

    Args:
        model: The routed model.
        route: The route.
        declared: What its task declares.
        processor: The base's tokenizer or image processor.
    """
    longest = positions_of(model.base.config.to_dict(), model.architecture)
    virtual = model.virtual_tokens(route)
    return Context(
        declared,
        processor,
        model.pool,
        None if longest is None else longest - virtual,
        encoder_decoder=bool(model.config.is_encoder_decoder),
        vocabulary=vocabulary_of(model.base),
        image=image_of(model.config.to_dict(), model.architecture),
        token_types=token_types_of(model.config.to_dict()),
    )
