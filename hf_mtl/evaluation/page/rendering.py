"""From a run's story to the files that show it."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from hf_mtl.evaluation.page.inline_svg import inline_svg
from hf_mtl.evaluation.page.pictures import pictures_of
from hf_mtl.evaluation.page.sections import SECTIONS
from hf_mtl.evaluation.page.story import RunStory
from hf_mtl.evaluation.page.tables import tables_of
from hf_mtl.evaluation.page.verdict import verdict

__all__ = ["PAGE_FILE", "STORY_FILE", "write_page"]

PAGE_FILE = "index.html"
STORY_FILE = "story.json"

_TEMPLATE = "page.html.jinja"


def write_page(story: RunStory, folder: str | Path) -> Path:
    """Write the page, its pictures as PNGs and its data as JSON into a folder, which is made if need be.

    The page is one file that needs no other: styles and pictures are in it, and there are no scripts.

    Args:
        story: What is shown.
        folder: Gets `index.html`, `story.json` and a PNG per picture.

    Returns:
        The page's path.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = Path(folder)
    figures = pictures_of(story)
    folder.mkdir(parents=True, exist_ok=True)
    for part, figure in figures.items():
        figure.savefig(folder / f"{part}.png", format="png")
        figure.set_layout_engine("none")  # the layout is found once; the second drawing keeps it
    # The only text that is not escaped: matplotlib has escaped the names in it.
    pictures = {part: Markup(inline_svg(figure, part)) for part, figure in figures.items()}
    text = importlib.resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(text).render(
        story=story,
        verdict=verdict(story),
        sections=[section for section in SECTIONS if story.has(section.part)],
        missing=[section for section in SECTIONS if not story.has(section.part)],
        tables=tables_of(story),
        pictures=pictures,
        notes={
            part: own.notes
            for part, own in (("relations", story.relations), ("cosines", story.cosines))
            if own is not None
        },
    )
    (folder / PAGE_FILE).write_text(page + "\n", encoding="utf-8")
    story.save(folder / STORY_FILE)
    return folder / PAGE_FILE
