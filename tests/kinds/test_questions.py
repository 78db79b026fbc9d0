"""Extractive question answering: windows, borders, candidates, and the figures that follow from them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from kind_bases import TOKENIZERS
from kind_cases import KINDS, Ours, ours, question
from peft import LoraConfig, PeftModel
from plain_peft import shake
from stock_side import stock_base

from hf_mtl import TaskSuite
from hf_mtl.data import Example
from hf_mtl.errors import DataError
from hf_mtl.evaluation import Evaluator
from hf_mtl.export import save_suite
from hf_mtl.heads import Pool
from hf_mtl.tasks import Context, Outcome, QuestionAnswering, Task
from hf_mtl.tasks.kinds import Declared

LONG = (
    "John Smith lives in Paris and works for Acme . Mary wrote the book in 1999 ; it was great fun to sing , and a bad "
    "play with a poor actor . the river flows to the sea where the old film walks , awful !"
)
NULL = {
    "wordpiece": Pool.FIRST,
    "roberta": Pool.FIRST,
    "modernbert": Pool.FIRST,
    "bpe": Pool.LAST,
    "unigram": Pool.LAST,
}


def _context(name: str, longest: int = 40) -> Context:
    return Context(Declared(max_length=longest), TOKENIZERS[name](), NULL[name])


def _text(example: Example, row: dict[str, Any], context: Context) -> str:
    """The text between the borders of an example, read from the tokenizer's own offsets."""
    ids = example.input_ids
    first, last = (int(border) for border in example.targets)
    decoded = context.tokenizer.decode(ids[first : last + 1])
    assert isinstance(decoded, str)
    return decoded.strip()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_windows_overlap_and_cover_the_context(name: str) -> None:
    context = _context(name)
    kind = QuestionAnswering(doc_stride=6, unanswerable=True)
    row = question(LONG, "Acme", "who ?")
    examples = kind.examples(row, context)
    assert len(examples) > 1
    assert all(len(example.input_ids) <= 40 and example.truncated for example in examples)
    windows = list(kind._windows(row, context))
    spans = [[span for span in window.offsets if span[0] >= 0] for window in windows]
    for before, after in pairwise(spans):
        assert before[-6:] == after[:6]
    covered = {i for window in spans for start, stop in window for i in range(start, stop)}
    assert {i for i, character in enumerate(LONG) if not character.isspace()} <= covered
    [whole] = kind.examples(row, _context(name, longest=400))
    assert not whole.truncated


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("answer", ["John", "Smith lives in", "Acme", "1999", "!"])
def test_borders_are_the_answers(name: str, answer: str) -> None:
    context = _context(name)
    row = question(LONG, answer, "who ?")
    found = []
    for example in QuestionAnswering(doc_stride=6).examples(row, context):
        null = 0.0 if NULL[name] is Pool.FIRST else len(example.input_ids) - 1.0
        if example.targets != [null, null]:
            found.append(_text(example, row, context))
    assert found and set(found) == {answer}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_an_answer_that_no_window_holds_whole_is_learned_in_none(name: str) -> None:
    """With few shared tokens, an answer on the border of two windows is in neither of them."""
    context = _context(name)
    kind = QuestionAnswering(doc_stride=0)
    first, second, *_ = kind._windows(question(LONG, "Acme", "who ?"), context)
    last = max(stop for _, stop in first.offsets)
    start, stop = LONG.rindex(" ", 0, last - 1) + 1, LONG.index(" ", last + 1)
    examples = kind.examples(question(LONG, LONG[start:stop], "who ?"), context)
    for example in examples[:2]:
        null = 0.0 if NULL[name] is Pool.FIRST else len(example.input_ids) - 1.0
        assert example.targets == [null, null]
    assert second.offsets


CONTEXTS = {
    "leading blanks": ("   the river \n flows\tto  the sea  ", "flows"),
    "bytes": ("naïve 東京 😀 film", "東京"),
    "at the end": ("the sea", "sea"),
    "at the beginning": ("sea of fun", "sea"),
    "twice": ("the sea and the sea", "sea"),
}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("case", CONTEXTS)
def test_offsets_are_characters_of_the_context_as_it_is(name: str, case: str) -> None:
    body, answer = CONTEXTS[case]
    context, kind = _context(name, longest=60), QuestionAnswering(doc_stride=2)
    row = question(body, answer, "  who ? ")
    [example] = kind.examples(row, context)
    logits = np.zeros((len(example.input_ids), 2), dtype=np.float32)
    first, last = (int(border) for border in example.targets)
    logits[first, 0] = logits[last, 1] = 9.0
    [best, *_], _ = kind.candidates(row, [logits], context)
    assert best.text.strip() == answer
    assert body[best.start : best.stop] == best.text
    assert best.start <= body.index(answer) < best.stop


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_question_without_an_answer_points_at_the_place_for_a_whole_text(name: str) -> None:
    kind = QuestionAnswering(doc_stride=6, unanswerable=True)
    for example in kind.examples(question(LONG, "", "who ?"), _context(name)):
        null = 0.0 if NULL[name] is Pool.FIRST else len(example.input_ids) - 1.0
        assert example.targets == [null, null]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_question_that_is_too_long_is_told(name: str) -> None:
    with pytest.raises(
        DataError, match=r"the question has \d+ tokens, which leaves \d+ of a window of 40 for the con"
    ):
        QuestionAnswering(doc_stride=6).examples(question(LONG, "Acme", "who " * 30), _context(name))


