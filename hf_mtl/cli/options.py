"""Arguments that several verbs take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from hf_mtl.bounds import Bounds

__all__ = ["Changes", "RecipeFile", "Resume", "within"]

Value = TypeVar("Value")


def within(bounds: Bounds) -> Callable[[Value], Value]:
    """A check of an option that is a number, or a list of them, as typer's `callback`."""

    def check(value: Value) -> Value:
        for number in value if isinstance(value, list) else [value]:
            if number is not None and (problem := bounds.problem(number)) is not None:
                raise typer.BadParameter(problem)
        return value

    return check


RecipeFile = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.", show_default=False)
]

Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one key, such as training.max_steps=10. May be repeated."
    ),
]

Resume = Annotated[
    str | None,
    typer.Option(
        metavar="CHECKPOINT",
        help="Go on from a checkpoint's folder, or from the `last` whole one of the run.",
    ),
]
