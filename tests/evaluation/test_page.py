"""The page of a run: whole, by itself, escaped, and equal to its data."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from made_up_story import MARKUP, made_up_story

from hf_mtl.evaluation import Score, TaskResult
from hf_mtl.evaluation.page import Incident, RunStory, verdict, write_page
from hf_mtl.evaluation.page.sections import SECTIONS, Section
from hf_mtl.evaluation.page.tables import tables_of
from hf_mtl.relations import Relations

EMPTY = RunStory("nothing", ("a",))
PICTURED = {section.part for section in SECTIONS} - {"incidents", "skipped"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(made_up_story(), tmp_path_factory.mktemp("page") / "made" / "here").parent


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> ET.Element:
    """The page read as XML, which forgives nothing."""
    return ET.fromstring(text)


def words(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def cells(page: ET.Element, part: str) -> list[list[str]]:
    rows = page.findall(f".//section[@id='{part}']//tbody/tr")
    return [[words(cell) for cell in row] for row in rows]


def one(page: ET.Element, part: str) -> ET.Element:
    found = page.findall(f".//section[@id='{part}']")
    assert len(found) == 1, part
    return found[0]


def test_every_part_is_there_in_order(page: ET.Element) -> None:
    shown = [section.get("id") for section in page.iter("section")]
    assert shown == [section.part for section in SECTIONS]
    assert "Not on this page" not in words(page)
    for part in PICTURED:
        assert one(page, part).find(".//svg") is not None, part


def test_every_field_of_a_story_is_shown_by_a_part() -> None:
    elsewhere = {"name", "tasks", "facts", "padding"}  # heading, everywhere, the end, and beside throughput
    assert {own.name for own in fields(RunStory)} - elsewhere == {section.part for section in SECTIONS}


def test_page_needs_nothing_else(text: str, page: ET.Element) -> None:
    assert not re.search(r"https?:|@import|<script|<link|<iframe|javascript:", text)
    for element in page.iter():
        assert not [key for key in element.attrib if key.startswith("on")]
        for key in ("src", "href"):
            assert element.get(key, "#").startswith(("#", "data:image/png;base64,"))
        for target in re.findall(r"url\(([^)]*)\)", " ".join(element.attrib.values())):
            assert target.startswith("#")


def test_identifiers_are_unique_and_references_hit(page: ET.Element) -> None:
    names = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(names) == len(set(names))
    values = [value for element in page.iter() for value in element.attrib.values()]
    used = {name for value in values for name in re.findall(r"url\(#([^)]+)\)", value)}
    used |= {
        element.get("href", "")[1:] for element in page.iter() if element.get("href", "").startswith("#")
    }
    assert used and used <= set(names)


def test_pictures_take_their_colours_from_the_page(text: str, page: ET.Element) -> None:
    styles = [element.get("style", "") for svg in page.iter("svg") for element in svg.iter()]
    assert any("currentColor" in style for style in styles) and any(
        "var(--line)" in style for style in styles
    )
    assert not [style for style in styles if "#000000" in style or "#ffffff" in style]
    assert "prefers-color-scheme: dark" in text


def test_pngs_stand_beside_the_page(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.png")} == PICTURED
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>&amp; $x_1$"
    results = (TaskResult(evil, scores=(Score("accuracy", 0.1, 0.2, 0.3),)),)
    story = RunStory(
        evil, (evil,), {evil: evil}, results, losses={evil: ((1, 2.0), (2, 1.0))},
        incidents=(Incident(evil, 1, evil),),
    )  # fmt: skip
    page = ET.fromstring(write_page(story, tmp_path).read_text(encoding="utf-8"))
    assert list(page.iter("script")) == []
    assert cells(page, "results")[0][0] == cells(page, "incidents")[0][0] == evil
    in_pictures = {words(label) for svg in page.iter("svg") for label in svg.iter("text")}
    assert evil in in_pictures
    assert evil in words(page.findall(".//footer//dd")[0])


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.part)
def test_one_part_alone(section: Section, tmp_path: Path) -> None:
    part, whole = section.part, made_up_story()
    story = replace(EMPTY, tasks=whole.tasks, **{part: vars(whole)[part]})
    page = ET.fromstring(write_page(story, tmp_path).read_text(encoding="utf-8"))
    assert [own.get("id") for own in page.iter("section")] == [part]
    absent = [words(line) for line in page.findall(".//ul[@class='missing']/li")]
    assert absent == [f"{own.title}. {own.otherwise}" for own in SECTIONS if own.part != part]
    assert not any(".json" in line for line in absent)  # of files only a developer knows


def test_nothing_recorded(tmp_path: Path) -> None:
    page = ET.fromstring(write_page(EMPTY, tmp_path).read_text(encoding="utf-8"))
    assert not list(page.iter("section"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "story.json"]


def test_no_incident_is_an_answer(tmp_path: Path) -> None:
    page = ET.fromstring(write_page(replace(EMPTY, incidents=()), tmp_path).read_text(encoding="utf-8"))
    assert words(one(page, "incidents")).endswith("None.")
    assert verdict(replace(EMPTY, incidents=()))[-1] == "No incident."


def numbers(found: object) -> Iterator[float]:
    if isinstance(found, float | int):
        yield float(found)
    elif isinstance(found, dict | list):
        for own in found.values() if isinstance(found, dict) else found:
            yield from numbers(own)


def test_data_are_what_is_shown(folder: Path, page: ET.Element) -> None:
    data = json.loads((folder / "story.json").read_text(encoding="utf-8"))
    rows = iter(cells(page, "results"))
    for result in data["results"]:
        for place, score in enumerate(result["scores"]):
            row = next(rows)
            assert row[0] == (result["task"] if place == 0 else "")
            shown = [score["constant"], score["before"], score["after"]]
            none = "" if score["metric"] == "loss" else "–"  # the best constant answer has no loss
            assert row[3:6] == [none if value is None else f"{value:.3f}" for value in shown]
            assert row[7] == f"{result['test'][score['metric']]:.3f}"
    assert next(rows, None) is None
    changes = {(own["task"], own["metric"].replace("_", " ")): own["relative"] for own in data["changes"]}
    *shown_changes, mean = cells(page, "changes")
    assert {(row[0], row[1]): row[4] for row in shown_changes} == {
        key: f"{100 * value:+.1f} %" for key, value in changes.items()
    }
    assert mean[4] == f"{100 * data['delta_p']:+.1f} %"
    assert [row[:3] for row in cells(page, "incidents")] == [
        [own["task"], str(own["round"]), own["problem"]] for own in data["incidents"]
    ]
    put_back = "leaves the run, back to its weights of step 119, the last good ones"
    assert [row[4] for row in cells(page, "incidents")] == ["", put_back]
    tokens = [f"{own['tokens']:,}" for own in data["shares"].values()]
    assert [row[5] for row in cells(page, "shares")] == tokens
    labels = {words(label) for label in one(page, "cosines").iter("text")}
    assert {f"{value:.2f}" for row in data["cosines"]["values"] for value in row} <= labels
    labels = {words(label) for label in one(page, "transfer").iter("text")}
    assert {f"{value:.2f}" for value in numbers(data["transfer"])} <= labels


def test_numbers_that_json_has_not(tmp_path: Path) -> None:
    story = replace(EMPTY, losses={"a": ((1, 1.0), (2, float("nan")), (3, float("inf")))})
    write_page(story, tmp_path)
    data = json.loads((tmp_path / "story.json").read_text(), parse_constant=pytest.fail)
    assert data["losses"] == {"a": [[1, 1.0], [2, "NaN"], [3, "Infinity"]]}


def test_verdict() -> None:
    assert verdict(made_up_story()) == (
        "3 of 4 tasks got better by training, 1 got worse.",
        "3 of 3 tasks lie above the best constant answer with its whole 95 % interval.",
        "Against training alone, 2 of 4 tasks gained; the mean relative change is +2.1 %.",
        f"2 incidents; in quarantine: {MARKUP}.",
        "400 rounds in 5.0 min of training.",
    )
    flat = TaskResult("a", scores=(Score("loss", before=1.0, after=1.0, greater_is_better=False),))
    assert verdict(RunStory("x", ("a",), results=(flat,))) == (
        "0 of 1 task got better by training, 1 stayed the same.",
    )


def test_cells_without_a_figure_stay_empty(tmp_path: Path) -> None:
    """A task that was not measured under an adapter, and a column whose own adapter was not measured."""
    transfer = {"a": {"a": {"f1": 0.5}, "b": {"f1": float("nan")}}, "b": {"a": {"f1": 0.25}}}
    page = ET.fromstring(write_page(replace(EMPTY, transfer=transfer), tmp_path).read_text(encoding="utf-8"))
    labels = [words(label) for label in one(page, "transfer").iter("text")]
    assert labels.count("0.50") >= 1 and labels.count("0.25") == 1 and "nan" not in labels


def test_many_tasks(tmp_path: Path) -> None:
    """Numbers would not fit into a matrix of sixteen tasks, and its picture and its legend still do."""
    names = tuple(f"task number {number}" for number in range(16))
    values = [[1.0 if i == j else 0.37 for j in range(16)] for i in range(16)]
    curves = {name: ((1, 1.0), (2, 0.5 + number)) for number, name in enumerate(names)}
    story = RunStory("many", names, losses=curves, relations=Relations(names, np.array(values), "given"))
    page = ET.fromstring(write_page(story, tmp_path).read_text(encoding="utf-8"))
    assert "0.37" not in {words(label) for label in one(page, "relations").iter("text")}
    labels = {words(label) for label in one(page, "losses").iter("text")}
    assert {name for name in names if name in labels} == {
        *names[:4],
        *names[-4:],
    } and "8 other tasks" in labels


def test_without_matplotlib_numbers_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In tables, all of them open; what has no table is named."""
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    page = ET.fromstring(write_page(made_up_story(), tmp_path).read_text(encoding="utf-8"))
    assert caplog.messages == ["Pictures are left out; they need matplotlib: pip install 'hf-mtl[plots]'"]
    assert {section.get("id") for section in page.iter("section")} == {
        "results",
        "changes",
        "incidents",
        "skipped",
        "shares",
    }
    assert not list(page.iter("figure")) and not list(page.iter("details"))
    told = ["".join(item.itertext()) for item in page.iter("li")]
    undrawn = {section.title for section in SECTIONS} - {
        "Results", "Together against alone", "Incidents", "Skipped rows", "What each task had of the run",
    }  # fmt: skip
    assert {line for line in told if line.startswith("not drawn")} == {
        f"not drawn: {title} (its numbers are in story.json)" for title in undrawn
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "story.json"]


