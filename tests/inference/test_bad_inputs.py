"""Inputs that cannot be used are told before anything is run, all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kind_cases import KINDS, ours, task_of
from plain_peft import shake

from hf_mtl import MultiTaskPipeline
from hf_mtl.errors import ConfigError, DataError

NAMES = ("single-label", "pair", "tags", "spans", "chat", "label-scoring", "causal-lm")


@pytest.fixture(scope="module")
def pipe(bases: Callable[[str], Path]) -> MultiTaskPipeline:
    tasks = [task_of(name, KINDS[name]) for name in NAMES]
    own = ours(bases("llama"), *tasks, dtype="float32", move=shake)
    return MultiTaskPipeline(own.model, own.processor, {task.name: task for task in tasks})


BAD: dict[str, tuple[Any, str]] = {
    "no pair": ("text", r"input 1: expected \(task, input\) or \(task, input, options\), found 'text'"),
    "unknown task": (
        ("single-lable", "a"),
        r"input 1: there is no task 'single-lable'. Did you mean 'single-label'\? T",
    ),
    "no text": (
        ("single-label", 3),
        r"input 1: expected a text, a pair of texts, or a dict with 'text', found int: 3",
    ),
    "empty": (("single-label", "  "), r"task 'single-label', input 1: the text is empty; expected text\."),
    "other column": (
        ("single-label", {"txt": "a"}),
        r"the input has no 'text' for the text; it has 'txt'. Did you mean 'txt'\?",
    ),
    "half a pair": (("pair", "a"), r"the task reads pairs of texts, and there is one text only: 'a'"),
    "half a row": (
        ("pair", {"text": "a"}),
        r"has no 'second' for the text_pair, nor 'text_pair' itself; it has 'text'",
    ),
    "words": (("tags", ["a", ""]), r"task 'tags', input 1: word 1 of the tokens is ''; expected text"),
    "no words": (("tags", 5), r"the tokens are 5 \(int\); expected a list of words"),
    "no question": (
        ("spans", "a"),
        r"expected \{\"question\": \.\.\., \"context\": \.\.\.\} or a pair of the two, found str",
    ),
    "no context": (("spans", {"question": "a"}), r"has no 'context' for the context; it has 'question'"),
    "long question": (
        ("spans", ("who " * 60, "a")),
        r"the question has \d+ tokens, which leaves 0 of a window",
    ),
    "chat for prompts": (
        ("label-scoring", [{"role": "user", "content": "a"}]),
        r"the task reads no chat; expected a prompt or a dict with the fields of '\{text\}:', found a list of 1",
    ),
    "answered": (("chat", [{"role": "assistant", "content": "a"}]), r"so there is nothing to answer"),
    "ends": (
        ("chat", [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
        r"the chat ends with the assistant's own turn",
    ),
    "no message": (
        ("chat", [{"role": "user"}]),
        r"message 0 of the role 'user' has no 'content'",
    ),
    "no prompt": (("causal-lm", ""), r"the prompt is empty; expected text that can be continued"),
    "no field": (("causal-lm", {"pormpt": "a"}), r"needs the field 'prompt'; this row has 'pormpt'"),
    "no options": (
        ("causal-lm", "a", 3),
        r"expected the options as a dict, such as \{'max_new_tokens': ...\}, found 3",
    ),
    "unknown option": (
        ("single-label", "a", {"topk": 1}),
        r"an answer of the kind 'text-classification' has no option 'topk'; its options are 'top_k'. Did you mean",
    ),
    "option": (
        ("tags", "a", {"aggregation_strategy": "frist"}),
        r"the option 'aggregation_strategy' is 'frist'; expected one",
    ),
    "count": (
        ("single-label", "a", {"top_k": 0}),
        r"'top_k' is 0; expected a whole number of at least 1, or None for all",
    ),
    "no room": (
        ("causal-lm", "a", {"max_new_tokens": 500}),
        r"the prompt has 1 tokens, and 500 more are to follow, but the base has positions for 128. Shorten the",
    ),
    "no room for labels": (
        ("label-scoring", "a" * 300),
        r"the prompt with its completion has \d+ tokens, and the base has positions for 128",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_an_input(pipe: MultiTaskPipeline, case: str) -> None:
    given, told = BAD[case]
    with pytest.raises(DataError, match=told):
        pipe([given])


def test_all_bad_inputs_are_told_before_anything_is_run(pipe: MultiTaskPipeline) -> None:
    passes: list[int] = []
    pipe.model.base.register_forward_hook(lambda *_: passes.append(1))
    with pytest.raises(DataError) as told:
        pipe([("single-label", "good"), *(given for given, _ in BAD.values())])
    message = str(told.value)
    assert message.startswith(
        f"{len(BAD)} of {len(BAD) + 1} inputs cannot be used:\n  - input 2: expected (task, "
    )
    assert "task 'spans', input 11:" in message
    assert message.endswith(f"and {len(BAD) - 20} more")
    assert passes == []


def test_settings_that_cannot_be_followed_are_refused(pipe: MultiTaskPipeline) -> None:
    with pytest.raises(ConfigError, match=r"task 'causal-lm', input 2: .*top_k and top_p have no effect"):
        pipe([("causal-lm", "a"), ("causal-lm", "a", {"top_p": 0.5})])
    with pytest.raises(ConfigError, match="token_budget: expected a whole number above 0, found 0"):
        MultiTaskPipeline(pipe.model, pipe.processor, token_budget=0)
    with pytest.raises(
        DataError, match="task 'tags' continues no prompts; its kind is 'token-classification'"
    ):
        pipe.prompt("tags", "a")
