"""The YAML block of a card, in the terms of the Hub."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from huggingface_hub import EvalResult, ModelCardData

from hf_mtl.export.cards.escaping import one_line
from hf_mtl.export.cards.facts import Figure, RowsFacts, SuiteFacts, TaskFacts
from hf_mtl.export.cards.phrases import kind_words, metric_name, metric_type
from hf_mtl.repo_ids import is_repo_id

__all__ = ["suite_metadata", "task_metadata"]

LOSS = "loss"

_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")

# Those of the Hub's licences that need no name and no link beside them. Any other one is `other` with its name.
_LICENCES = frozenset(
    {
        "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigcode-openrail-m", "bigscience-bloom-rail-1.0",
        "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "cc",
        "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
        "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
        "cdla-sharing-1.0", "creativeml-openrail-m", "deepfloyd-if-license", "ecl-2.0", "epl-1.0", "epl-2.0",
        "etalab-2.0", "eupl-1.1", "eupl-1.2", "gemma", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl",
        "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "lppl-1.3c",
        "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "open-mdw", "openrail", "openrail++",
        "osl-3.0", "pddl", "postgresql", "unknown", "unlicense", "wtfpl", "zlib",
    }
)  # fmt: skip


def task_metadata(facts: SuiteFacts, task: TaskFacts) -> ModelCardData:
    """The metadata of one adapter."""
    return _metadata(facts, [task], name=one_line(task.name), tags=_method_tags([task]))


def suite_metadata(facts: SuiteFacts) -> ModelCardData:
    """The metadata of a whole suite."""
    return _metadata(
        facts, facts.tasks, name=one_line(facts.name), tags=("suite", *_method_tags(facts.tasks))
    )


def _metadata(
    facts: SuiteFacts, tasks: Iterable[TaskFacts], *, name: str, tags: Iterable[str]
) -> ModelCardData:
    tasks = list(tasks)
    licences = {task.licence for task in tasks}
    licence = licences.pop() if len(licences) == 1 else None
    results = _told_apart({task.name: _results(task) for task in tasks})
    pipelines = list(dict.fromkeys(kind_words(task.kind).pipeline_tag for task in tasks))
    known = licence in _LICENCES
    base = facts.base.hub_id if facts.base.hub_id and is_repo_id(facts.base.hub_id) else None
    return ModelCardData(
        base_model=base,
        base_model_relation=None if base is None else "adapter",  # the key goes through as it is
        library_name="peft",
        pipeline_tag=pipelines[0] if len(pipelines) == 1 and pipelines != ["other"] else None,
        language=_languages(tasks) or None,
        license=licence if known else None if licence is None else "other",
        license_name=None if known or licence is None else one_line(licence),
        datasets=_datasets(tasks) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        tags=list(dict.fromkeys(["hf_mtl", "multi-task", *tags])),
        model_name=name,
        eval_results=results or None,
    )


def _method_tags(tasks: Iterable[TaskFacts]) -> list[str]:
    return list(dict.fromkeys(task.peft_type.lower().replace("_", "-") for task in tasks))


def _languages(tasks: Iterable[TaskFacts]) -> list[str]:
    every = dict.fromkeys(language for task in tasks for language in task.languages)
    return [language for language in every if _LANGUAGE.fullmatch(language)]


def _datasets(tasks: Iterable[TaskFacts]) -> list[str]:
    every = dict.fromkeys(rows.hub_id for task in tasks for rows in task.rows if rows.hub_id)
    return [hub_id for hub_id in every if is_repo_id(hub_id)]


def _told_apart(by_task: Mapping[str, list[EvalResult]]) -> list[EvalResult]:
    """All results; of two tasks on the same rows the second names itself, or both would become one entry."""
    taken: dict[tuple[object, ...], str] = {}
    found: list[EvalResult] = []
    for name, results in by_task.items():
        for result in results:
            if taken.setdefault(result.unique_identifier, name) != name:
                result.dataset_config = one_line(name)
            found.append(result)
    return found


def _text(value: str | None) -> str | None:
    return None if value is None else one_line(value)


def _results(task: TaskFacts) -> list[EvalResult]:
    """The results after training, of metrics, or of the loss where there is nothing else."""
    measured = [figure for figure in task.figures if figure.value is not None and math.isfinite(figure.value)]
    shown = [figure for figure in measured if figure.metric != LOSS] or measured
    source = next((rows for rows in task.rows if rows.split == "eval"), None)
    return [_result(task, figure, source) for figure in shown]


def _result(task: TaskFacts, figure: Figure, source: RowsFacts | None) -> EvalResult:
    hub_id = source.hub_id if source is not None and source.hub_id and is_repo_id(source.hub_id) else None
    named = hub_id or (one_line(source.source) if source is not None else "held-out rows")
    value = figure.value
    assert value is not None
    return EvalResult(
        task_type=kind_words(task.kind).pipeline_tag,
        task_name=one_line(task.name),
        dataset_type=named,
        dataset_name=named,
        dataset_config=_text(source.config) if hub_id and source is not None else None,
        dataset_split=(_text(source.hub_split) if hub_id and source is not None else None) or "eval",
        dataset_revision=_text(source.revision) if hub_id and source is not None else None,
        metric_type=metric_type(figure.metric),
        metric_name=metric_name(figure.metric),
        metric_value=round(value, 6),
    )
