"""What is written to a terminal: no markup that nobody meant, and nothing from outside that a terminal acts on.

console = Terminal()
say(console, f"{path}: valid")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from hf_mtl.printable import printable

__all__ = ["Terminal", "plain", "say"]


@final
class Terminal(Console):
    """A console on which `[red]` and `:smile:` in a name are what they are, and control characters are written out.

    Args:
        stderr: Write to the standard error output.
        quiet: Write nothing.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; only the control sequences that rich makes itself stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def say(console: Console, text: str, style: str = "", *, wrap: bool = False) -> None:
    """Print text as it is, whatever it holds; unless `wrap`, lines stay whole so that they can be copied."""
    console.print(plain(text, style), soft_wrap=not wrap)


def plain(text: str, style: str = "") -> Text:
    """Text for any console as it is, whatever it holds."""
    return Text(printable(text), style=style)