def test_candidates_come_in_order_and_obey_their_limits() -> None:
    context = _context("wordpiece", longest=60)
    row = question("the river flows to the sea", "sea", "where ?")
    kind = QuestionAnswering(doc_stride=2, n_best=4, max_answer_length=3)
    [window] = kind._windows(row, context)
    inside = [place for place, span in enumerate(window.offsets) if span[0] >= 0]
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(len(window.offsets), 2)).astype(np.float32)
    logits[0] = 20.0  # the place for a whole text is no answer
    found, null = kind.candidates(row, [logits], context)
    assert null == 40.0
    assert [own.score for own in found] == sorted((own.score for own in found), reverse=True)
    assert 0 < len(found) <= 4
    starts, stops = (sorted(inside, key=lambda place: -logits[place, side])[:4] for side in (0, 1))
    allowed = {(a, b): float(logits[a, 0] + logits[b, 1]) for a in starts for b in stops if 0 <= b - a < 3}
    expected = sorted(allowed.items(), key=lambda pair: -pair[1])[:4]
    assert [own.score for own in found] == pytest.approx([score for _, score in expected])
    spans = [(window.offsets[a][0], window.offsets[b][1]) for (a, b), _ in expected]
    assert [(own.start, own.stop) for own in found] == spans


def test_no_answer_is_given_where_it_is_the_most_likely() -> None:
    context = _context("wordpiece", longest=60)
    row = question("the river flows to the sea", "", "where ?")
    kind = QuestionAnswering(doc_stride=2, unanswerable=True)
    [window] = kind._windows(row, context)
    logits = np.zeros((len(window.offsets), 2), dtype=np.float32)
    logits[0] = 0.5
    for threshold, refused in ((0.0, True), (2.0, False)):
        own = QuestionAnswering(doc_stride=2, unanswerable=True, null_threshold=threshold)
        [answer] = own.answers("answers", {0: [Outcome(0.0, 1.0, logits)]}, {0: row}, context).predictions
        assert (answer["prediction_text"] == "") is refused


@pytest.mark.parametrize("name", TOKENIZERS)
def test_no_answer_is_another_place_than_any_answer(name: str) -> None:
    context = _context(name, longest=60)
    kind = QuestionAnswering(doc_stride=2, unanswerable=True)
    asked = question("the river flows to the sea", "", "where ?")
    [window] = kind._windows(asked, context)
    [example] = kind.examples(asked, context)
    place = int(example.targets[0])
    assert window.offsets[place] == (-1, -1)
    logits = np.zeros((len(window.offsets), 2), dtype=np.float32)
    logits[place] = 0.5
    [answer] = kind.answers("answers", {0: [Outcome(0.0, 1.0, logits)]}, {0: asked}, context).predictions
    assert answer["prediction_text"] == ""


def _normal(text: str) -> list[str]:
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _f1(found: str, gold: str) -> float:
    read, wanted = _normal(found), _normal(gold)
    both = sum((Counter(read) & Counter(wanted)).values())
    return 2 * both / (len(read) + len(wanted)) if both else float(read == wanted)


def _decoded(plain: PeftModel, tokenizer: Any, row: dict[str, Any], *, longest: int, stride: int) -> str:
    """All windows, every pair of borders, the best score: nothing of ours."""
    encoded = tokenizer(
        row["question"], row["context"], truncation="only_second", max_length=longest, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    best, text = -np.inf, ""
    for i, ids in enumerate(encoded["input_ids"]):
        inputs = {
            "input_ids": torch.tensor([ids]),
            "token_type_ids": torch.tensor([encoded["token_type_ids"][i]]),
        }
        output = plain(**inputs)
        for first in range(len(ids)):
            for last in range(first, min(len(ids), first + 30)):
                if encoded.sequence_ids(i)[first] != 1 or encoded.sequence_ids(i)[last] != 1:
                    continue
                score = float(output.start_logits[0, first] + output.end_logits[0, last])
                if score > best:
                    offsets = encoded["offset_mapping"][i]
                    best, text = score, row["context"][offsets[first][0] : offsets[last][1]]
    return text


@pytest.fixture
def measured(bases: Callable[[str], Path], tmp_path: Path) -> tuple[Ours, Task, PeftModel]:
    rows = [question(LONG, answer, "who ?") for answer in ("John Smith", "Acme", "the book", "1999")]
    rows += [question("the river flows to the sea", "the sea", "where does it flow ?")]
    kind = QuestionAnswering(doc_stride=8, n_best=200)
    task = Task(
        "t", eval=Dataset.from_list(rows), kind=kind, max_length=32,
        adapter=LoraConfig(r=4, target_modules="all-linear"),
    )  # fmt: skip
    own = ours(bases("bert"), task, move=shake)
    save_suite(own.model, tmp_path, processor=own.processor)
    stock = stock_base(KINDS["spans"], "AutoModelForQuestionAnswering", bases("bert"))
    return own, task, PeftModel.from_pretrained(stock, tmp_path / "t").eval()


@torch.no_grad()
def test_answers_and_figures_are_those_of_the_stock_model(measured: tuple[Ours, Task, PeftModel]) -> None:
    own, task, plain = measured
    evaluator = Evaluator(own.model, own.processor, TaskSuite([task]), token_budget=100)
    outcomes = evaluator.outcomes()["t"]
    assert task.eval is not None
    assert len(own.sequences("t")) > len(task.eval)
    answers = task.own_kind.answers("answers", outcomes.found, outcomes.rows, outcomes.context)
    expected = [_decoded(plain, own.processor, row, longest=32, stride=8) for row in task.eval]
    assert [each["prediction_text"] for each in answers.predictions] == expected
    gold = [row["answers"]["text"][0] for row in task.eval]
    figures = evaluator.run()["t"]
    pairs = list(zip(expected, gold, strict=True))
    assert figures["f1"] == pytest.approx(100 * np.mean([_f1(*pair) for pair in pairs]))
    assert figures["exact_match"] == 100 * np.mean([_normal(a) == _normal(b) for a, b in pairs])
    assert figures["rows"] == 5
