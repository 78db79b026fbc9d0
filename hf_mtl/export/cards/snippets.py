"""How to use an adapter, as code that runs: with plain PEFT, with hf_mtl, with vLLM."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from hf_mtl.export.cards.facts import SuiteFacts, TaskFacts
from hf_mtl.export.cards.places import Place, Places
from hf_mtl.export.cards.plain_use import ANSWER_TOKENS, NO_BASE, example_prompt, plain_peft, quoted

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
    return (
        Snippet("With plain PEFT", "python", plain_peft(facts, task, place)),
        Snippet("With hf_mtl", "python", _hf_mtl(facts, task, place)),
        *_served(facts, [task], places),
    )


def suite_snippets(facts: SuiteFacts, places: Places) -> tuple[Snippet, ...]:
    """The snippets of a suite: plain PEFT with its first adapter, and all that vLLM can serve at once."""
    saved = [task for task in facts.tasks if task.folder is not None]
    if not saved:
        return ()
    place = places.of(facts, saved[0])
    return (
        Snippet(f"With plain PEFT: {saved[0].name}", "python", plain_peft(facts, saved[0], place)),
        Snippet(f"With hf_mtl: {saved[0].name}", "python", _hf_mtl(facts, saved[0], place)),
        *_served(facts, saved, places),
    )


def _served(facts: SuiteFacts, tasks: Sequence[TaskFacts], places: Places) -> list[Snippet]:
    served = [task for task in tasks if task.served_by_vllm]
    return (
        [Snippet("With vLLM", "bash", _vllm(facts, served, places))] if served and facts.base.hub_id else []
    )


def _hf_mtl(facts: SuiteFacts, task: TaskFacts, place: Place) -> str:
    """The adapter on a routed base, beside which others may be."""
    folder = "folder" if place.subfolder is None else "folder + " + quoted("/" + place.subfolder)
    patterns = "" if place.subfolder is None else f", allow_patterns={quoted(place.subfolder + '/*')}"
    lines = [
        "from huggingface_hub import snapshot_download",
        *(["from transformers import AutoTokenizer", ""] if task.outputs is None else [""]),
        "from hf_mtl.export import load_suite",
        *(["from hf_mtl.models import generate"] if task.outputs is None else []),
        "",
        f"folder = snapshot_download({quoted(place.repository)}{patterns})",
        f"model = load_suite({folder}, base={quoted(_source(facts))})",
    ]
    name = quoted(task.name)
    if task.outputs is not None:
        return "\n".join([*lines, f"print(model.labels.get({name}), model.auto_class({name}))"])
    return "\n".join(
        [
            *lines,
            f"tokenizer = AutoTokenizer.from_pretrained({folder})",
            f"prompt = {quoted(example_prompt(task))}",
            f"print(generate(model, tokenizer, {name}, [prompt], max_new_tokens={ANSWER_TOKENS}))",
        ]
    )


def _source(facts: SuiteFacts) -> str:
    """The very weights that the adapters were trained on, which the manifest's fingerprint asks for."""
    return f"asset:{facts.base.asset}" if facts.base.asset else facts.base.hub_id or NO_BASE


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
