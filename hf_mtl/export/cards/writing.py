"""The cards of a suite's folder."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.errors import CheckpointError
from hf_mtl.export.cards.facts import FACTS_FILE, SuiteFacts
from hf_mtl.export.cards.places import Places
from hf_mtl.export.cards.rendering import suite_card, task_card
from hf_mtl.files import SeveralWrites, make_folder, write_text

__all__ = ["CARD_FILE", "card_texts", "refresh_cards", "write_cards"]

CARD_FILE = "README.md"


def write_cards(folder: str | Path, places: Places | None = None) -> list[Path]:
    """Write a `README.md` into each adapter's folder and one for the suite.

    Args:
        folder: A run's folder with `cards.json`, which `hf-mtl train` leaves there.
        places: Where the suite is on the Hub; default: not there yet.

    Returns:
        The cards, that of the suite last.

    Raises:
        CheckpointError: There is no `cards.json`, or it is of another form or names a folder outside.
        WriteError: A card could not be written; the others are.
    """
    texts, writes = card_texts(folder, places), SeveralWrites()
    for path, text in texts.items():
        with writes.one():
            make_folder(path.parent)
            write_text(path, text, durable=False)
    writes.check()
    return list(texts)


def card_texts(folder: str | Path, places: Places | None = None) -> dict[Path, str]:
    """The text of each card that `write_cards` writes, by its file; arguments and errors as there."""
    folder = Path(folder)
    if not (folder / FACTS_FILE).is_file():
        raise CheckpointError(
            f"{folder} holds no {FACTS_FILE}; expected a folder that `hf-mtl train` wrote. For a run of an older "
            "version call hf_mtl.recipe.make_cards(folder)."
        )
    facts = SuiteFacts.load(folder / FACTS_FILE)
    places = places or Places()
    outside = [
        task.folder
        for task in facts.tasks
        if task.folder is not None and not (folder / task.folder).resolve().is_relative_to(folder.resolve())
    ]
    if outside:
        raise CheckpointError(
            f"{folder / FACTS_FILE} names folders outside its own: {outside}. It is refused."
        )
    texts = {
        folder / task.folder / CARD_FILE: task_card(facts, task, places)
        for task in facts.tasks
        if task.folder is not None
    }
    return texts | {folder / CARD_FILE: suite_card(facts, places)}


def refresh_cards(folder: str | Path, places: Places) -> bool:
    """Write the cards anew where a run left what they show; cards of another kind stay as they are.

    Returns:
        Whether there are such cards.
    """
    if not (Path(folder) / FACTS_FILE).is_file():
        return False
    write_cards(folder, places)
    return True
