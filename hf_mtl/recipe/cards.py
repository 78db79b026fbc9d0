"""The model cards of a finished run, from its files alone."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.recipe.card_facts import collect_facts
from hf_mtl.training.cards import draw_cards, say_if_without_pictures

__all__ = ["make_cards"]


def make_cards(run: str | Path, into: str | Path | None = None) -> list[Path]:
    """Write a run's cards, the JSON file that they are rendered from, and a picture of each task's losses.

    Args:
        run: The folder that `hf-mtl train` wrote.
        into: Another folder to write to; default: the run's own, each card beside its adapter.

    Returns:
        The cards.

    Raises:
        CheckpointError: The folder holds no finished run.
    """
    say_if_without_pictures()
    return draw_cards(
        collect_facts(run), Path(into or run), whole=into is not None
    )  # a run has drawn its own
