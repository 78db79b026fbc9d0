"""One message lists all mistakes, each with its place, what is valid, and what was probably meant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hf_mtl.errors import ConfigError
from hf_mtl.recipe import load_recipe

Write = Callable[..., Path]


def problems_of(path: Path, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, overrides)
    return caught.value.problems


def the_problem(path: Path, overrides: Sequence[str] = ()) -> str:
    problems = problems_of(path, overrides)
    assert len(problems) == 1, problems
    return problems[0]


def test_three_mistakes_one_message(write: Write) -> None:
    path = write(
        {
            "max_steps: 2": "max_stepz: 2",
            "train: verbs": "train: verb",
            "exact_match, accuracy": "exact_match, acuracy",
        }
    )
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    text = str(caught.value)
    assert text.startswith("3 problems:\n  - recipe.yaml:13 tasks.words.metrics: ")
    assert "'acuracy'" in text and "Did you mean 'accuracy'?" in text and "'seqeval'" in text
    assert "\n  - recipe.yaml:15 tasks.past tense.train: There is no data file" in text
    assert "'verbs.jsonl', 'words.jsonl'" in text
    assert (
        "\n  - recipe.yaml:18 training.max_stepz: unknown key 'max_stepz'. Did you mean 'max_steps'?" in text
    )


def test_duplicate_tasks(write: Write) -> None:
    problem = the_problem(write({"  past tense:": "  words:", "{lemma}:": "{lemma}"}))
    assert problem == (
        "recipe.yaml:14 tasks.words: two tasks of one name, on lines 8 and 14; rename or remove one."
    )


def test_duplicate_key(write: Write) -> None:
    assert "the same key twice, on lines 6 and 7" in the_problem(
        write({"tasks:\n": "  max_length: 3\ntasks:\n"})
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "max_length: 64",
            "max_length: -1",
            "recipe.yaml:6 defaults.max_length: expected a whole number above 0, found -1.",
        ),
        (
            "max_length: 64",
            "max_length: '64'",
            "expected a whole number above 0, found '64'. Write it without quotes.",
        ),
        ("dtype: float32", "dtype: float23", "recipe.yaml:2 model.dtype: expected one of"),
        ("dtype: float32", "dtype: float23", "Did you mean 'float32'?"),
        ("[negative, positive]", "[1, 2]", "recipe.yaml:12 tasks.words.labels[0]: expected text, found 1."),
        (
            "[negative, positive]",
            "[negative]",
            "labels must be two or more different texts, found ['negative'].",
        ),
        (
            "[negative, positive]",
            "[negative, postive]",
            "rows of train have other values in 'label': 'positive'.",
        ),
        ("    labels: [negative, positive]\n", "", "labels are missing: add labels: [...]."),
        (
            "{text} is",
            "{txt} is",
            "no column 'txt' for the template; the rows have 'label', 'text'. Did you mean 'text'?",
        ),
        ("{text} is", "{text is", "is not a valid format string"),
        (
            'completion: " {past}"',
            "complete: x",
            "recipe.yaml:16 tasks.past tense.template.complete: unknown key",
        ),
        (
            ', completion: " {past}"',
            "",
            "expected either prompt and completion, or messages (the column of a chat)",
        ),
        ("{r: 4,", "{rr: 4,", "recipe.yaml:5 defaults.adapter.rr: unknown key 'rr'."),
        (
            "{r: 4,",
            "{r: 0,",
            "recipe.yaml:5 defaults.adapter.r: expected a whole number from 1 to 4096, found 0.",
        ),
        ("lora_alpha: 8", "lora_alpah: 8", "Did you mean 'lora_alpha'?"),
        ("lora_alpha: 8", "bias: some", "expected 'none', 'all' or 'lora_only', found 'some'."),
        ("{r: 2}", "{r: 2, peft_type: LORAA}", "unknown peft_type 'LORAA'. Did you mean 'LORA'?"),
        (
            "{r: 2}",
            "{peft_type: OFT}",
            "peft_type 'OFT' is not supported yet. Supported: 'IA3', 'LORA', 'PREFIX_TUNING', 'PROMPT_TUNING'.",
        ),
        ("learning_rate: 1e-3", "learning_rate: -1e-3", "expected a number of at least 0, found -0.001."),
        (
            "learning_rate: 1e-3",
            "learning_rate: fast",
            "training.learning_rate: expected a number of at least 0, found 'fast'.",
        ),
        ("learning_rate: 1e-3", "lr_scheduler_type: cosin", "found 'cosin'. Did you mean 'cosine'?"),
        (
            "learning_rate: 1e-3",
            "output_dir: x",
            "training.output_dir: write output_dir at the recipe's top level.",
        ),
        ("output_dir: runs/tiny\n", "", "output_dir is missing"),
        ("id: someone/tiny-llama, ", "", "recipe.yaml:2 model: id is missing"),
        (
            "{id: someone/tiny-llama, dtype: float32}",
            "./nowhere",
            "recipe.yaml:2 model.source: there is no folder",
        ),
        ("{id: someone/tiny-llama, dtype: float32}", "'a b'", "recipe.yaml:2 model.id: expected a Hub id"),
        ("{id: someone/tiny-llama, dtype: float32}", ".", "holds no model: config.json is missing"),
        ("learning_rate: 1e-3", "max_length: 9", "training.max_length: write max_length under `defaults`"),
        ("id: someone/tiny-llama", "id: ./a/b", "expected a Hub id (owner/name), found './a/b'."),
        (
            "dtype:",
            "source: 'asset:smollm2-instruct', dtype:",
            "unknown asset 'smollm2-instruct'. Did you mean 'smollm2-135m-instruct'?",
        ),
        ("dtype:", "source: nowhere, dtype:", "recipe.yaml:2 model.source: there is no folder"),
        ("tasks:", "taskz:", "recipe.yaml:7 taskz: unknown key 'taskz'. Did you mean 'tasks'?"),
    ],
)
def test_message(write: Write, old: str, new: str, expected: str) -> None:
    assert any(expected in problem for problem in problems_of(write({old: new})))


def test_mistakes_in_the_defaults_are_listed_once(write: Write) -> None:
    the_problem(write({"lora_alpha: 8": "lora_alpah: 8"}))


def test_syntax_error_names_the_line(write: Write) -> None:
    assert the_problem(write({"max_length: 64": "max_length: [64"})).startswith("recipe.yaml:")


@pytest.mark.parametrize(
    ("text", "expected"), [("", "tasks is missing"), ("- a\n", "expected `key: value` lines")]
)
def test_no_recipe_at_all(two_tasks: Path, text: str, expected: str) -> None:
    path = two_tasks / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    assert any(expected in problem for problem in problems_of(path))


def test_missing_recipe(write: Write) -> None:
    path = write()
    assert "Did you mean 'recipe.yaml'?" in the_problem(path.with_name("recipee.yaml"))
    assert "is a folder" in the_problem(path.parent)


def test_empty_file_of_rows(write: Write) -> None:
    path = write()
    (path.parent / "verbs.jsonl").write_text("", encoding="utf-8")
    assert "holds no rows" in the_problem(path)


def test_broken_row_is_named(write: Write) -> None:
    path = write()
    (path.parent / "verbs.jsonl").write_text('{"lemma": "go", "past": "went"}\n{"lemma"\n', encoding="utf-8")
    assert "line 2: not valid JSON" in the_problem(path)


def test_alias_to_itself(write: Write) -> None:
    assert "contains itself" in the_problem(write({"lora_alpha: 8": "layers_to_transform: &a [*a]"}))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "training.max_stepz=3",
            "--set training.max_stepz: unknown key 'max_stepz'. Did you mean 'max_steps'?",
        ),
        ("trainin.max_steps=3", "--set trainin: unknown key 'trainin'. Did you mean 'training'?"),
        ("tasks.word.max_length=3", "there is no task 'word'. Did you mean 'words'?"),
        ("tasks.words.max_lenght=3", "Did you mean 'max_length'?"),
        (
            "tasks.words.max_length=long",
            "--set tasks.words.max_length: expected a whole number above 0, found 'long'.",
        ),
        ("output_dir.x=3", "output_dir is 'runs/tiny', so nothing can be set inside it."),
        ("training.max_steps", "expected key=value"),
        ("training.max_steps=[", "the value is not valid YAML"),
    ],
)
def test_wrong_override(write: Write, setting: str, expected: str) -> None:
    assert any(expected in problem for problem in problems_of(write(), [setting]))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sharing: sharde", "recipe.yaml:4 sharing: there is no structure 'sharde'. Did you mean 'shared'?"),
        ("sharing: {name: soft, strenght: 1.0}", "recipe.yaml:4 sharing: 'soft' has no option 'strenght'. Did you"),
        ("sharing: {name: groups, groups: {g: [wrds]}}", "task 'wrds' that there is not. Did you mean 'words'?"),
        ("objective: pcgradd", "Did you mean 'pcgrad'?"),
        ("objective: {name: static, weights: {wrds: 1.0}}", "Did you mean 'words'?"),
    ],
)  # fmt: skip
def test_sharing_and_objective(write: Write, line: str, expected: str) -> None:
    assert expected in the_problem(write({"output_dir: runs/tiny": f"output_dir: runs/tiny\n{line}"}))


def test_sharing_stands_at_the_top_level(write: Write) -> None:
    problem = the_problem(write({"max_steps: 2": "max_steps: 2, sharing: shared"}))
    assert problem == "recipe.yaml:18 training.sharing: write sharing at the recipe's top level."


_COPY = "{id: HuggingFaceTB/SmolLM2-135M-Instruct, source: 'asset:smollm2-135m-instruct',"


@pytest.mark.parametrize(
    ("module", "old", "new", "place", "what", "install"),
    [
        ("bitsandbytes", "dtype: float32", "quantization: 4bit", "model.quantization", "4bit", "hf-mtl[4bit]"),
        ("gguf", "{id: someone/tiny-llama,", _COPY, "model.source", "smollm2-135m-instruct", "hf-mtl[quickstart]"),
        ("PIL", "words:\n", "words:\n    kind: image-classification\n", "tasks.words", "image", "hf-mtl[vision]"),
        ("torchjd", "tasks:\n", "objective: torchjd:upgrad\ntasks:\n", "objective", "TorchJD", "hf-mtl[grad]"),
        (None, "max_steps: 2", "max_steps: 2, report_to: comet_ml", "training", "report_to='comet_ml'", "comet-ml"),
    ],
)  # fmt: skip
def test_a_missing_package(
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str | None,
    old: str,
    new: str,
    place: str,
    what: str,
    install: str,
) -> None:
    path = write({old: new})
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path / "nothing was fetched"))
    if module is not None:  # the last one is in no environment of ours
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    (problem,) = (problem for problem in caught.value.problems if "is not installed" in problem)
    assert f" {place}" in problem and what in problem
    assert problem.endswith(f"pip install '{install}'" if "[" in install else f"pip install {install}")


def test_an_unknown_tracker(write: Write) -> None:
    path = write({"max_steps: 2": "max_steps: 2, report_to: wandbb"})
    with pytest.raises(ConfigError, match=r"report_to: unknown tracker 'wandbb'\. Did you mean 'wandb'\?"):
        load_recipe(path)


def test_half_surrogates(write: Write) -> None:
    first, *_ = problems_of(write({"labels: [negative, positive]": 'labels: [negative, "\\ud800"]'}))
    assert first.startswith(
        "recipe.yaml:12 tasks.words.labels[1]: '\\ud800' holds half of a pair of surrogates"
    )
