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
from hf_mtl.recipe import load_recipe, rehearse, run_recipe
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


WITHOUT_WEIGHTS: dict[str, tuple[dict[str, object], str]] = {
    "no such layer": ({"defaults.adapter": {"target_modules": ["q_prjo"]}}, "'q_prjo'} not found"),
    "a layer beyond the last": (
        {"defaults.adapter": LORA | {"layers_to_transform": [99]}},
        "'layers_to_transform': [99]",
    ),
    "an embedding": ({"defaults.adapter": {"target_modules": ["embed_tokens"]}}, "of type Embedding"),
    "a rank of no layer": ({"defaults.adapter": LORA | {"rank_pattern": {"v_prjo": 2}}}, "['v_prjo']"),
    "an alpha of no layer": ({"defaults.adapter": LORA | {"alpha_pattern": {"v_prjo": 2}}}, "['v_prjo']"),
    "nothing excluded": ({"defaults.adapter": LORA | {"exclude_modules": ["v_prjo"]}}, "v_prjo"),
    "a module to save that there is not": (
        {"defaults.adapter": LORA | {"modules_to_save": ["scorer"]}},
        "modules_to_save names 'scorer'",
    ),
    "an option that trains the base": (
        {"defaults.adapter": LORA | {"bias": "all"}},
        "it trains the base's own biases",
    ),
    "a prompt of another width": (
        {"defaults.adapter": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2, "token_dim": 7}},
        "token_dim=7",
    ),
    "a shared adapter": (
        {"sharing": "shared", "defaults.adapter": {"target_modules": ["q_prjo"]}},
        "adapter 'shared': PEFT cannot place",
    ),
    "a task called like a shared adapter": (
        {"sharing": "shared", "tasks.shared/shared": {"train": "rows.jsonl", "template": TEMPLATE}},
        "task 'shared/shared': the name is that of a shared adapter's parameters",
    ),
}

FIT: dict[str, dict[str, object]] = {
    "DoRA and patterns": {
        "defaults.adapter": LORA | {"use_dora": True, "rank_pattern": {"layers.1.self_attn.q_proj": 2}}
    },
    "a prefix": {"defaults.adapter": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2}},
    "a prompt of words": {
        "defaults.adapter": {
            "peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2, "prompt_tuning_init": "SAMPLE_VOCAB",
        }
    },
    "what PEFT targets by itself": {"defaults.adapter": {"peft_type": "IA3"}},
    "sharing": {"sharing": "shared+private"},
    "a head": {
        "tasks.words": {
            "train": "rows.jsonl", "kind": "text-classification", "columns": {"text": "text", "label": "label"},
            "labels": ["no", "yes"], "adapter": LORA | {"target_modules": ["model.layers.0.self_attn.q_proj"]},
        }
    },
}  # fmt: skip


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


@pytest.mark.parametrize("mistake", WITHOUT_WEIGHTS)
def test_validate_says_without_weights_what_construction_says(
    mistake: str, write: Callable[[dict[str, object]], Path]
) -> None:
    changes, message = WITHOUT_WEIGHTS[mistake]
    recipe = load_recipe(write(changes))
    with pytest.raises(ConfigError) as caught:
        run_recipe(recipe, Console(quiet=True), measure_before=False)
    assert any(message in problem for problem in caught.value.problems), caught.value.problems
    found = rehearse(recipe).problems
    assert all(any(said.startswith(problem) for said in found) for problem in caught.value.problems), found


@pytest.mark.parametrize("good", FIT)
def test_validate_takes_what_construction_takes(
    good: str, write: Callable[[dict[str, object]], Path], tiny_llama: Path
) -> None:
    recipe = load_recipe(write(FIT[good]))
    found = rehearse(recipe)
    assert (found.problems, found.unchecked) == ((), ())
    run = build(recipe)
    MultiTaskTrainer(tiny_llama, run.args, run.suite)


def test_validate_names_all_tasks_with_a_wrong_adapter(write: Callable[[dict[str, object]], Path]) -> None:
    wrong = {"r": 2, "target_modules": ["v_prjo"]}
    changes: dict[str, object] = {
        "defaults.adapter": {"target_modules": ["q_prjo"]},
        "tasks.verbs.adapter": wrong,
        "tasks.more": {"train": "rows.jsonl", "template": TEMPLATE},
    }
    first, second = rehearse(load_recipe(write(changes))).problems
    assert all(said in first for said in ("'q_prjo'", "'more'", "'words'")) and "'verbs'" not in first
    assert all(said in second for said in ("'v_prjo'", "'verbs'")) and "'words'" not in second


