"""`on_bad_row: skip` in a recipe: counted in the report, its page, the cards and `validate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from two_tasks import RECIPE
from typer.testing import CliRunner

from hf_mtl.cli.program import app
from hf_mtl.errors import ConfigError
from hf_mtl.evaluation import Report
from hf_mtl.evaluation.page import collect_story, write_page
from hf_mtl.recipe import check_rows, load_recipe, preview_recipe, run_recipe


@pytest.fixture
def folder(two_tasks: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recipes of two tasks, of which the words have rows without an answer."""
    monkeypatch.chdir(two_tasks)
    bad = [{"text": "x", "label": label} for label in ("", "", "neither")]
    with Path("words.jsonl").open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in bad))
    text = RECIPE.format(model=tiny_llama).replace("max_steps: 2", "max_steps: 1")
    Path("raise.yaml").write_text(text, encoding="utf-8")
    words = "  words:\n    train: words.jsonl\n"
    Path("skip.yaml").write_text(
        text.replace(words, f"{words}    test: words.jsonl\n").replace(
            "max_length: 64", "max_length: 64, on_bad_row: skip"
        ),
        encoding="utf-8",
    )
    return two_tasks


def test_it_is_counted_everywhere(folder: Path) -> None:
    console = Console(record=True, width=160)
    run_recipe(load_recipe("skip.yaml"), console, measure_before=False)
    counts = {"unknown label": 3}
    of_splits = dict.fromkeys(("train", "eval", "test"), counts)
    report = Report.load("runs/tiny/report.json")
    assert {own.task: own.skipped for own in report.results} == {"words": of_splits, "past tense": {}}
    assert [own.rows for own in report.results] == [6, 6]
    shown = console.export_text()
    assert "words, eval: rows skipped: 3 × unknown label" in shown
    assert [line.split()[-1] for line in shown.splitlines() if " train " in line or " eval " in line][:2] == [
        "3",
        "3",
    ]
    assert dict(collect_story("runs/tiny").skipped) == {"words": of_splits}
    page = write_page(collect_story("runs/tiny"), folder / "page").read_text(encoding="utf-8")
    assert "Skipped rows" in page and "unknown label" in page
    cards = {
        path.parent.name: path.read_text(encoding="utf-8") for path in Path("runs/tiny").glob("*/README.md")
    }
    told = "Rows that could not be used were left out: 3 × unknown label."
    assert {name: card.count(told) for name, card in cards.items()} == {"words": 3, "past-tense": 0}


def test_validate_and_preview(folder: Path) -> None:
    with pytest.raises(ConfigError, match="rows of train have other values in 'label': '', 'neither'"):
        load_recipe("raise.yaml")
    recipe = load_recipe("skip.yaml")
    raising = recipe.model_copy(
        update={
            "tasks": {
                name: own.model_copy(update={"on_bad_row": "raise"}) for name, own in recipe.tasks.items()
            }
        }
    )
    refused, skipped = check_rows(raising), check_rows(recipe)
    assert len(refused.problems) == 9 and not refused.skipped
    assert len(skipped.skipped) == 9 and not skipped.problems
    place = f"task 'words', train, row 6 of {folder / 'words.jsonl'}: the completion ' ' is not one of the labels'"
    assert refused.problems[0].startswith(place) and skipped.skipped[0].startswith(place)
    called = CliRunner().invoke(app, ["validate", "skip.yaml"])
    assert called.exit_code == 0 and f"skip.yaml: will be skipped: {place}" in called.output
    previews = [preview_recipe(own, ["words"], rows=9)[0] for own in (raising, recipe)]
    assert [own.refused for own in previews] == [True, False]
    assert [row.problem is not None for row in previews[1].rows] == [False] * 6 + [True] * 3