@pytest.mark.parametrize("count", [4, 30, 100])
def test_tables_have_no_columns_of_dashes(count: int) -> None:
    results = tuple(
        TaskResult(f"task {n}", scores=(Score("f1", after=0.5), Score("loss", after=1.0)) if n % 3 else ())
        for n in range(count)
    )
    table = tables_of(RunStory("many", tuple(own.task for own in results), results=results))["results"]
    assert table.columns == ("task", "metric", "after")
    unmeasured = [[cell.text for cell in row] for row in table.rows if row[1].text == "not measured"]
    assert unmeasured == [[f"task {n}", "not measured", ""] for n in range(0, count, 3)]


def test_equal_learning_rates_are_one_line(tmp_path: Path) -> None:
    owners = [f"glue/mnli-matched-fold-{number:02}" for number in range(30)]
    rates = {owner: ((1, 0.1 * (1 + n % 2)), (2, 0.0)) for n, owner in enumerate(owners)}
    story = replace(EMPTY, tasks=tuple(owners), learning_rates=rates)
    page = ET.fromstring(write_page(story, tmp_path).read_text(encoding="utf-8"))
    labels = {words(label) for label in one(page, "learning_rates").iter("text")}
    assert {label for label in labels if "more" in label} == {
        f"glue/mnli-match…0{number} and 14 more" for number in (0, 1)
    }


def test_names_that_no_font_has_stay_names_in_the_page(tmp_path: Path) -> None:
    """A browser has a font for them, though the PNGs here may show boxes."""
    names = ("第一部分", "第二部分")
    curves = dict.fromkeys(names, ((1, 1.0), (2, 0.5)))
    results = tuple(TaskResult(name, scores=(Score("f1", 0.1, 0.2, 0.3),)) for name in names)
    page = ET.fromstring(
        write_page(RunStory("x", names, losses=curves, results=results), tmp_path).read_text(encoding="utf-8")
    )
    for part in ("losses", "results"):
        assert set(names) <= {words(label) for label in one(page, part).iter("text")}
