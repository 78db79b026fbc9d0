"""What becomes of an argument of the stock Trainer where there are tasks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

__all__ = ["Honoured", "Refused", "Treatment"]


class Honoured(Enum):
    """Who gives an argument its effect."""

    HONOURED = "the trainer with tasks does what transformers documents"
    STOCK = "parts of transformers that work unchanged (trackers, processes, devices) read it"
    SCRIPT = "no Trainer reads it: it is there for scripts, and a recipe, which has none, refuses it"


@dataclass(frozen=True)
class Refused:
    """An argument that has no meaning with tasks; set to anything but its default, it is refused.

    Args:
        why: The reason.
        instead: What to do.
        neutral: Values that ask for nothing, beside the default.

    Example:
        >>> Refused("the base is frozen", "leave it out").text
        'the base is frozen; leave it out'
    """

    why: str
    instead: str
    neutral: tuple[object, ...] = ()

    @property
    def text(self) -> str:
        """Reason and way out, as a message gives them."""
        return f"{self.why}; {self.instead}"


Treatment: TypeAlias = Honoured | Refused
