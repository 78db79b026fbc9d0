"""Every number in Python and on the command line is checked where it enters; a new one is found by itself."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from numbers_walk import WRONG, numbers_of, takes_number
from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig
from typer.models import ArgumentInfo
from typer.testing import CliRunner

from hf_mtl import MultiTaskTrainingArguments, Task
from hf_mtl.adapter_limits import MAX_RANK
from hf_mtl.bounds import ANY_NUMBER, COUNT, FRACTION, SEED, Bounds
from hf_mtl.cli import app
from hf_mtl.errors import ConfigError
from hf_mtl.metrics import METRICS
from hf_mtl.models.decoding import GenerationSettings
from hf_mtl.objectives import OBJECTIVES
from hf_mtl.relations import LearnedRelations
from hf_mtl.setting_bounds import ADAPTERS, ARGUMENTS, adapter_problems
from hf_mtl.tasks import KINDS, Sharing, sharing_of
from hf_mtl.training.argument_checks import refused_arguments
from hf_mtl.training.mixtures import MIXTURES, mixture_from

ROWS = {"text": ["good", "bad"], "label": ["yes", "no"]}
VALUES = (*dict.fromkeys(WRONG.values()),)  # NaN is one object

RIGHT = {
    ("max_steps", -1): "the run's length is counted in epochs",
    ("local_rank", -1): "a process by itself",
    ("null_threshold", -1): "answers less likely than 'no answer' are given where it is negative",
}
"""Of the wrong values those that are rightly taken, and why."""


def task(**options: Any) -> object:  # Any: the values that are tried
    return Task("words", train=ROWS, **options)


def kind(name: str) -> Callable[..., object]:
    return lambda **options: task(kind={"name": name, **options}, labels=2)


def mixture(name: str) -> Callable[..., object]:
    return lambda **options: mixture_from({"kind": name, **options}, ["a"])


def structure(name: str) -> Callable[..., object]:
    return lambda **options: sharing_of({"name": name, **options})


def builders() -> Iterator[tuple[str, Callable[..., object], str]]:
    """What takes numbers: a title, what makes it, and the name of one of its parameters."""
    for name in numbers_of(Task):
        yield "Task", task, name
    for name in numbers_of(MultiTaskTrainingArguments):
        yield "MultiTaskTrainingArguments", lambda **own: MultiTaskTrainingArguments("out", **own), name
    taken: dict[str, Mapping[str, Callable[..., object]]] = {"kind": KINDS, "mixture": MIXTURES}
    for known, classes in taken.items():
        make: Callable[[str], Callable[..., object]] = {"kind": kind, "mixture": mixture}[known]
        for own, cls in classes.items():
            for name in numbers_of(cls):
                yield f"{known} {own}", make(own), name
    for objective in OBJECTIVES.values():
        for name in numbers_of(objective):
            yield objective.__name__, objective, name
    for name in numbers_of(Sharing):
        yield "Sharing", Sharing, name
    yield "soft", structure("soft"), "strength"
    yield "soft", structure("soft"), "tau"
    yield "groups", structure("groups"), "count"
    yield "LearnedRelations", LearnedRelations, "tau"
    for name in numbers_of(GenerationSettings):
        yield "GenerationSettings", GenerationSettings, name


BUILDERS = list(builders())


def test_the_walk_finds_them() -> None:
    names = {(title, name) for title, _, name in BUILDERS}
    assert {
        ("Task", "batch_size"), ("Task", "labels"), ("MultiTaskTrainingArguments", "seed"),
        ("kind question-answering", "doc_stride"), ("mixture annealed", "start"), ("DynamicWeightAverage", "window"),
        ("Sharing", "tau"), ("GenerationSettings", "top_p"),
    } <= names  # fmt: skip
    assert len(names) > 80


@pytest.mark.parametrize(("title", "build", "name"), BUILDERS, ids=[f"{t} {n}" for t, _, n in BUILDERS])
def test_a_parameter_takes_none_of_them(title: str, build: Callable[..., object], name: str) -> None:
    for value in VALUES:
        if type(value) is int and (name, value) in RIGHT:
            continue
        if name == "labels" and isinstance(value, str):
            continue  # names of labels, of which each character is taken for one
        with pytest.raises(ConfigError, match=f"{name}.*expected .*found|{name}=.*expected"):
            build(**{name: value})


def test_every_number_of_the_arguments_has_bounds() -> None:
    assert set(numbers_of(MultiTaskTrainingArguments)) <= set(ARGUMENTS)
    stock = typing.get_type_hints(PrefixTuningConfig) | typing.get_type_hints(PromptTuningConfig)
    for cls in (LoraConfig, IA3Config, PrefixTuningConfig, PromptTuningConfig):
        stock |= typing.get_type_hints(cls)
        numbers = {own.name for own in dataclasses.fields(cls) if takes_number(stock[own.name])}
        assert numbers <= {*ADAPTERS, "layers_to_transform"}, cls  # its numbers are looked up in the base
    assert ADAPTERS["r"].most == MAX_RANK  # wider ones could be trained, and not loaded


@pytest.mark.parametrize("name", ["r", "lora_alpha", "lora_dropout"])
def test_an_adapter_takes_none_of_them(name: str) -> None:
    for value in VALUES:
        config = LoraConfig()
        vars(config)[name] = value  # peft itself refuses some
        with pytest.raises(ConfigError, match=rf"task 'words': adapter\.{name}: expected .* found"):
            Task("words", train=ROWS, adapter=config)
        with pytest.raises(ConfigError, match=rf"sharing: adapter\.{name}: expected .* found"):
            sharing_of({"name": "shared", "adapter": config})
    assert adapter_problems(LoraConfig(rank_pattern={"q_proj": 0}, alpha_pattern={"k_proj": 8})) == [
        "rank_pattern['q_proj']: expected a whole number from 1 to 4096, found 0."
    ]


@pytest.mark.parametrize("config", [PrefixTuningConfig, PromptTuningConfig])
def test_virtual_tokens(config: type[PeftConfig]) -> None:
    wrong = config(num_virtual_tokens=10**9)  # type: ignore[call-arg]  # both have it
    with pytest.raises(ConfigError, match="num_virtual_tokens: expected a whole number from 1 to 65536"):
        Task("words", train=ROWS, adapter=wrong)


@pytest.mark.parametrize("name", METRICS)
def test_options_of_metrics(name: str) -> None:
    for option, own in METRICS[name].valid_options.items():
        if own.expects.startswith(("a number", "a whole number")):
            for value in VALUES:
                with pytest.raises(ConfigError, match=f"{option} must be .*, found"):
                    METRICS[name].with_options(**{option: value})


def test_arguments_that_were_changed_or_are_of_another_class() -> None:
    args = MultiTaskTrainingArguments("out", use_cpu=True)
    args.learning_rate, args.seed = float("nan"), True
    assert refused_arguments(args, []) == [
        "learning_rate: expected a number of at least 0, found nan.",
        "seed: expected a whole number from 0 to 4294967295, found True.",
    ]


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        MultiTaskTrainingArguments("out", seed=10**20, warmup_steps=-1, isolation="no", sharing="sharde")
    assert [text.partition(" ")[0] for text in caught.value.problems] == [
        "warmup_steps:", "seed:", "isolation", "sharing:",
    ]  # fmt: skip


def test_numbers_of_numpy_are_numbers_of_python_afterwards() -> None:
    sizes: dict[str, Any] = {
        "batch_size": np.int64(4),
        "learning_rate": np.float32(0.5),
    }  # Any: not of these types
    made = Task("words", train=ROWS, **sizes)
    assert type(made.batch_size) is int and type(made.learning_rate) is float
    seeds: dict[str, Any] = {"seed": np.int64(3), "weight_decay": np.float64(0.1)}  # Any: as above
    args = MultiTaskTrainingArguments("out", use_cpu=True, **seeds)
    assert type(args.seed) is int and type(args.weight_decay) is float
    for wrong in (np.float32("nan"), np.float64("inf"), np.bool_(True)):
        assert COUNT.problem(wrong) and FRACTION.problem(wrong)


@pytest.mark.parametrize(
    ("bounds", "right", "wrong"),
    [
        (COUNT, [1, 2**63 - 1], [0, 2**63, 1.0, True]),
        (SEED, [0, 2**32 - 1], [-1, 2**32, 1.5]),
        (FRACTION, [0, 0.5], [1, 1.0, -0.0001]),
        (ANY_NUMBER, [-1e300, 0], ["0", None, 10**400]),
        (Bounds(0, 1, above=True).or_none(), [None, 1], [0, 1.1]),
        (COUNT.or_also(-1), [-1, 1], [0, -2]),
    ],
)
def test_bounds(bounds: Bounds, right: list[object], wrong: list[object]) -> None:
    assert [value for value in right if bounds.problem(value)] == []
    assert [value for value in wrong if not bounds.problem(value)] == []


def options() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """The numbers of the command line: the verb with its arguments, the option, and the type."""
    for command in app.registered_commands:
        assert command.callback is not None and command.name is not None
        hints = [
            (name, *typing.get_args(hint)[:2])
            for name, hint in typing.get_type_hints(command.callback, include_extras=True).items()
            if typing.get_origin(hint) is typing.Annotated
        ]
        arguments = ["here" for _, _, info in hints if isinstance(info, ArgumentInfo)]
        for name, hint, _ in hints:
            if (number := re.search(r"\b(int|float)\b", str(hint))) is not None:
                yield (command.name, *arguments), f"--{name.replace('_', '-')}", number.group()


OPTIONS = list(options())


@pytest.mark.parametrize(("words", "option", "type_"), OPTIONS, ids=[f"{w[0]} {o}" for w, o, _ in OPTIONS])
def test_a_command_takes_none_of_them(words: tuple[str, ...], option: str, type_: str) -> None:
    for text in (
        "nan",
        "inf",
        "-inf",
        "-1",
        "true",
        "1:30",
        "1e400",
        *(["1" * 30] if type_ == "int" else []),
    ):
        done = CliRunner().invoke(app, [*words, f"{option}={text}"])
        assert done.exit_code == 2 and f"Invalid value for '{option}'" in done.output, (text, done.output)
        if type_ == "float" and text != "true" and ":" not in text:
            assert "expected a number above 0" in done.output.replace("\n", " ")


def test_the_walk_finds_the_options() -> None:
    assert {option for _, option, _ in OPTIONS} >= {
        "--max-new-tokens",
        "--rows",
        "--rounds",
        "--seed",
        "--tau",
    }
