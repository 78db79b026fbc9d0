"""Names in any script in a picture: by the fonts that are installed, else by boxes that say so.

matplotlib's own font has no Chinese, Japanese, Korean or emoji characters; it would draw a box for each, with a warning
per character.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hf_mtl.errors import listing
from hf_mtl.files import SeveralWrites, write_bytes
from hf_mtl.notices import logger_of

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["quiet_glyphs", "save_pngs"]

logger = logger_of(__name__)

_named: set[str] = set()  # characters that the log has named: a run draws a picture per card

BOX = "□"
OWN_FONT = "DejaVu Sans"  # comes with matplotlib
PLACEHOLDER = "Last Resort"  # another that comes with it, whose glyphs are boxes


def save_pngs(figures: Mapping[str | Path, Figure]) -> None:
    """Write figures as PNGs; characters that no installed font has become boxes, and the log says what to install.

    Args:
        figures: By the path of the file.

    Raises:
        WriteError: If one could not be written; the others are, and an older picture of its name is deleted.
    """
    writes, unknown = SeveralWrites(), {}
    for path, figure in figures.items():
        picture = io.BytesIO()
        unknown[path] = _draw(figure, picture)
        with writes.one(Path(path)):
            write_bytes(path, picture.getvalue(), durable=False)
    letters = sorted(set().union(*unknown.values()) - _named)
    if letters:
        _named.update(letters)
        logger.warning(
            "%s: no installed font has the characters %s; they are shown as %s. Install a font that has them, such as "
            "Noto Sans CJK, and draw the picture again.",
            listing(Path(path).name for path, own in unknown.items() if own), "".join(letters[:10]), BOX,
        )  # fmt: skip
    writes.check()


def _draw(figure: Figure, picture: BinaryIO) -> set[str]:
    """Draw a figure as a PNG; returns the characters that are boxes in it."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
    unknown = _take_fonts(texts)
    if not unknown:
        figure.savefig(picture, format="png")
        return unknown
    words = {text: text.get_text() for text in texts}
    ticks = {axis: [label.get_text() for label in axis.get_ticklabels()] for axis in _named_axes(figure)}
    boxes = _boxes([*words.values(), *(label for labels in ticks.values() for label in labels)], unknown)
    for axis, labels in ticks.items():  # an axis writes the labels of its ticks anew whenever it is drawn
        axis.set_ticklabels([boxes[label] for label in labels])
    for text, label in words.items():
        text.set_text(boxes[label])
    figure.savefig(picture, format="png")
    for axis, labels in ticks.items():
        axis.set_ticklabels(labels)
    for text, label in words.items():
        text.set_text(label)
    return unknown


@contextlib.contextmanager
def quiet_glyphs() -> Iterator[None]:
    """No warning for characters without a glyph: in an SVG texts stay texts, and the reader's browser has the font."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _take_fonts(texts: list[Text]) -> set[str]:
    """Give each text the fonts that it needs; returns the characters that none has."""
    letters = {letter for text in texts for letter in text.get_text() if letter.isprintable()}
    wanted = frozenset(letter for letter in letters if ord(letter) not in _letters_of_own_font())
    families, unknown = _fonts_for(wanted)
    for text in texts if families else ():
        if wanted & set(text.get_text()):
            text.set_fontfamily([OWN_FONT, *families])
    return set(unknown)


def _named_axes(figure: Figure) -> Iterator[Axis]:
    """The axes whose ticks have names in the place of numbers."""
    from matplotlib.ticker import FixedLocator

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                yield axis


def _boxes(words: Iterable[str], unknown: set[str]) -> dict[str, str]:
    """By text, what is shown of it; names that become the same boxes are numbered."""
    shown: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for word in dict.fromkeys(words):
        text = "".join(BOX if letter in unknown else letter for letter in word)
        counts[text] += text != word
        shown[word] = f"{text} ({counts[text]})" if counts[text] > 1 else text
    return shown


@lru_cache(maxsize=1)
def _letters_of_own_font() -> frozenset[int]:
    from matplotlib.font_manager import findfont

    return _letters_of(findfont(OWN_FONT))


@lru_cache(maxsize=8)
def _fonts_for(wanted: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Families of installed fonts that have these characters, and the characters that none has."""
    from matplotlib.font_manager import fontManager

    families, left = [], set(wanted)
    for entry in sorted(fontManager.ttflist, key=lambda font: (font.style, font.weight != 400, font.name)):
        if not left:
            break
        has = {letter for letter in left if ord(letter) in _letters_of(entry.fname)}
        if has and not entry.name.startswith(PLACEHOLDER):
            families.append(entry.name)
            left -= has
    return tuple(families), frozenset(left)


@cache
def _letters_of(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that went away or that FreeType cannot read has nothing for us
        return frozenset()
