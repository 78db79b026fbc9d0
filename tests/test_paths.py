"""Paths that no system takes, given wherever a path can be given: each is answered by an error of the library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_mtl.data import load_rows, read_rows
from hf_mtl.errors import HfMtlError
from hf_mtl.models import load_base, load_suite
from hf_mtl.recipe import load_recipe

PATHS = {
    "long": "x" * 300,
    "very long": "x" * 5000,
    "long behind a dot": "./" + "x" * 300,
    "long in a folder": "gone/" + "x" * 300,
    "in a long folder": "x" * 300 + "/rows.jsonl",
    "long with an ending": "x" * 300 + ".csv",
    "deep": "./" + "d/" * 3000 + "x",
    "with a NUL": "./a\0b",
    "with half a pair": "./\ud800",
    "of no user": "~nobody-of-this-name/x",
    "of a user with a NUL": "~a\0b",
    "with a line break": "a\nb",
    "below a device": "/dev/null/x",
    "a device": "/dev/null",
    "long with a task": "x" * 300 + ":words",
}
RECIPE = """\
model: {{id: a/b, source: {source}}}
output_dir: out
tasks: {{t: {{train: {train}, template: {{prompt: a, completion: b}}}}}}
"""


def _source(path: str, folder: Path) -> object:
    return _recipe(folder, source=path)


def _train(path: str, folder: Path) -> object:
    return _recipe(folder, train=path)


def _recipe(folder: Path, *, source: str = ".", train: str = "rows.jsonl") -> object:
    file = folder / "recipe.yaml"
    quoted = {"source": _quoted(source), "train": _quoted(train)}
    file.write_text(RECIPE.format(**quoted), encoding="utf-8")
    return load_recipe(file)


def _quoted(text: str) -> str:
    return (
        '"'
        + "".join(char if char.isprintable() and char != '"' else f"\\u{ord(char):04x}" for char in text)
        + '"'
    )


DOORS: dict[str, Callable[[str, Path], object]] = {
    "rows": lambda path, _: load_rows(path),
    "a file of rows": lambda path, _: read_rows(path),
    "a base": lambda path, _: load_base(path),
    "a suite": lambda path, _: load_suite(path),
    "a recipe": lambda path, _: load_recipe(path),
    "a recipe's base": _source,
    "a recipe's rows": _train,
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_path_that_leads_nowhere(
    path: str, door: Callable[[str, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HfMtlError) as caught:
        door(path, tmp_path)
    assert len(str(caught.value)) < 4000
