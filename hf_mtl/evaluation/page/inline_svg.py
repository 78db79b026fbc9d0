"""A matplotlib figure as SVG that stands inside a page and takes its colours from it."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from hf_mtl.evaluation.glyphs import quiet_glyphs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

PAGE_WIDTH = 8.0  # inches

# What is black or a grid line in the file follows the page, which may be dark.
_FROM_PAGE = {"#000000": "currentColor", "#e6e6e6": "var(--line)"}
_COLOR = re.compile("|".join(_FROM_PAGE))
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(figure: Figure, name: str) -> str:
    """Return `<svg>...</svg>` with texts as texts, no references to anything outside, and no scripts.

    Args:
        figure: The figure; it takes as much of the page's width as it has of `PAGE_WIDTH`.
        name: Unlike that of the page's other pictures: the identifiers in the SVG depend on it.
    """
    import matplotlib

    target = io.StringIO()
    with quiet_glyphs(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(target, format="svg", transparent=True)
    root = ET.fromstring(target.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if _tag(child) in (
                "metadata",
                "style",
            ):  # names of vocabularies, and rules that would reach the page
                parent.remove(child)
    used = set(_references(root))
    for element in root.iter():
        element.tag = _tag(element)
        _clean(element, used)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    # The rules of the removed style.
    root.attrib |= {"viewBox": box, "role": "img", "stroke-linejoin": "round", "stroke-linecap": "butt"}
    root.attrib["style"] = f"max-width: {min(100.0, 100 * figure.get_figwidth() / PAGE_WIDTH):.0f}%"
    return ET.tostring(root, encoding="unicode")


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _references(root: ET.Element) -> list[str]:
    found = []
    for element in root.iter():
        for key, value in element.attrib.items():
            found += _REFERENCE.findall(value)
            if key.endswith("href") and value.startswith("#"):
                found.append(value[1:])
    return found


def _clean(element: ET.Element, used: set[str]) -> None:
    """Colours from the page, attributes without namespaces, and no identifier that nothing refers to."""
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    if attributes.get("id") not in used:
        attributes.pop("id", None)
    if "style" in attributes:
        attributes["style"] = _COLOR.sub(lambda match: _FROM_PAGE[match[0]], attributes["style"])
    if element.tag == "text" and "fill" not in attributes.get("style", ""):
        attributes["fill"] = "currentColor"
    element.attrib.clear()
    element.attrib.update(attributes)
