"""What `hf-mtl train` would refuse of a recipe before its first evaluation, as far as it is known without weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from hf_mtl.data.assets import ASSET_PREFIX
from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.files import folder_problem
from hf_mtl.models import PACKABLE, ConfiguredBase
from hf_mtl.recipe.fitting import Fit, fit, fits_for_certain
from hf_mtl.recipe.row_checks import RowChecks, check_rows
from hf_mtl.recipe.sampling import away, open_base
from hf_mtl.recipe.schema import Recipe

if TYPE_CHECKING:
    from hf_mtl.training.checkpoints import Checkpoint

__all__ = ["rehearse"]


def rehearse(recipe: Recipe, *, resume: str | None = None) -> RowChecks:
    """Check what building and starting a trainer checks: rows, adapters on the base, folder, push, checkpoint.

    Args:
        recipe: A recipe that `load_recipe` has checked; nothing is downloaded.
        resume: The checkpoint to go on from, as `train` takes it. Then all rows to learn from are tokenised.

    Returns:
        What was found in the rows, with all other problems among its own.
    """
    problems = [*_problems_of_run(recipe)]
    checkpoint = None if resume is None else _open(recipe, resume, problems)
    base = _base(recipe, problems)
    rows = check_rows(recipe, base) if base is not None or away(recipe) is not None else RowChecks(0, ())
    notes: list[str] = []
    if base is None:
        notes += ["whether the adapters fit the base, without its configuration."]
        notes += [] if checkpoint is None else [f"whether {checkpoint.folder} belongs to the recipe."]
    else:
        fitted = _fitted(recipe, base, rows, problems, exactly=checkpoint is not None)
        notes += fitted.unchecked
        if checkpoint is not None:
            notes += _resumed(recipe, checkpoint, base, rows, fitted, problems)
    problems = list(dict.fromkeys([*problems, *rows.problems]))
    return replace(rows, problems=tuple(problems), unchecked=(*rows.unchecked, *notes))


def _problems_of_run(recipe: Recipe) -> Iterator[str]:
    """Problems of the run as a whole that are seen without its base."""
    if recipe.tasks and all(task.train is None for task in recipe.tasks.values()):
        yield "no task has rows to learn from: give at least one task its train file."
    if (problem := folder_problem(recipe.output_dir)) is not None:
        yield f"output_dir: {problem}."
    if recipe.training.get("push_to_hub"):
        from hf_mtl.export.hub import Hub

        for problem in Hub.problems():
            yield f"training.push_to_hub: {problem}"


def _open(recipe: Recipe, resume: str, problems: list[str]) -> Checkpoint | None:
    from hf_mtl.recipe.resumable import open_checkpoint

    try:
        return open_checkpoint(recipe, resume)
    except CheckpointError as error:
        problems.append(str(error))
        return None


def _base(recipe: Recipe, problems: list[str]) -> ConfiguredBase | None:
    if away(recipe) is not None:
        return None
    try:
        return open_base(recipe)
    except ConfigError as error:
        problems += error.problems
        return None


def _fitted(
    recipe: Recipe, base: ConfiguredBase, rows: RowChecks, problems: list[str], *, exactly: bool
) -> Fit:
    """The adapters on the base; those that are certain to fit are planned only where their shapes are wanted."""
    ours = (recipe.model.source or "").startswith(ASSET_PREFIX) and base.facts.model_type in PACKABLE
    if ours and fits_for_certain(recipe) and not exactly:
        return Fit()
    try:
        found = fit(recipe, rows.kinds)
    except ConfigError as error:
        problems += error.problems
    except CheckpointError as error:
        problems.append(str(error))
    else:
        problems += found.problems
        return found
    return Fit()


def _resumed(
    recipe: Recipe,
    checkpoint: Checkpoint,
    base: ConfiguredBase,
    rows: RowChecks,
    fitted: Fit,
    problems: list[str],
) -> list[str]:
    """Compare the recipe with the checkpoint; what was not compared is returned."""
    from hf_mtl.recipe.resumable import resume_problems

    if rows.problems or rows.unchecked:
        why = "are wrong" if rows.problems else "are not all on this machine"
        return [f"whether {checkpoint.folder} belongs to the recipe, whose rows {why}."]
    problems += resume_problems(recipe, checkpoint, base, fitted.shapes)
    return [
        f"whether the base's weights are those that {checkpoint.folder} was trained on; they are not read."
    ]
