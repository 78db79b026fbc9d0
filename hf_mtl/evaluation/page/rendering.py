"""From a run's story to the files that show it."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from hf_mtl.evaluation.glyphs import save_pngs
from hf_mtl.evaluation.page.inline_svg import inline_svg
from hf_mtl.evaluation.page.pictures import pictures_of
from hf_mtl.evaluation.page.sections import SECTIONS
from hf_mtl.evaluation.page.story import RunStory
from hf_mtl.evaluation.page.tables import tables_of
from hf_mtl.evaluation.page.verdict import verdict
from hf_mtl.evaluation.plots import NO_PICTURES, can_draw
from hf_mtl.files import SeveralWrites, make_folder, write_text
from hf_mtl.notices import logger_of
from hf_mtl.printable import shown

__all__ = ["PAGE_FILE", "STORY_FILE", "write_page"]

logger = logger_of(__name__)

PAGE_FILE = "index.html"
STORY_FILE = "story.json"

_TEMPLATE = "page.html.jinja"


def write_page(story: RunStory, folder: str | Path) -> Path:
    """Write the page, its pictures as PNGs and its data as JSON into a folder, which is made if need be.

    The page is one file that needs no other: styles and pictures are in it, and there are no scripts. Without
    matplotlib it has tables only, and names what it cannot show.

    Args:
        story: What is shown.
        folder: Gets `index.html`, `story.json` and a PNG per picture.

    Returns:
        The page's path.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = Path(folder)
    draws = can_draw()
    if not draws:
        logger.warning(NO_PICTURES)
    figures = pictures_of(story) if draws else {}
    make_folder(folder)
    writes = SeveralWrites()
    with writes.one():
        save_pngs({folder / f"{part}.png": figure for part, figure in figures.items()})
    for figure in figures.values():
        figure.set_layout_engine("none")  # the layout is found once; the second drawing keeps it
    # The only text that is not escaped: matplotlib has escaped the names in it.
    pictures = {part: Markup(inline_svg(figure, part)) for part, figure in figures.items()}
    text = importlib.resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    tables, recorded = tables_of(story), [section for section in SECTIONS if story.has(section.part)]
    page = environment.from_string(text).render(
        story=story,
        verdict=verdict(story),
        sections=[section for section in recorded if draws or section.part in tables],
        undrawn=[section for section in recorded if not draws and section.part not in tables],
        no_pictures="" if draws else NO_PICTURES,
        missing=[section for section in SECTIONS if not story.has(section.part)],
        tables=tables,
        pictures=pictures,
        notes={
            part: own.notes
            for part, own in (("relations", story.relations), ("cosines", story.cosines))
            if own is not None
        },
    )
    with writes.one():
        write_text(folder / PAGE_FILE, page + "\n", durable=False)
    with writes.one():
        story.save(folder / STORY_FILE)
    writes.check("The run itself is as it was.")
    return folder / PAGE_FILE
