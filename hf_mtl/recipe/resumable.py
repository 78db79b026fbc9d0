"""Whether a checkpoint belongs to a recipe, found without the base's weights.

All rows to learn from are read and tokenised, as a trainer does when it is built: a resume recognises them by their
tokens. `datasets` keeps them, so that the run itself finds them there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_mtl.errors import CheckpointError, ConfigError, DataError
from hf_mtl.models import ConfiguredBase
from hf_mtl.recipe.factory import build
from hf_mtl.recipe.schema import Recipe
from hf_mtl.tasks import RowEncoder
from hf_mtl.training.building import row_source
from hf_mtl.training.checkpoints import Checkpoint, as_damage, asked_checkpoint, read_checkpoint
from hf_mtl.training.construction import with_lengths
from hf_mtl.training.given import arguments_document, task_document
from hf_mtl.training.owners import Shapes, check_shapes
from hf_mtl.training.resuming import check_run, check_trainer_state

__all__ = ["open_checkpoint", "resume_problems"]


def open_checkpoint(recipe: Recipe, resume: str) -> Checkpoint:
    """Open the checkpoint that a recipe is to go on from.

    Raises:
        CheckpointError: If it does not exist, or is not whole.
    """
    folder = asked_checkpoint(Path(recipe.output_dir), True if resume == "last" else resume)
    assert folder is not None
    checkpoint = read_checkpoint(folder)
    check_trainer_state(checkpoint)
    return checkpoint


def resume_problems(
    recipe: Recipe, checkpoint: Checkpoint, base: ConfiguredBase, shapes: Mapping[str, Shapes]
) -> list[str]:
    """What going on from a checkpoint would refuse; whether the base's weights are the same is not looked at.

    Args:
        recipe: A recipe that `load_recipe` has checked, whose rows and base are on this machine.
        checkpoint: The checkpoint.
        base: The recipe's base.
        shapes: By owner, the shapes of its parameters.
    """
    problems: list[str] = []
    try:
        now = _document(recipe, base)
        saved: Any = checkpoint.document("run")  # Any: plain JSON
        with as_damage(str(checkpoint.folder / "run.json")):
            check_run(saved, now, where=str(checkpoint.folder))
    except ConfigError as error:
        problems += error.problems
    except (CheckpointError, DataError) as error:
        problems.append(str(error))
    try:
        with as_damage(str(checkpoint.folder / "weights.safetensors")):
            check_shapes(shapes, _saved_shapes(checkpoint))
    except CheckpointError as error:
        problems.append(f"{checkpoint.folder}: {error}")
    return problems


def _saved_shapes(checkpoint: Checkpoint) -> dict[str, dict[str, tuple[int, ...]]]:
    """By owner, the shapes of the parameters that a checkpoint holds; learned scales are left out."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for path, tensor in checkpoint.tensors("weights").items():
        owner, key = json.loads(path)
        if not key.endswith(".scale"):
            found.setdefault(owner, {})[key] = tuple(tensor.shape)
    return found


def _document(recipe: Recipe, base: ConfiguredBase) -> dict[str, Any]:  # Any: plain JSON
    """What a run of the recipe writes of itself into its checkpoints, as far as it is known without weights.

    Raises:
        ConfigError: If a task cannot be trained on the base.
        DataError: If a row cannot be used.
    """
    run = build(recipe)
    tasks, problems = {}, []
    for name, task in with_lengths(run.suite, run.args).items():
        if task.train is None:
            continue
        number = recipe.tasks[name].adapter.get("num_virtual_tokens")
        virtual = number if isinstance(number, int) else 0
        encoder = RowEncoder(task, base.context(task.declared, virtual=virtual), virtual)
        source, settings, own = row_source(encoder, run.args, {})
        tasks[name] = task_document(task, source, settings)
        problems += own
    if problems:
        raise ConfigError(problems)
    model = recipe.model
    dtype = {"dtype": model.dtype} if model.dtype not in (None, "auto") and model.quantization is None else {}
    return {**arguments_document(run.args), **dtype, "tasks": tasks}
