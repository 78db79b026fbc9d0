"""The cards that a run leaves beside its adapters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from rich.console import Console

from hf_mtl.data import ASSETS
from hf_mtl.evaluation import Comparison, Variant
from hf_mtl.evaluation.page import SINGLE
from hf_mtl.export.cards import CARD_FILE, FACTS_FILE, SuiteFacts
from hf_mtl.recipe import collect_facts, load_recipe, make_cards, run_recipe
from hf_mtl.recipe.card_data import DATA, may_show_rows
from hf_mtl.recipe.comparing import content_key
from hf_mtl.recipe.schema import CardSpec, Recipe, RowsSpec, TaskSpec, merged_task

RECIPE = """\
model: {{id: someone/tiny-llama, source: {model}, dtype: float32}}
output_dir: {out}
defaults: {{adapter: {{r: 4, lora_alpha: 8, target_modules: all-linear}}, max_length: 64, card: {{license: mit}}}}
tasks:
  words:
    train: words.jsonl
    eval: words.jsonl
    template: {{prompt: "{{text}} is", completion: " {{label}}"}}
    labels: [negative, positive]
    metrics: [exact_match, accuracy]
    learning_rate: 2e-2
    card: {{rows_license: mit, language: [en]}}
  past tense:
    train: verbs.jsonl
    eval: verbs.jsonl
    template: {{prompt: "{{lemma}}:", completion: " {{past}}"}}
training: {{max_steps: 2, per_device_train_batch_size: 3, learning_rate: 1e-2, logging_steps: 1, use_cpu: true}}
"""


@pytest.fixture(scope="module")
def run(tiny_llama: Path, two_tasks_rows: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    for name, text in two_tasks_rows.items():
        (folder / name).write_text(text, encoding="utf-8")
    out = folder / "runs" / "tiny"
    (folder / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama, out=out), encoding="utf-8")
    run_recipe(load_recipe(folder / "recipe.yaml"), Console(quiet=True))
    return out


def test_each_adapter_has_a_card(run: Path) -> None:
    cards = {place: ModelCard.load(run / place / CARD_FILE) for place in (".", "words", "past-tense")}
    for place, card in cards.items():
        assert card.data.base_model == "someone/tiny-llama" and card.data.license == "mit"
        assert (run / place / "loss_curve.png").is_file()
    words = cards["words"].text
    for shown in (
        "| good | positive |",
        "`positive` 3",
        "[past tense](../past-tense/README.md)",
        "| `learning_rate` |",
    ):
        assert shown in words
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    measured = {score["metric"]: score["after"] for score in report["results"][0]["scores"]}
    results = cards["words"].data.eval_results
    assert results is not None
    assert {own.metric_type: own.metric_value for own in results} == {
        name: round(value, 6) for name, value in measured.items() if name != "loss"
    }
    assert [own.task_name for own in cards["."].data.eval_results or []] == ["words", "words", "past tense"]


def test_rows_without_a_licence_are_not_shown(run: Path) -> None:
    for file in (run / "past-tense" / CARD_FILE, run / CARD_FILE, run / FACTS_FILE, run / DATA.name):
        text = file.read_text(encoding="utf-8")
        assert "walked" not in text and "swam" not in text, file
    assert "No rows are shown here" in (run / "past-tense" / CARD_FILE).read_text(encoding="utf-8")


def test_nothing_of_the_machine_is_told(run: Path, tiny_llama: Path) -> None:
    for file in (*run.rglob(CARD_FILE), run / FACTS_FILE):
        text = file.read_text(encoding="utf-8")
        assert (
            str(run.parents[1]) not in text and str(tiny_llama) not in text and str(Path.home()) not in text
        )


def test_settings_are_those_that_differ(run: Path) -> None:
    words, past = SuiteFacts.load(run / FACTS_FILE).tasks
    assert {own.name: (own.value, own.default) for own in words.adapter}["r"] == ("4", "8")
    assert {own.name: own.value for own in words.settings} == {"learning_rate": "0.02", "max_length": "64"}
    assert {own.name for own in past.settings} == {"max_length"}
    shared = {own.name: (own.value, own.default) for own in SuiteFacts.load(run / FACTS_FILE).settings}
    assert shared == {
        "max_steps": ("2", "-1"), "per_device_train_batch_size": ("3", "8"), "learning_rate": ("0.01", "5e-05"),
    }  # fmt: skip
    card = (run / "words" / CARD_FILE).read_text(encoding="utf-8")
    assert "| `learning_rate` | `0.02` |" in card and "`0.01`" not in card


def test_what_was_compared_is_shown(run: Path, tmp_path: Path) -> None:
    alone = {"words": {"exact_match": 0.25, "accuracy": 0.75}}
    SINGLE.write(run, alone)
    figures = {"words": {"accuracy": (0.5, 0.7)}}
    variants = tuple(Variant(name, {}, 1, (1.0, 1.0), figures) for name in ("alone", "joint", "other"))
    Comparison("tiny", (0, 1), variants, {"words": {"accuracy": True}}).save(run / "comparison.json")
    make_cards(run, tmp_path)
    text = (tmp_path / "words" / CARD_FILE).read_text(encoding="utf-8")
    assert "| trained alone |" in text and "| 0.750 |" in text
    assert "alone, over seeds" in text and "0.600 ± 1.271" in text and "other, over seeds" not in text
    assert SuiteFacts.load(tmp_path / FACTS_FILE).seeds == (0, 1)


def test_cards_of_a_run_are_the_same_again(run: Path, tmp_path: Path) -> None:
    cards = make_cards(run, tmp_path)
    first = [path.read_bytes() for path in cards]
    assert [path.read_bytes() for path in make_cards(run, tmp_path)] == first
    assert collect_facts(run) == SuiteFacts.load(tmp_path / FACTS_FILE)


def test_which_rows_may_be_shown() -> None:
    own = TaskSpec(train=RowsSpec(source="rows.jsonl"))
    assert not may_show_rows(own)
    assert may_show_rows(own.model_copy(update={"card": CardSpec(rows_license="mit")}))
    for name, asset in ASSETS.items():
        spec = TaskSpec(train=RowsSpec(source=f"asset:{name}"), card=CardSpec(rows_license="mit"))
        assert may_show_rows(spec) == asset.rows_may_be_shown
    assert not any(ASSETS[name].rows_may_be_shown for name in ("conll2003", "reuters-r8", "disfl-qa"))


def test_what_a_card_says_changes_nothing_of_a_run() -> None:
    task = TaskSpec(card=CardSpec(about="It.", license="mit"))
    plain, told = Recipe(tasks={"a": TaskSpec()}), Recipe(tasks={"a": task})
    assert content_key(plain) == content_key(told)
    defaults = TaskSpec(card=CardSpec(license="apache-2.0", language=("en",)))
    assert merged_task(task, defaults).card == CardSpec(about="It.", license="mit", language=("en",))
