"""From a finished run's folder to what its model cards show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from hf_mtl.errors import CheckpointError
from hf_mtl.evaluation import ALONE, COMPARISON_FILE, Comparison, Report, TaskResult
from hf_mtl.evaluation.page import MIXTURE, REPORT_FILE, SINGLE, Share
from hf_mtl.export import Manifest
from hf_mtl.export.cards import SuiteFacts, TaskData, TaskFacts, saved_task
from hf_mtl.recipe.card_data import DATA, RunData
from hf_mtl.recipe.card_rows import rows_facts
from hf_mtl.recipe.declared import kind_of_spec, template_of
from hf_mtl.recipe.loading import RECIPE_FILE, read_resolved
from hf_mtl.recipe.schema import Recipe, TaskSpec
from hf_mtl.tasks import Declared, TaskForm
from hf_mtl.training.card_settings import run_settings, task_settings
from hf_mtl.training.cards import base_facts, figures_of_task

__all__ = ["collect_facts"]

_COMPARED = (ALONE, "joint")
_VERSIONS = ("hf_mtl", "torch", "transformers", "peft")


def collect_facts(folder: str | Path) -> SuiteFacts:
    """Read what a run left.

    Read are `recipe.yaml`, `hf_mtl.json` and `report.json`, and where they are there `data.json`, `mixture.json`,
    `single.json`, and a `comparison.json` in it, in the folder `NAME-compare` beside it, or in the folder of
    `hf-mtl compare` that it is in.

    Raises:
        CheckpointError: The folder holds no finished run, or a file of it cannot be read.
    """
    folder = Path(folder)
    for name in (RECIPE_FILE, REPORT_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} holds no {name}; expected a folder that `hf-mtl train` wrote.")
    recipe, manifest = read_resolved(folder / RECIPE_FILE), Manifest.load(folder)
    report, data = Report.load(folder / REPORT_FILE), DATA.read(folder) or RunData()
    comparison = _comparison(folder)
    return SuiteFacts(
        name=Path(recipe.output_dir).name or folder.resolve().name,
        base=base_facts(
            manifest, dtype=_text(report.model.get("dtype")), quantization=recipe.model.quantization
        ),
        tasks=tuple(
            _Task(folder, recipe, manifest, comparison).facts(
                name,
                result=next((own for own in report.results if own.task == name), TaskResult(name)),
                data=data.tasks.get(name, TaskData()),
                share=(MIXTURE.read(folder) or {}).get(name),
                alone=(SINGLE.read(folder) or {}).get(name, {}),
            )
            for name in recipe.tasks
        ),
        sharing=_named(recipe.sharing),
        objective=_named(recipe.objective),
        settings=run_settings(recipe.training),
        environment=_environment(report, data),
        seeds=() if comparison is None else comparison.seeds,
        isolation=_text(report.model.get("isolation")),
    )


def _environment(report: Report, data: RunData) -> dict[str, str]:
    told = {name: str(report.model[name]) for name in _VERSIONS if report.model.get(name) is not None}
    device = {"device": str(report.model["device"])} if report.model.get("device") else {}
    return {**told, **data.environment, **device}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _named(value: str | Mapping[str, object]) -> str:
    """A name, with its options in brackets."""
    if isinstance(value, str):
        return value
    options = ", ".join(f"{key}={own}" for key, own in value.items() if key not in ("name", "relations"))
    return f"{value.get('name')} ({options})" if options else str(value.get("name"))


def _comparison(folder: Path) -> Comparison | None:
    run = folder.resolve()
    for place in (run, run.with_name(f"{run.name}-compare"), run.parent.parent):
        if (place / COMPARISON_FILE).is_file():
            return Comparison.load(place / COMPARISON_FILE)
    return None


class _Task:
    """Makes the facts of the tasks of one run."""

    def __init__(
        self, folder: Path, recipe: Recipe, manifest: Manifest, comparison: Comparison | None
    ) -> None:
        self._folder, self._recipe, self._manifest = folder, recipe, manifest
        self._comparison = comparison

    def facts(
        self,
        name: str,
        *,
        result: TaskResult,
        data: TaskData,
        share: Share | None,
        alone: Mapping[str, float],
    ) -> TaskFacts:
        spec, manifest = self._recipe.tasks[name], self._manifest
        form = manifest.forms.get(name) or _form(spec, manifest, name)
        return replace(
            saved_task(self._folder, manifest, name, form),
            about=spec.card.about,
            settings=task_settings(dict(spec)),
            rows=rows_facts(spec, data),
            samples=data.samples,
            image_mode=data.image_mode,
            image_size=data.image_size,
            figures=figures_of_task(result, alone=alone, over_seeds=partial(self._over_seeds, result.task)),
            evaluated_rows=result.rows,
            chosen_by=_chosen_by(spec, self._recipe),
            losses=tuple((step, loss) for step, loss in result.losses if math.isfinite(loss)),
            steps=None if share is None else share.steps,
            examples=None if share is None else share.examples,
            tokens=None if share is None else share.tokens,
            seconds=result.seconds,
            licence=spec.card.license,
            languages=spec.card.language,
        )

    def _over_seeds(self, task: str, metric: str) -> dict[str, str]:
        compared = self._comparison
        if compared is None or metric not in compared.greater_is_better.get(task, {}):
            return {}
        ways = [variant.name for variant in compared.variants if variant.name in _COMPARED]
        return {way: compared.score(way, task, metric).text() for way in ways}


def _form(spec: TaskSpec, manifest: Manifest, name: str) -> TaskForm:
    """The form of a task whose manifest does not know it, as of older versions."""
    head = manifest.heads.get(name)
    labels = spec.labels if isinstance(spec.labels, tuple) else None if head is None else head.labels
    declared = Declared(columns=spec.columns, labels=labels, max_length=spec.max_length)
    if spec.template is not None:
        declared = replace(declared, template=template_of(spec.template))
    return TaskForm(kind_of_spec(spec), declared, spec.template is not None)


def _chosen_by(spec: TaskSpec, recipe: Recipe) -> str | None:
    if spec.metric_for_best_model is not None:
        return spec.metric_for_best_model
    if not recipe.training.get("load_best_model_at_end"):
        return None
    return str(recipe.training.get("metric_for_best_model") or "loss")
