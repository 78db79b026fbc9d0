"""How to use an adapter, as code that runs: with plain PEFT, with hf_mtl, with vLLM."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from hf_mtl.export.cards.facts import SuiteFacts, TaskFacts
from hf_mtl.export.cards.pipeline_use import pipeline_use
from hf_mtl.export.cards.places import Place, Places
from hf_mtl.export.cards.plain_use import plain_peft

__all__ = ["Snippet", "snippets_of", "suite_snippets"]

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class Snippet:
    """A piece of code.

    Args:
        title: What it is for.
        language: Of the code.
        code: The code.
    """

    title: str
    language: str
    code: str


def snippets_of(facts: SuiteFacts, task: TaskFacts, places: Places) -> tuple[Snippet, ...]:
    """The snippets of an adapter; vLLM's only where vLLM can take it."""
    place = places.of(facts, task)
    source = place.repository if place.subfolder is None else f"{place.repository}:{task.name}"
    return (
        Snippet("With plain PEFT", "python", plain_peft(facts, task, place)),
        Snippet("With hf_mtl", "python", pipeline_use(facts, [task], source)),
        *_served(facts, [task], places),
    )


def suite_snippets(facts: SuiteFacts, places: Places) -> tuple[Snippet, ...]:
    """The snippets of a suite: all its tasks at once, its first adapter with plain PEFT, what vLLM can serve."""
    saved = [task for task in facts.tasks if task.folder is not None]
    if not saved:
        return ()
    return (
        Snippet(
            "With hf_mtl, all tasks in one batch",
            "python",
            pipeline_use(facts, saved, places.suite_of(facts)),
        ),
        Snippet(
            f"With plain PEFT: {saved[0].name}",
            "python",
            plain_peft(facts, saved[0], places.of(facts, saved[0])),
        ),
        *_served(facts, saved, places),
    )


def _served(facts: SuiteFacts, tasks: Sequence[TaskFacts], places: Places) -> list[Snippet]:
    served = [task for task in tasks if task.served_by_vllm]
    return (
        [Snippet("With vLLM", "bash", _vllm(facts, served, places))] if served and facts.base.hub_id else []
    )


def _vllm(facts: SuiteFacts, tasks: Sequence[TaskFacts], places: Places) -> str:
    most = max(task.rank or 0 for task in tasks)
    rank = next((rank for rank in _VLLM_RANKS if rank >= most), most)
    places_of = {task.name: places.of(facts, task) for task in tasks}
    modules = []
    for task in tasks:
        place = places_of[task.name]
        source = place.repository if place.subfolder is None else f"./{place.subfolder}"
        modules.append(shlex.quote(f"{re.sub(_NO_NAME, '-', task.name).strip('-') or 'adapter'}={source}"))
    lines = _downloads(list(places_of.values()))
    return " \\\n  ".join(
        [
            "\n".join([*lines, f"vllm serve {shlex.quote(facts.base.hub_id or '')}"]),
            f"--enable-lora --max-lora-rank {rank}"
            + (f" --max-loras {len(tasks)}" if len(tasks) > 1 else ""),
            "--lora-modules " + " \\\n    ".join(modules),
        ]
    )


def _downloads(places: Sequence[Place]) -> list[str]:
    """The lines that fetch the folders of repositories, which vLLM does not take by themselves."""
    lines = []
    for repository in dict.fromkeys(place.repository for place in places if place.subfolder is not None):
        folders = [place.subfolder for place in places if place.repository == repository]
        only = f" --include {shlex.quote(f'{folders[0]}/*')}" if len(folders) == 1 else ""
        lines.append(f"hf download {shlex.quote(repository)}{only} --local-dir .")
    return lines
