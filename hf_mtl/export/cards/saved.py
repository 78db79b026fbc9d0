"""What a saved suite tells of one of its adapters."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from peft import PeftConfig

from hf_mtl.export.cards.facts import TaskFacts
from hf_mtl.export.cards.settings import adapter_settings
from hf_mtl.models.saved import WEIGHTS_FILE, Manifest, read_header
from hf_mtl.tasks import TaskForm

__all__ = ["saved_task"]


def saved_task(folder: Path, manifest: Manifest, name: str, form: TaskForm) -> TaskFacts:
    """A task's kind and form, its head, and its adapter's config and size.

    Args:
        folder: The suite's.
        manifest: What the suite says of itself.
        name: The task, which may have no adapter of its own there.
        form: What the task is.
    """
    head, place = manifest.heads.get(name), manifest.tasks.get(name)
    writes = "AutoModelForSeq2SeqLM" if form.kind.name == "seq2seq-lm" else "AutoModelForCausalLM"
    facts = TaskFacts(
        name=name,
        kind=form.kind.name,
        auto_class=writes if head is None else head.auto_class,
        multi_label=form.kind.multi_label,
        labels=form.declared.labels or (),
        columns=dict(form.declared.columns),
        template=form.content()["template"] if head is None else None,  # a head reads columns
        max_length=form.declared.max_length,
        ends=tuple(end.text for end in form.ends),
        outputs=None if head is None else head.spec.outputs,
    )
    if place is None:
        return facts
    config: PeftConfig = PeftConfig.from_pretrained(str(folder / place))
    adapter = adapter_settings(config)
    weights = read_header(folder / place / WEIGHTS_FILE, where=str(folder / place))
    return replace(
        facts,
        folder=place,
        peft_type=adapter.peft_type,
        rank=adapter.rank,
        served_by_vllm=adapter.served_by_vllm and head is None and writes == "AutoModelForCausalLM",
        parameters=sum(math.prod(entry.shape) for entry in weights.values()),
        adapter=adapter.settings,
    )