def test_validate_says_that_nothing_is_learned_and_nowhere_to_write(
    write: Callable[[dict[str, object]], Path], tmp_path: Path
) -> None:
    rows = str(tmp_path / "rows.jsonl")
    tasks = {"words": {"eval": "rows.jsonl", "template": TEMPLATE}}
    found = rehearse(load_recipe(write({"output_dir": rows, "tasks": tasks}))).problems
    assert [problem.partition(":")[0] for problem in found] == [
        "no task has rows to learn from",
        "output_dir",
    ]


def test_validate_asks_for_a_token_and_not_the_hub(
    write: Callable[[dict[str, object]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(write({"training.push_to_hub": True}))
    monkeypatch.setattr("hf_mtl.export.hub.client.get_token", lambda: None)
    (missing,) = rehearse(recipe).problems
    assert "the Hub wants a token for uploads, and none was found" in missing
    monkeypatch.setattr("hf_mtl.export.hub.client.get_token", lambda: "hf_of_a_test")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (offline,) = rehearse(recipe).problems
    assert "unset HF_HUB_OFFLINE" in offline
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert rehearse(recipe).problems == ()


def test_validate_refuses_the_checkpoints_that_train_refuses(
    write: Callable[[dict[str, object]], Path], tmp_path: Path
) -> None:
    saving: dict[str, object] = {"training.save_strategy": "steps", "training.save_steps": 1}
    run_recipe(load_recipe(write(saving)), Console(quiet=True), measure_before=False)
    good = rehearse(load_recipe(write(saving)), resume="last")
    assert good.problems == ()
    assert any("the base's weights are those" in note for note in good.unchecked)
    more: dict[str, object] = {"tasks.more": {"train": "rows.jsonl", "template": TEMPLATE}}
    assert rehearse(load_recipe(write(saving | more)), resume="last").problems == ()
    changed: list[tuple[dict[str, object], str]] = [
        ({"training.seed": 7}, "the data seed is 7, and was 42"),
        ({"training.per_device_train_batch_size": 2}, "a step takes 2 rows, and took 8"),
        ({"tasks.words.template": TEMPLATE | {"prompt": "{text}"}}, "'words': its training rows changed"),
        ({"tasks.words.optim": "sgd"}, "'words': the optimizer is 'sgd'"),
        ({"tasks.words.adapter": {"r": 8}}, "the adapter of 'words' is another one"),
        ({"tasks.words.adapter": LORA | {"target_modules": ["v_proj"]}}, "the adapter of 'words' is another one"),
    ]  # fmt: skip
    for changes, message in changed:
        recipe = load_recipe(write(saving | changes))
        with pytest.raises(CheckpointError) as caught:
            run_recipe(recipe, Console(quiet=True), resume="last", measure_before=False)
        assert message in str(caught.value)
        assert rehearse(recipe, resume="last").problems == (str(caught.value),)
    (tmp_path / "run" / "checkpoint-2" / "run.json").write_text("{}")
    (damaged,) = rehearse(load_recipe(write(saving)), resume=str(tmp_path / "run" / "checkpoint-2")).problems
    assert "run.json" in damaged


def test_validate_compares_the_tasks_with_the_run_that_they_go_on_from(
    write: Callable[[dict[str, object]], Path], tmp_path: Path
) -> None:
    kind: dict[str, object] = {
        "train": "rows.jsonl", "kind": "text-classification", "columns": {"text": "text", "label": "label"},
    }  # fmt: skip
    run_recipe(
        load_recipe(write({"tasks.words": kind | {"labels": ["no", "yes"]}})),
        Console(quiet=True),
        measure_before=False,
    )
    goes_on: dict[str, object] = {
        "model.adapters": str(tmp_path / "run"),
        "output_dir": str(tmp_path / "second"),
    }
    good = goes_on | {"tasks.words": kind | {"labels": ["no", "yes"]}, "defaults.adapter": LORA | {"r": 1}}
    assert rehearse(load_recipe(write(good))).problems == ()
    recipe = load_recipe(write(goes_on | {"tasks.words": kind | {"labels": ["yes", "no"]}}))
    with pytest.raises(ConfigError) as caught:
        run_recipe(recipe, Console(quiet=True), measure_before=False)
    assert rehearse(recipe).problems == tuple(caught.value.problems)
    (found,) = caught.value.problems
    assert "its head was trained with the labels ['no', 'yes']" in found
