"""Evaluation in shared passes against the same figures taken one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl import PromptCompletion, RoutedModel, Task, TaskSuite
from hf_mtl.evaluation import Evaluator
from hf_mtl.models import generate

LABELS = ["walked", "ran", "walked on", "sang a lot"]


def _suite() -> TaskSuite:
    verbs = [{"lemma": "walk" * (1 + i % 3), "past": LABELS[i % 4]} for i in range(9)]
    words = [{"text": "good " * (1 + i % 4), "label": "fine"} for i in range(5)]
    texts: dict[str, Any] = {"metrics": ["exact_match", _share_of_equal]}
    return TaskSuite(
        [
            Task("z", eval=Dataset.from_list(verbs), template=PromptCompletion("{lemma}:", " {past}"), labels=LABELS,
                 metrics=["exact_match", "accuracy"]),
            Task("a", eval=Dataset.from_list(words), template=PromptCompletion("{text}", " {label}"), **texts),
        ]
    )  # fmt: skip


def _share_of_equal(predictions: Any, references: Any) -> dict[str, float]:
    return {"equal": sum(p == r for p, r in zip(predictions, references, strict=True)) / len(references)}


@pytest.fixture
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_llama)
    return loaded


@pytest.fixture
def evaluator(tiny_llama: Path, tokenizer: PreTrainedTokenizerBase) -> Evaluator:
    model = RoutedModel(AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float64))
    suite = _suite()
    for name, task in suite.items():
        model.add_adapter(name, task.adapter, seed=1)  # type: ignore[arg-type]
        for parameter in model.adapter_parameters(name).values():
            torch.nn.init.normal_(parameter, std=0.2)
    return Evaluator(model, tokenizer, suite, token_budget=60)


def test_figures_equal_those_taken_row_by_row(
    evaluator: Evaluator, tokenizer: PreTrainedTokenizerBase
) -> None:
    seen: list[tuple[int, int]] = []
    figures = evaluator.run(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (14, 14) and len(seen) > 2, "a small budget takes several passes"
    task = evaluator.tasks["z"]
    losses, tokens, exact, ranked = 0.0, 0, 0, 0
    for row in task.eval:  # type: ignore[union-attr]
        prompt = tokenizer(row["lemma"] + ":")["input_ids"]
        scores = {}
        for label in LABELS:
            completion = tokenizer(" " + label, add_special_tokens=False)["input_ids"]
            ids = prompt + completion + [tokenizer.eos_token_id]
            with torch.no_grad(), evaluator.model.route("z") as base:
                log_p = base(torch.tensor([ids])).logits[0].log_softmax(-1)
            steps = [
                log_p[len(prompt) - 1 + i, token].item() for i, token in enumerate([*completion, ids[-1]])
            ]
            scores[label] = sum(steps[:-1])
            if label == row["past"]:
                losses -= sum(steps)
                tokens += len(steps)
        answer = generate(evaluator.model, tokenizer, "z", [row["lemma"] + ":"], max_new_tokens=12)[0]
        exact += answer == " " + row["past"]
        ranked += max(scores, key=scores.__getitem__) == row["past"]
    assert figures["z"]["loss"] == pytest.approx(losses / tokens, rel=1e-9)
    assert figures["z"]["accuracy"] == pytest.approx(ranked / 9)
    assert figures["z"]["exact_match"] == pytest.approx(exact / 9)
    assert figures["z"]["rows"] == 9
    constants = {key: value for key, value in figures["z"].items() if key.endswith("_constant")}
    assert constants == pytest.approx({"exact_match_constant": 3 / 9, "accuracy_constant": 3 / 9})
    own = {"exact_match", "equal"}
    assert figures["a"].keys() == {"loss", "rows"} | own | {f"{key}_constant" for key in own}


def test_exact_match_is_what_generation_gives(
    evaluator: Evaluator, tokenizer: PreTrainedTokenizerBase
) -> None:
    """The shortcut (most likely token after each prefix of the reference) against real generations, both outcomes."""
    task, model = evaluator.tasks["a"], evaluator.model
    prompts = [row["text"] for row in task.eval]  # type: ignore[union-attr]
    answers = generate(model, tokenizer, "a", prompts, max_new_tokens=1)
    rows = [
        {"text": p, "label": a if i % 2 else "fine"}
        for i, (p, a) in enumerate(zip(prompts, answers, strict=True))
    ]
    template = PromptCompletion("{text}", "{label}")
    ended = TaskSuite([Task("a", eval=Dataset.from_list(rows), template=template)])
    measured = Evaluator(model, tokenizer, ended, token_budget=500)
    outcomes = measured.outcomes()["a"].found
    longer = generate(model, tokenizer, "a", prompts, max_new_tokens=8)
    given = [text == row["label"] for text, row in zip(longer, rows, strict=True)]
    assert [outcomes[row][0].output.exact for row in range(len(rows))] == given


def test_generation_does_not_depend_on_the_batch(
    evaluator: Evaluator, tokenizer: PreTrainedTokenizerBase
) -> None:
    prompts = ["walk:", "good good good", "a", "walkwalkwalk: and"]
    together = generate(evaluator.model, tokenizer, "z", prompts, max_new_tokens=5)
    alone = [generate(evaluator.model, tokenizer, "z", [p], max_new_tokens=5)[0] for p in prompts]
    assert together == alone
