"""Text or images: what a base reads, beside what a kind of task reads."""

from __future__ import annotations

from hf_mtl.errors import listing
from hf_mtl.tasks import KINDS, Kind

__all__ = ["medium_problems"]


def medium_problems(kind: Kind, *, images: bool, base: str) -> list[str]:
    """What is wrong with a kind that reads images on a base that reads text, or the other way round."""
    if kind.reads_images is images:
        return []
    reads = {True: "images", False: "text"}
    fitting = sorted(name for name, other in KINDS.items() if ("image" in other.roles) is images)
    return [
        f"the kind {kind.name!r} reads {reads[kind.reads_images]}, and the base, a {base}, reads {reads[images]}. "
        f"Choose another base, or one of the kinds {listing(fitting)}."
    ]
