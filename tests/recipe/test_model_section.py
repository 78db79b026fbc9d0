"""What `model` may be in a recipe: a section, or a text alone that stands for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_mtl.recipe import load_recipe, save_recipe
from hf_mtl.recipe.loading import read_resolved

SECTION = "{id: someone/tiny-llama, dtype: float32}"


@pytest.fixture
def beside(two_tasks: Path) -> Path:
    """A folder of the form of a model's, beside the recipe, by a name that could be a Hub id."""
    folder = two_tasks / "mine" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("written", "settings", "id", "source"),
    [
        ("someone/tiny-llama", (), "someone/tiny-llama", None),
        ("./mine/tiny", (), "", "mine/tiny"),
        ("mine/tiny", (), "", "mine/tiny"),
        ("mine/../mine/tiny/", (), "", "mine/tiny"),
        ("{source: ./mine/tiny}", (), "", "mine/tiny"),
        ("{id: mine/tiny}", (), "mine/tiny", None),
        (SECTION, ("model=./mine/tiny",), "", "mine/tiny"),
        ("someone/tiny-llama", ("model.source=./mine/tiny",), "someone/tiny-llama", "mine/tiny"),
        ("asset:smollm2-135m-instruct", (), "", "asset:smollm2-135m-instruct"),
    ],
)
def test_a_text_alone_is_a_hub_id_or_a_folder(
    write: Callable[..., Path],
    beside: Path,
    written: str,
    settings: tuple[str, ...],
    id: str,
    source: str | None,
) -> None:
    path = write({SECTION: written})
    model = load_recipe(path, [*settings, "model.dtype=bfloat16"]).model
    at = source if source is None or source.startswith("asset:") else str(path.parent / source)
    assert (model.id, model.source, model.dtype) == (id, at, "bfloat16")


def test_an_absolute_folder_and_a_saved_recipe(
    write: Callable[..., Path], beside: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(write({SECTION: str(beside)}))
    assert recipe.model.source == str(beside)
    save_recipe(recipe, tmp_path / "saved.yaml")
    assert read_resolved(tmp_path / "saved.yaml").model == recipe.model
