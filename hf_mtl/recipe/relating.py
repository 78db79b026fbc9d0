"""Relations of a finished run's tasks: what the run says of how much they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.evaluation.page import COSINES_FILE, RunStory, collect_story, main_score
from hf_mtl.models import learned_relations, lora_layers
from hf_mtl.recipe.finished import FinishedRun
from hf_mtl.relations import Relations, pearson

__all__ = ["SOURCES", "relations_of_run"]


def relations_of_run(folder: Path, by: str, *, tau: float = 1.0) -> Relations:
    """Return how much the tasks of a run have in common.

    Args:
        folder: What `run_recipe` left.
        by: `cosines`: the mean cosines of their gradients of shared parameters, if the run kept them
            (`training.gradient_cosines`). `results`: Pearson's correlation of their main figures over the evaluations
            made during training (`training.eval_strategy`). `adapters`: learned of the distances between their LoRAs.
        tau: Of `adapters`: small ones put all weight on the nearest task (`LearnedRelations`).

    Raises:
        ConfigError: The run has not kept what it takes.
        CheckpointError: The folder holds no such run.
    """
    return SOURCES[by](folder, tau)


def _by_cosines(folder: Path, _: float) -> Relations:
    if not (folder / COSINES_FILE).is_file():
        raise CheckpointError(
            f"{folder} holds no {COSINES_FILE}; it is written by runs whose tasks share parameters, with "
            f"`training: {{gradient_cosines: true}}`. Train so, or relate by 'results' or 'adapters'."
        )
    return Relations.load(folder / COSINES_FILE)


def _by_results(folder: Path, _: float) -> Relations:
    story = collect_story(folder)
    curves = {result.task: curve for result in story.results if (curve := _main_curve(story, result.task))}
    missing = [task for task in story.tasks if task not in curves]
    common = set.intersection(*(set(curve) for curve in curves.values())) if curves else set()
    if missing or not common:
        raise ConfigError(
            f"{folder}: every task must have been measured in the same rounds, several times during training; "
            f"{', '.join(map(repr, missing)) or 'the tasks'} {'was' if len(missing) == 1 else 'were'} not. Train with "
            f"`training: {{eval_strategy: steps, eval_steps: N}}`."
        )
    return pearson(
        {task: [curve[at] for at in sorted(common)] for task, curve in curves.items()}, "checkpoints"
    )


def _main_curve(story: RunStory, task: str) -> dict[int, float]:
    """A task's main figure by round, greater ones better."""
    score = next((main_score(result) for result in story.results if result.task == task), None)
    if score is None:
        return {}
    sign = 1 if score.greater_is_better else -1
    return {at: sign * value for at, value in story.evaluations.get(score.metric, {}).get(task, ())}


def _by_adapters(folder: Path, tau: float) -> Relations:
    run = FinishedRun(folder)
    return learned_relations(lora_layers(run.model, tuple(run.manifest.tasks)), tau)


SOURCES: Mapping[str, Callable[[Path, float], Relations]] = MappingProxyType(
    {"cosines": _by_cosines, "results": _by_results, "adapters": _by_adapters}
)
"""By name, what makes relations of a run's folder."""
