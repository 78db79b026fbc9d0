"""Previews of rows as one HTML file that needs no other."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from hf_mtl.files import make_folder, write_text
from hf_mtl.printable import shown
from hf_mtl.recipe.preview_words import counts, visible
from hf_mtl.recipe.previewing import TaskPreview

__all__ = ["write_preview_page"]

_TEMPLATE = "preview.html.jinja"


def write_preview_page(previews: Sequence[TaskPreview], file: str | Path, *, title: str) -> Path:
    """Write previews as a page without scripts; everything that comes from rows is escaped.

    Args:
        previews: What is shown.
        file: The page; its folder is made if need be.
        title: What the page is called, such as the recipe's name.

    Returns:
        The page's path.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    environment.filters |= {"counts": counts, "visible": visible}
    text = importlib.resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    page = environment.from_string(text).render(previews=previews, title=title)
    path = Path(file)
    make_folder(path.parent)
    write_text(path, page + "\n", durable=False)
    return path
