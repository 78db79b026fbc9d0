"""A recipe made small: a few rows and two rounds, to see that everything in it works."""

from __future__ import annotations

from hf_mtl.recipe.schema import Recipe, TaskSpec

__all__ = ["smoked"]

_ROWS = 24
_ROUNDS = 2
_SUFFIX = "-smoke"


def smoked(recipe: Recipe) -> Recipe:
    """The same tasks on a few rows for two rounds, in a folder of their own.

    >>> from hf_mtl.recipe.schema import ModelSpec
    >>> smoked(Recipe(model=ModelSpec(id="someone/model"), output_dir="runs/mine")).output_dir
    'runs/mine-smoke'
    """
    training = {
        name: value
        for name, value in recipe.training.items()
        if not name.startswith(("eval_", "save_", "warmup_", "num_train"))
        and name != "load_best_model_at_end"
    }
    training |= {"max_steps": _ROUNDS, "logging_steps": 1, "save_strategy": "no"}
    model = recipe.model
    if model.adapters is not None:
        model = model.model_copy(update={"adapters": model.adapters + _SUFFIX})
    return recipe.model_copy(
        update={
            "model": model,
            "output_dir": recipe.output_dir + _SUFFIX,
            "tasks": {name: _few(task) for name, task in recipe.tasks.items()},
            "training": training,
        }
    )


def _few(task: TaskSpec) -> TaskSpec:
    left_out = (
        "warmup_steps",
        "max_steps",
        "metric_for_best_model",
        "greater_is_better",
        "early_stopping_patience",
    )
    return task.model_copy(
        update={"max_train_rows": _ROWS, "max_eval_rows": _ROWS, **dict.fromkeys(left_out)}
    )
