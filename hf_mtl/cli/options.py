"""Arguments that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Changes", "RecipeFile"]

RecipeFile = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.", show_default=False)
]

Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one key, such as training.max_steps=10. May be repeated."
    ),
]
