"""The code on a card runs as it stands: every kind, with tiny bases and adapters in the place of the Hub's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from kind_cases import KINDS, ours, task_of
from markdown_it import MarkdownIt
from plain_peft import shake

from hf_mtl.export import Manifest, save_suite
from hf_mtl.export.cards import BaseFacts, Places, SuiteFacts, TaskFacts, task_card
from hf_mtl.recipe.card_data import data_of
from hf_mtl.recipe.schema import CardSpec, RowsSpec, TaskSpec
from hf_mtl.tasks import Task

SUITES = {
    "llama": ("causal-lm", "chat", "label-scoring", "single-label"),
    "bert": ("pair", "multi-label", "regression of 3", "tags", "spans"),
    "t5": ("seq2seq-lm",),
    "vit": ("images",),
}
CASES = [(base, kind) for base, kinds in SUITES.items() for kind in kinds]
SHOWN = TaskSpec(train=RowsSpec(source="rows"), card=CardSpec(rows_license="mit"))


def facts_of(task: Task, manifest: Manifest, splits: Mapping[str, object]) -> TaskFacts:
    form, head = manifest.forms[task.name], manifest.heads.get(task.name)
    data = data_of(task, SHOWN, splits)  # type: ignore[arg-type]
    writes = "AutoModelForSeq2SeqLM" if form.kind.name == "seq2seq-lm" else "AutoModelForCausalLM"
    return TaskFacts(
        name=task.name,
        kind=form.kind.name,
        auto_class=writes if head is None else head.auto_class,
        folder=manifest.tasks[task.name],
        multi_label=form.kind.multi_label,
        labels=form.declared.labels or (),
        columns=dict(form.declared.columns),
        template=form.content()["template"],
        max_length=form.declared.max_length,
        outputs=None if head is None else head.spec.outputs,
        samples=data.samples,
        image_mode=data.image_mode,
        image_size=data.image_size,
    )


def blocks(card: str) -> list[str]:
    """The Python of a card, as a reader of the page copies it."""
    return [own.content for own in MarkdownIt().parse(card) if own.type == "fence" and own.info == "python"]


def here(code: str, base: Path, suite: Path) -> str:
    """The code with this machine's folders in the place of the Hub's repositories."""
    code = re.sub(r'snapshot_download\("your-name/suite"[^)]*\)', repr(str(suite)), code)
    code = code.replace('"your-name/suite"', repr(str(suite))).replace('"tests/base"', repr(str(base)))
    assert "your-name" not in code and "tests/base" not in code
    return code


@pytest.mark.parametrize(("base", "kind"), CASES)
def test_snippets_run(
    bases: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str, kind: str
) -> None:
    task = task_of(kind, KINDS[kind])
    own = ours(bases(base), task, dtype="float32", move=shake)
    if base != "vit":
        own.processor.save_pretrained(
            str(bases(base))
        )  # with the chat template, as a chat model has it on the Hub
    manifest = save_suite(own.model, tmp_path / "suite", processor=own.processor, tasks={kind: task})
    facts = facts_of(task, manifest, {"train": own.splits[kind]})
    card = task_card(SuiteFacts("suite", BaseFacts("tests/base"), (facts,)), facts, Places())
    plain, with_hf_mtl = blocks(card)
    for code in (plain, with_hf_mtl):
        capsys.readouterr()
        exec(compile(here(code, bases(base), tmp_path / "suite"), "card", "exec"), {})
        said = capsys.readouterr().out
        assert said, code
        if facts.labels and code is plain and facts.outputs is not None and not facts.multi_label:
            assert any(label in said.split() for label in facts.labels)


def test_both_ways_of_writing_give_the_same_answer(
    bases: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = task_of("causal-lm", KINDS["causal-lm"])
    own = ours(bases("llama"), task, dtype="float32", move=shake)
    manifest = save_suite(own.model, tmp_path / "suite", processor=own.processor, tasks={"causal-lm": task})
    facts = facts_of(task, manifest, {"train": own.splits["causal-lm"]})
    card = task_card(SuiteFacts("suite", BaseFacts("tests/base"), (facts,)), facts, Places())
    said = []
    for code in blocks(card):
        capsys.readouterr()
        exec(compile(here(code, bases("llama"), tmp_path / "suite"), "card", "exec"), {})
        said.append(capsys.readouterr().out.rstrip("\n"))
    assert [said[0]] == eval(said[1])
