"""The cards in model_cards/ are what the template makes of the JSON beside them, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hf_mtl.data import ASSETS
from hf_mtl.export.cards import CARD_FILE, FACTS_FILE, LOSS_CURVE_FILE, SuiteFacts, write_cards

FOLDER = Path(__file__).resolve().parents[2] / "model_cards"
SUITES = sorted(path.parent.name for path in FOLDER.glob(f"*/{FACTS_FILE}"))
AGAIN = "render them again: python model_cards/render.py"


def test_there_are_cards() -> None:
    assert "quickstart" in SUITES


@pytest.mark.parametrize("suite", SUITES)
def test_cards_are_rendered_from_their_facts(suite: str, tmp_path: Path) -> None:
    shutil.copy(FOLDER / suite / FACTS_FILE, tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in write_cards(tmp_path)}
    kept = {path.relative_to(FOLDER / suite): path.read_bytes() for path in (FOLDER / suite).rglob(CARD_FILE)}
    assert sorted(made) == sorted(kept), AGAIN
    for path, text in made.items():
        assert text == kept[path], f"{suite}/{path}: {AGAIN}"
        if LOSS_CURVE_FILE in text.decode():
            picture = FOLDER / suite / path.parent / LOSS_CURVE_FILE
            assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suite", SUITES)
def test_no_row_is_shown_that_may_not_be_passed_on(suite: str) -> None:
    kept_back = [asset.origin for asset in ASSETS.values() if not asset.rows_may_be_shown]
    for task in SuiteFacts.load(FOLDER / suite / FACTS_FILE).tasks:
        sources = {rows.source for rows in task.rows}
        assert not (task.samples and sources & set(kept_back)), task.name
        assert not task.samples or all(rows.licence for rows in task.rows), task.name
