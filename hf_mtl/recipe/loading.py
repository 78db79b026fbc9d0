"""Reading and writing recipes.

    recipe = load_recipe("recipes/quickstart/recipe.yaml", ["training.max_steps=10"])
    save_recipe(recipe, "runs/quickstart/recipe.yaml")

In a loaded recipe, and so in a saved one, the tasks have taken over the defaults and all paths are absolute: the folder
of a finished run may be moved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from hf_mtl.errors import ConfigError
from hf_mtl.files import write_text
from hf_mtl.launch import launch_problems
from hf_mtl.paths import expanded
from hf_mtl.printable import printable
from hf_mtl.recipe.checks import check
from hf_mtl.recipe.document import FORMS, Document, KeyPath, read_document
from hf_mtl.recipe.model_section import with_model_section
from hf_mtl.recipe.overrides import override
from hf_mtl.recipe.parsing import parse
from hf_mtl.recipe.rows import rows_with_path
from hf_mtl.recipe.schema import ASSET_PREFIX, ModelSpec, Recipe, TaskSpec, merged_task
from hf_mtl.recipe.smoke import smoked

__all__ = ["RECIPE_FILE", "load_recipe", "read_recipe", "read_resolved", "save_recipe"]

RECIPE_FILE = "recipe.yaml"  # in a run's folder, as it was trained


def load_recipe(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    output_dir: str | None = None,
    smoke: bool = False,
) -> Recipe:
    """Read a recipe and check all of it.

    Args:
        path: The YAML file.
        overrides: Settings `key=value` with dotted keys and YAML values, as the command line's `--set` takes them.
        output_dir: Takes the place of the recipe's own.
        smoke: Make it small: two rounds on a few rows.

    Returns:
        The recipe with its defaults merged into the tasks, with what was recognised in their rows, and with absolute
        paths.

    Raises:
        ConfigError: It lists everything that is wrong, with places and valid choices.
    """
    if launched := launch_problems():
        raise ConfigError(launched)
    document = read_recipe(Path(path), overrides)
    if output_dir is not None:
        document = _with_output_dir(document, output_dir)
    recipe, problems = parse(document)
    recipe = smoked(recipe) if smoke else recipe
    checked = check(recipe, document)
    problems = [*document.problems, *problems, *checked.problems]
    if problems:
        # A mistake in the defaults shows in every task that takes them.
        raise ConfigError(sorted(dict.fromkeys(problems), key=_line))
    return _resolved(recipe, checked.tasks, Path(path).parent)


def read_resolved(path: str | Path) -> Recipe:
    """Read the recipe of a finished run: its form is checked, but its data need not be there any more.

    Raises:
        ConfigError: There is no such file or its form is wrong.
    """
    document = read_recipe(Path(path))
    recipe, problems = parse(document)
    if problems := [*document.problems, *problems]:
        raise ConfigError(problems)
    tasks = {name: merged_task(task, recipe.defaults) for name, task in recipe.tasks.items()}
    return _resolved(recipe, tasks, Path(path).parent)


def save_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe as YAML, headed by the command that runs it."""
    content = recipe.model_dump(mode="json", exclude_unset=True, exclude={"format"})
    text = yaml.dump(
        {"format": recipe.format, **content}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    write_text(path, f"# hf-mtl train {printable(Path(path).as_posix(), kept='')}\n{printable(text)}")


def _quoted_if_invisible(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """In quotes YAML reads the numbers of characters as Python writes them."""
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style=None if printable(text) == text else '"'
    )


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, which would make the file hard to edit, and quotes what any reader would take for a number."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *FORMS.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *FORMS}
}
_Dumper.add_representer(str, _quoted_if_invisible)


def _line(problem: str) -> int:
    """Return the line that a problem names; those without one come first."""
    named = re.match(r"\S+:(\d+)[: ]", problem)
    return int(named.group(1)) if named else 0


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Document:
    """Read a recipe's YAML and put other settings into it; nothing is checked.

    Raises:
        ConfigError: If it cannot be read, or a setting cannot be made.
    """
    document = with_model_section(read_document(path))
    for setting in overrides:
        document = with_model_section(override(document, setting))
    return replace(document, problems=(*document.problems, *_halves(document, document.data, ())))


def _halves(document: Document, data: object, path: KeyPath) -> Iterator[str]:
    """What is wrong with texts that no file can hold: YAML may escape half of a pair of surrogates."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _halves(document, key, path)
            yield from _halves(document, value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _halves(document, value, (*path, index))
    elif isinstance(data, str) and data != data.encode("utf-8", "replace").decode():
        yield document.problem(
            path, f"{data!r:.60} holds half of a pair of surrogates; write whole characters."
        )


def _with_output_dir(document: Document, output_dir: str) -> Document:
    data = {**document.data, "output_dir": output_dir}
    return Document(document.path, data, document.places, document.problems)


def _resolved(recipe: Recipe, tasks: dict[str, TaskSpec], folder: Path) -> Recipe:
    fields = {name: value for name, value in recipe if name in recipe.model_fields_set and name != "defaults"}
    return _with_paths(
        Recipe.model_construct(**{**fields, "tasks": tasks}), lambda path: str((folder / path).resolve())
    )


def _with_paths(recipe: Recipe, changed: Callable[[str], str]) -> Recipe:
    """Return the recipe with its folder of weights and its data files renamed."""
    tasks = {name: _task_with_paths(task, changed) for name, task in recipe.tasks.items()}
    return recipe.model_copy(update={"model": _model_with_path(recipe.model, changed), "tasks": tasks})


def _model_with_path(model: ModelSpec, changed: Callable[[str], str]) -> ModelSpec:
    if model.source is None or model.source.startswith(ASSET_PREFIX):
        return model
    return model.model_copy(update={"source": changed(str(expanded(model.source)))})


def _task_with_paths(task: TaskSpec, changed: Callable[[str], str]) -> TaskSpec:
    written = {"train": task.train, "eval": task.eval, "test": task.test}
    return task.model_copy(
        update={split: rows_with_path(rows, changed) for split, rows in written.items() if rows is not None}
    )
