"""What the shell offers where a name is due. Nothing heavy is imported, and what cannot be read offers nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_mtl.bounded_json import read_json
from hf_mtl.cli.shipped import shipped_recipes
from hf_mtl.errors import HfMtlError

__all__ = ["recipe_tasks", "run_tasks", "shipped_names"]

_MANIFEST_FILE = "hf_mtl.json"  # as hf_mtl.export has it, whose import takes seconds


def shipped_names(incomplete: str) -> list[str]:
    """The recipes that come with hf_mtl."""
    return _fitting(shipped_recipes(), incomplete)


def recipe_tasks(
    ctx: Any, incomplete: str
) -> list[str]:  # Any: typer's context class is not public in every version
    """The tasks of the recipe that stands before on the command line."""
    from hf_mtl.recipe.document import read_document

    path = _first(ctx, "recipe")
    try:
        tasks = {} if path is None else read_document(Path(path)).data.get("tasks")
    except HfMtlError:  # the verb itself says what is wrong
        return []
    return _fitting(tasks, incomplete) if isinstance(tasks, dict) else []


def run_tasks(ctx: Any, incomplete: str) -> list[str]:  # Any: as above
    """The tasks of the run that stands before on the command line."""
    folder = _first(ctx, "run")
    try:
        tasks = {} if folder is None else read_json(Path(folder, _MANIFEST_FILE)).get("tasks")
    except (OSError, ValueError, AttributeError):
        return []
    return _fitting(tasks, incomplete) if isinstance(tasks, dict) else []


def _first(ctx: Any, name: str) -> str | None:  # Any: as above
    """The verb's first argument; behind an option that still lacks its value it is not read as one yet."""
    found = ctx.params.get(name) or next(iter(ctx.args), None)
    return None if found is None else str(found)


def _fitting(names: dict[str, Any], incomplete: str) -> list[str]:  # Any: only the keys count
    return [str(name) for name in names if str(name).startswith(incomplete)]
