"""Render the model cards of finished runs into this folder, or those that are here again.

python model_cards/render.py runs/quickstart runs/nlu   # collects cards.json from each run, draws, and renders
python model_cards/render.py                            # renders every cards.json here, after the template changed
"""

from __future__ import annotations

import sys
from pathlib import Path

from hf_mtl.export.cards import FACTS_FILE, write_cards
from hf_mtl.recipe import make_cards

HERE = Path(__file__).resolve().parent


def main(runs: list[str]) -> list[Path]:
    """Render, and return the cards."""
    if runs:
        return [card for run in runs for card in make_cards(run, HERE / Path(run).resolve().name)]
    return [card for facts in sorted(HERE.glob(f"*/{FACTS_FILE}")) for card in write_cards(facts.parent)]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{card}\n" for card in main(sys.argv[1:])))
