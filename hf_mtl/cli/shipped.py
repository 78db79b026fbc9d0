"""Finds the recipes that come with hf_mtl."""

from __future__ import annotations

from pathlib import Path

__all__ = ["description", "shipped_recipes"]


def shipped_recipes() -> dict[str, Path]:
    """Return the folders of the recipes by name: those of an installed package, else those of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for home in (package / "_recipes", package.parent / "recipes"):
        if found := {path.parent.name: path.parent for path in sorted(home.glob("*/recipe.yaml"))}:
            return found
    return {}


def description(folder: Path) -> str:
    """Return the first line of text of the recipe's README."""
    readme = folder / "README.md"
    lines = readme.read_text(encoding="utf-8").splitlines() if readme.is_file() else []
    return next((line for line in lines if line.strip() and not line.startswith("#")), "")
