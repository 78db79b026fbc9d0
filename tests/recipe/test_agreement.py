"""What building a trainer refuses, `hf-mtl validate` says before anything is loaded; `train` says the rest at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from hf_mtl import MultiTaskTrainer
from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.recipe import load_recipe, run_recipe
from hf_mtl.recipe.factory import build

TEMPLATE = {"prompt": "{text} is", "completion": " {label}"}
LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}

MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "the mixture's name": (
        {"training.mixture": "sequental"},
        "training.mixture: there is no kind 'sequental'",
    ),
    "a mixture's option": (
        {"training.mixture": {"kind": "temperature", "temperature": 0}},
        "training.mixture: temperature: expected a number above 0, found 0",
    ),
    "a mixture's task": (
        {"training.mixture": {"kind": "rates", "rates": {"words": 1.0, "word": 0.5}}},
        "training.mixture: rates name a task 'word'",
    ),
    "evaluation of nothing": (
        {"training.eval_strategy": "steps", "training.eval_steps": 1},
        "training.eval_strategy: 'steps' measures tasks while they train",
    ),
    "the tracker's name": (
        {"training.report_to": ["tensorbord"]},
        "training.report_to: report_to: unknown tracker 'tensorbord'",
    ),
    "seed": ({"training.seed": 10**20}, "training.seed: expected a "),
    "an objective's option": (
        {"sharing": "shared", "objective": {"name": "dwa", "window": 0}},
        "objective: the objective 'dwa': window: expected a whole number above 0, found 0",
    ),
    "a shared rank": (
        {
            "sharing": {"name": "shared+private", "match_parameters": True},
            "defaults.adapter": LORA | {"r": 1},
        },
        "match_parameters divides its rank 1 over 2 adapters",
    ),
    "adapters that differ": (
        {"sharing": "shared", "tasks.verbs.adapter": {"r": 2}},
        "sharing: the adapter 'shared' has no config of its own",
    ),
    "best weights between checkpoints": (
        {
            "training.load_best_model_at_end": True,
            "training.eval_strategy": "steps",
            "training.eval_steps": 1,
        },
        "training: transformers refuses these training arguments: --load_best_model_at_end requires",
    ),
}


@pytest.fixture
def write(tmp_path: Path, tiny_llama: Path) -> Callable[[dict[str, object]], Path]:
    """Writes a right recipe with some keys changed."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": t, "label": "yes"}) + "\n" for t in ("a", "b", "c", "d")))

    def written(changes: dict[str, object]) -> Path:
        task = {"train": "rows.jsonl", "template": TEMPLATE}
        data: dict[str, object] = {
            "model": {"source": str(tiny_llama), "id": "tests/tiny-llama"},
            "output_dir": str(tmp_path / "run"),
            "defaults": {"adapter": LORA},
            "tasks": {"words": dict(task), "verbs": dict(task)},
            "training": {"max_steps": 2, "use_cpu": True, "report_to": "none", "save_strategy": "no"},
        }
        for key, value in changes.items():
            *path, last = key.split(".")
            section = data
            for part in path:
                section = section[part]  # type: ignore[assignment]  # all of these are mappings
            section[last] = value
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        return file

    return written


@pytest.mark.parametrize("mistake", MISTAKES)
def test_validate_says_it(mistake: str, write: Callable[[dict[str, object]], Path]) -> None:
    changes, message = MISTAKES[mistake]
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(changes))
    assert any(message in problem for problem in caught.value.problems), caught.value.problems


def test_a_stream_says_how_long_it_is(write: Callable[[dict[str, object]], Path]) -> None:
    stream = {"source": "rows.jsonl", "streaming": True}
    with pytest.raises(ConfigError, match="tasks.words: its rows are a stream"):
        load_recipe(write({"tasks.words.train": stream, "training.max_steps": -1}))
    load_recipe(write({"tasks.words.train": stream}))
    with pytest.raises(ConfigError, match="training.mixture: .* stream rows of unknown number; set cap"):
        load_recipe(write({"tasks.words.train": stream, "training.mixture": "proportional"}))


def test_construction_says_it_too(
    write: Callable[[dict[str, object]], Path], tiny_llama: Path, tmp_path: Path
) -> None:
    run = build(load_recipe(write({})))
    run.args.mixture = "sequental"
    run.args.eval_strategy = "steps"
    with pytest.raises(ConfigError) as caught:
        MultiTaskTrainer(tiny_llama, run.args, run.suite)
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
        "eval_strategy='steps'",
        "mixture:",
    ]


@pytest.mark.parametrize("resume", ["last", "checkpoint-9", "."])
def test_a_missing_checkpoint_is_told_first(
    resume: str, write: Callable[[dict[str, object]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(write({}))

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("rows or weights were read")

    monkeypatch.setattr("hf_mtl.recipe.run.build", never)
    with pytest.raises(CheckpointError, match="checkpoint"):
        run_recipe(recipe, Console(quiet=True), resume=resume)


def test_a_foreign_checkpoint_is_told_before_the_first_measurement(
    write: Callable[[dict[str, object]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = {"training.save_strategy": "steps", "training.save_steps": 1}
    run_recipe(load_recipe(write(saving)), Console(quiet=True), measure_before=False)

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("the tasks were measured")

    monkeypatch.setattr("hf_mtl.recipe.run.measure", never)
    changed = load_recipe(write({**saving, "training.seed": 7}))
    with pytest.raises(CheckpointError, match="the data seed is 7, and was 42"):
        run_recipe(changed, Console(quiet=True), resume="last")
