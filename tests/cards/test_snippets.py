"""The code on a card runs as it stands: every kind, with tiny bases and adapters in the place of the Hub's."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kind_cases import KINDS, ours, task_of
from markdown_it import MarkdownIt
from plain_peft import shake
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import EndFinder
from hf_mtl.export import Manifest, save_suite
from hf_mtl.export.cards import (
    BaseFacts,
    Places,
    SuiteFacts,
    TaskFacts,
    data_of,
    saved_task,
    suite_card,
    task_card,
)
from hf_mtl.export.cards.examples import example_prompt
from hf_mtl.tasks import EncodedSplit, Task
from hf_mtl.versions import installed

SUITES = {
    "llama": ("causal-lm", "chat", "label-scoring", "single-label"),
    "bert": ("pair", "multi-label", "regression of 3", "tags", "spans"),
    "t5": ("seq2seq-lm",),
    "vit": ("images",),
}
CASES = [(base, kind) for base, kinds in SUITES.items() for kind in kinds]
NUMBER = re.compile(r"-?\d+\.\d+(e-?\d+)?")  # scores, whose last digits turn on the neighbours of a batch


def facts_of(task: Task, folder: Path, manifest: Manifest, splits: Mapping[str, EncodedSplit]) -> TaskFacts:
    data = data_of(task, splits, shown=True)
    return replace(
        saved_task(folder, manifest, task.name, manifest.forms[task.name]),
        samples=data.samples,
        image_mode=data.image_mode,
        image_size=data.image_size,
    )


def blocks(card: str) -> list[str]:
    """The Python of a card, as a reader of the page copies it."""
    return [own.content for own in MarkdownIt().parse(card) if own.type == "fence" and own.info == "python"]


def here(code: str, base: Path, suite: Path) -> str:
    """The code with this machine's folders in the place of the Hub's repositories."""
    code = re.sub(r'"your-name/suite(:[^"]*)?"', lambda found: repr(str(suite) + (found[1] or "")), code)
    code = code.replace('"tests/base"', repr(str(base)))
    assert "your-name" not in code and "tests/base" not in code
    if installed("transformers") < (5, 18):  # the name at the top level asks for torchvision there
        own = "from transformers.models.auto.image_processing_auto import AutoImageProcessor"
        code = re.sub(
            "from transformers import AutoImageProcessor, ", f"{own}\nfrom transformers import ", code
        )
    return code


@dataclass(frozen=True)
class Saved:
    """A suite on disk, and what its cards show."""

    base: Path
    folder: Path
    facts: SuiteFacts

    def said(self, code: str, capsys: pytest.CaptureFixture[str]) -> str:
        """What a piece of code prints."""
        capsys.readouterr()
        exec(compile(here(code, self.base, self.folder), "card", "exec"), {})
        return capsys.readouterr().out


@pytest.fixture(scope="module")
def saved(bases: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Saved]:
    """Gives the suite of all kinds on a base."""

    @functools.cache
    def made(base: str) -> Saved:
        tasks = {kind: task_of(kind, KINDS[kind]) for kind in SUITES[base]}
        # A copy: other tests use the one of `bases` as it is.
        place = tmp_path_factory.mktemp("bases-of-cards") / base
        shutil.copytree(bases(base), place)
        own = ours(place, *tasks.values(), dtype="float32", move=shake)
        if base != "vit":  # with the chat template, as a chat model has it on the Hub
            own.processor.save_pretrained(str(place))
        for kind, task in tasks.items():
            if task.own_kind.shape is None:
                assert isinstance(own.processor, PreTrainedTokenizerBase)
                EndFinder(kind, own.processor, own.model.ends).add_rows(own.splits[kind].labelled())
        folder = tmp_path_factory.mktemp("suites") / "suite"
        manifest = save_suite(own.model, folder, processor=own.processor, tasks=tasks)
        facts = [
            facts_of(task, folder, manifest, {"train": own.splits[kind]}) for kind, task in tasks.items()
        ]
        return Saved(place, folder, SuiteFacts("suite", BaseFacts("tests/base"), tuple(facts)))

    return made


@pytest.mark.parametrize(("base", "kind"), CASES)
def test_snippets_run(
    saved: Callable[[str], Saved], capsys: pytest.CaptureFixture[str], base: str, kind: str
) -> None:
    suite = saved(base)
    facts = next(task for task in suite.facts.tasks if task.name == kind)
    plain, with_hf_mtl = blocks(task_card(suite.facts, facts, Places()))
    first, second = suite.said(plain, capsys), suite.said(with_hf_mtl, capsys)
    assert ("generation_config=config" in plain) is (facts.outputs is None)  # what ends its answers
    if facts.labels and facts.outputs is not None and not facts.multi_label:
        assert any(label in first.split() for label in facts.labels)
        assert any(label.removeprefix("B-").removeprefix("I-") in second for label in facts.labels)
    assert first and len(second.splitlines()) == 1, second


@pytest.mark.parametrize("base", SUITES)
def test_a_suites_snippet_asks_all_its_tasks(
    saved: Callable[[str], Saved], capsys: pytest.CaptureFixture[str], base: str
) -> None:
    suite = saved(base)
    together, _ = blocks(suite_card(suite.facts, Places()))
    alone = [blocks(task_card(suite.facts, facts, Places()))[1] for facts in suite.facts.tasks]
    answers = suite.said(together, capsys).splitlines()
    assert len(answers) == len(SUITES[base])
    for answer, code in zip(answers, alone, strict=True):
        assert re.sub(NUMBER, "", answer) == re.sub(NUMBER, "", suite.said(code, capsys).strip())


def test_both_ways_of_writing_give_the_same_answer(
    saved: Callable[[str], Saved], capsys: pytest.CaptureFixture[str]
) -> None:
    suite = saved("llama")
    facts = next(task for task in suite.facts.tasks if task.name == "causal-lm")
    plain, with_hf_mtl = (
        suite.said(code, capsys).rstrip("\n") for code in blocks(task_card(suite.facts, facts, Places()))
    )
    assert eval(with_hf_mtl) == [{"generated_text": example_prompt(facts) + plain}]
