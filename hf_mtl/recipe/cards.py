"""The model cards of a finished run, from its files alone."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.evaluation import plot_losses
from hf_mtl.export.cards import FACTS_FILE, LOSS_CURVE_FILE, TaskFacts, write_cards
from hf_mtl.recipe.card_facts import collect_facts

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
        ConfigError: matplotlib is not installed.
    """
    facts = collect_facts(run)
    folder = Path(into or run)
    folder.mkdir(parents=True, exist_ok=True)
    facts.save(folder / FACTS_FILE)
    drawn = [task for task in facts.tasks if len(task.losses) > 1]
    for task in drawn:
        if task.folder is not None:
            (folder / task.folder).mkdir(parents=True, exist_ok=True)
            _draw([task], folder / task.folder / LOSS_CURVE_FILE)
    if drawn and into is not None:  # a run has drawn its own
        _draw(drawn, folder / LOSS_CURVE_FILE)
    return write_cards(folder)


def _draw(tasks: list[TaskFacts], path: Path) -> None:
    names = [task.name for task in tasks]
    points = [
        {"step": step, "loss": loss, f"{task.name}/loss": loss}
        for task in tasks
        for step, loss in task.losses
    ]
    plot_losses(points, names, path)
