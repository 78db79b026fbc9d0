"""`python -m tools.bases` tries every family and writes the table of docs/bases.md; with names it only prints."""

from __future__ import annotations

import logging
import sys

import torch
from rich.console import Console

from tools.bases.families import FAMILIES
from tools.bases.page import PAGE, table_of, with_table
from tools.bases.trying import outcome_of


def main(names: list[str]) -> None:
    """Try some families, or all and write the page."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    logging.getLogger("hf_mtl").setLevel(logging.ERROR)
    console = Console()
    verdicts = {}
    for name in names or FAMILIES:
        outcome = outcome_of(name)
        verdicts[name] = outcome.verdict
        console.print(
            f"{name}: {outcome.verdict} (exact {outcome.exact:.1e}, shared {outcome.shared:.1e})",
            markup=False,
        )
    if not names:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table_of(verdicts)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
