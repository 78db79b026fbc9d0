"""Inputs of many tasks in one list: as one by one, in order, lazily where they come so, and opened from folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answers import TAGGED, assert_same
from kind_bases import picture
from kind_cases import KINDS, LABELS, TEXTS, Ours, ours, task_of
from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig
from plain_peft import shake

from hf_mtl import MultiTaskPipeline, PromptCompletion
from hf_mtl.data import Chat
from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.export import save_suite
from hf_mtl.inference import inputs as inputs_module
from hf_mtl.tasks import Declared, TaskForm, kind_of

LONG = "Mary wrote it in 1999 . John Smith lives in Paris and works for Acme . " * 4
GIVEN: dict[str, list[Any]] = {
    "single-label": [*TEXTS, {"text": "Acme", "label": "not read"}],
    "pair": [("a bad play", "who ?"), {"text": "awful !", "second": "Acme"}, {"text": "a", "text_pair": "b"}],
    "multi-label": TEXTS,
    "regression": TEXTS,
    "regression of 3": TEXTS,
    "tags": [TEXTS[2], TEXTS[0].split(), {"tokens": ["John", "walks"]}],
    "spans": [
        ("who ?", LONG),
        {"question": "where ?", "context": "the river flows to the sea", "answers": None},
    ],
    "causal-lm": ["the good", {"prompt": "a bad play"}],
    "chat": [
        [{"role": "user", "content": "who ?"}],
        {"messages": [{"role": "user", "content": "a"}]},
        "whole",
    ],
    "label-scoring": [{"text": text} for text in TEXTS] + ["a whole prompt:"],
    "seq2seq-lm": ["the good", {"prompt": "awful !"}],
    "images": [picture(1), {"image": picture(2)}],
}
SUITES: dict[str, dict[str, PeftConfig]] = {
    "llama": {
        "single-label": LoraConfig(r=4, target_modules="all-linear"),
        "tags": LoraConfig(r=2, target_modules=["q_proj"]),
        "spans": IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"]),
        "regression": PrefixTuningConfig(num_virtual_tokens=3),
        "causal-lm": PrefixTuningConfig(num_virtual_tokens=4),
        "chat": LoraConfig(r=4, target_modules="all-linear"),
        "label-scoring": PromptTuningConfig(num_virtual_tokens=2),
    },
    "bert": {
        name: LoraConfig(r=4, target_modules="all-linear")
        for name in ("pair", "multi-label", "tags", "spans", "regression of 3")
    },
    "t5": {
        name: LoraConfig(r=4, target_modules="all-linear")
        for name in ("single-label", "tags", "spans", "seq2seq-lm", "label-scoring")
    },
    "vit": {"images": LoraConfig(r=4, target_modules="all-linear")},
}


def _suite(base: Path, *names: str) -> tuple[Ours, MultiTaskPipeline]:
    configs = SUITES[base.name]
    tasks = [task_of(name, KINDS[name], adapter=configs[name]) for name in names or configs]
    own = ours(base, *tasks, dtype="float32", move=shake)
    return own, MultiTaskPipeline(own.model, own.processor, {task.name: task for task in tasks})


def _mixed(*names: str) -> list[tuple[str, Any]]:
    """Inputs of tasks in turns."""
    longest = max(len(GIVEN[name]) for name in names)
    return [(name, GIVEN[name][i]) for i in range(longest) for name in names if i < len(GIVEN[name])]


@pytest.mark.parametrize("base", SUITES)
def test_a_mixed_list_is_answered_as_its_inputs_are_one_by_one(
    bases: Callable[[str], Path], base: str
) -> None:
    own, pipe = _suite(bases(base))
    inputs = _mixed(*SUITES[base])
    own.model.train()
    together = pipe(inputs)
    assert own.model.training
    alone = [pipe([one])[0] for one in inputs]
    assert_same(together, alone)
    assert_same(pipe(inputs, token_budget=20), alone)
    assert_same(pipe(inputs[::-1]), alone[::-1])
    assert pipe([]) == []


def test_heads_of_all_tasks_go_through_the_base_together(bases: Callable[[str], Path]) -> None:
    own, pipe = _suite(bases("bert"))
    passes: list[int] = []
    own.model.base.register_forward_hook(lambda *_: passes.append(1))
    pipe(_mixed(*SUITES["bert"]))
    assert len(passes) == 1


def test_a_generator_is_answered_in_windows(
    bases: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs_module, "WINDOW", 4)
    _, pipe = _suite(bases("llama"), "single-label", "tags")
    inputs = _mixed("single-label", "tags")
    read: list[int] = []

    def source() -> Iterator[tuple[str, Any]]:
        for number, one in enumerate(inputs):
            read.append(number)
            yield one

    results = pipe(source())
    assert read == []
    found = [next(results)]
    assert read == [0, 1, 2, 3]
    found += results
    assert_same(found, pipe(inputs))


def test_progress_is_shown_on_demand(
    bases: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, pipe = _suite(bases("llama"), "single-label")
    capsys.readouterr()
    pipe([("single-label", TEXTS[0])])
    assert capsys.readouterr().err == ""
    pipe([("single-label", TEXTS[0])], progress=True)
    captured = capsys.readouterr()
    assert "Answering" in captured.err and "100%" in captured.err and captured.out == ""


def test_a_folder_is_opened_with_what_it_knows_of_its_tasks(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    own, pipe = _suite(bases("llama"))
    tasks = {name: split.encoder.task for name, split in own.splits.items()}
    manifest = save_suite(own.model, tmp_path, processor=own.processor, tasks=tasks)
    inputs = _mixed(*SUITES["llama"])
    expected = pipe(inputs)
    loaded = MultiTaskPipeline.from_pretrained(tmp_path, base=bases("llama"))
    assert_same(
        loaded(inputs), expected
    )  # the chat template, which the base does not have, is beside the adapters
    alone = MultiTaskPipeline.from_pretrained(tmp_path / manifest.tasks["tags"], base=bases("llama"))
    assert list(alone.forms) == ["tags"]
    assert_same(
        alone([("tags", given) for given in GIVEN["tags"]]), pipe([("tags", g) for g in GIVEN["tags"]])
    )


def test_without_a_form_the_head_says_what_a_task_is(bases: Callable[[str], Path], tmp_path: Path) -> None:
    names = ("single-label", "tags", "spans", "regression", "causal-lm")
    own, pipe = _suite(bases("llama"), *names)
    own.model.labels.clear()
    bare = MultiTaskPipeline(own.model, own.processor)
    assert {name: form.kind.name for name, form in bare.forms.items()} == {
        "single-label": "text-classification",
        "tags": "token-classification",
        "spans": "question-answering",
        "regression": "regression",
        "causal-lm": "causal-lm",
    }
    inputs: list[Any] = [
        ("single-label", "good", {"top_k": None}),
        ("tags", "good"),
        ("causal-lm", "the good"),
    ]
    classes, tags, text = bare(inputs)
    known = pipe(inputs)
    names_of = dict(zip(LABELS, ("LABEL_0", "LABEL_1", "LABEL_2"), strict=True))
    assert_same(classes, [one | {"label": names_of[one["label"]]} for one in known[0]])
    assert_same(tags, [one | {"entity": names_of[one["entity"]]} for one in known[1]])
    assert text == known[2]
    assert bare([("causal-lm", [{"role": "user", "content": "who ?"}])])[0][0]["generated_text"][
        -1
    ].keys() == {
        "role",
        "content",
    }


def test_a_form_must_fit(bases: Callable[[str], Path]) -> None:
    own, _ = _suite(bases("bert"), "pair", "tags")
    forms = {
        "pair": TaskForm(kind_of("token-classification"), Declared(labels=("a", "b", "c"))),
        "tags": TaskForm(kind_of("causal-lm"), Declared()),
        "pears": TaskForm(kind_of("regression"), Declared()),
    }
    with pytest.raises(ConfigError) as told:
        MultiTaskPipeline(own.model, own.processor, forms)
    messages = told.value.problems
    assert "task 'pair': the kind 'token-classification' needs HeadSpec(shape=<HeadShape.TOKEN" in messages[0]
    assert "task 'tags': causal-lm needs a base that writes text" in messages[1]
    assert "there is a form for 'pears', but no such adapter or route" in messages[2]
    assert "Did you mean 'pair'?" in messages[2]
    with pytest.raises(CheckpointError, match="There is no adapter 'nowhere': no such folder"):
        MultiTaskPipeline.from_pretrained("nowhere")


def test_columns_may_have_names_of_their_own(bases: Callable[[str], Path]) -> None:
    own, _ = _suite(bases("bert"), "pair")
    columns = {"text": "{title}. {body}", "text_pair": "other"}
    form = TaskForm(kind_of("text-classification"), Declared(columns=columns, labels=tuple(LABELS)))
    pipe = MultiTaskPipeline(own.model, own.processor, {"pair": form})
    one, two, three = pipe(
        [
            ("pair", {"title": "a", "body": "play", "other": "who ?"}),
            ("pair", {"text": "a. play", "text_pair": "who ?"}),
            ("pair", ("a. play", "who ?")),
        ]
    )
    assert one == two == three


def test_a_long_context_is_read_in_windows(bases: Callable[[str], Path]) -> None:
    _, pipe = _suite(bases("bert"), "spans")
    options = {"top_k": 30, "align_to_words": False}
    [found] = pipe([("spans", ("who ?", LONG), options)])
    assert len(found) == 30
    assert any(own["answer"] == "" for own in pipe([("spans", ("who ?", LONG), options | {"top_k": 500})])[0])
    for own in found:
        assert LONG[own["start"] : own["end"]] == own["answer"]
    assert [own["score"] for own in found] == sorted((own["score"] for own in found), reverse=True)
    assert max(own["start"] for own in found) > 48 * 2  # far behind the first window
    never = {"handle_impossible_answer": False, "top_k": 500}
    assert all(own["answer"] for own in pipe([("spans", ("who ?", LONG), never)])[0])


def test_what_is_cut_off_is_told(bases: Callable[[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    _, pipe = _suite(bases("llama"), "single-label")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        pipe([("single-label", "good"), ("single-label", "good film " * 200)])
    assert (
        "1 inputs are longer" in caplog.text and "the first is input 2 (task 'single-label')" in caplog.text
    )


def test_images_come_as_files_and_arrays_too(bases: Callable[[str], Path], tmp_path: Path) -> None:
    _, pipe = _suite(bases("vit"))
    image = picture(7)
    image.save(tmp_path / "a.png")
    data = {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}
    import numpy as np

    given: list[Any] = [
        image,
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        np.asarray(image),
        data,
        {"image": image},
    ]
    found = pipe([("images", one) for one in given])
    for one in found:
        assert_same(one, found[0])
    assert len(found[0]) == 3


def test_a_chat_gives_its_messages_with_the_answer(bases: Callable[[str], Path]) -> None:
    own, pipe = _suite(bases("llama"), "chat")
    messages = [{"role": "user", "content": "who ?"}]
    asked, row, whole = pipe(
        [
            ("chat", messages),
            ("chat", {"messages": [*messages, {"role": "assistant", "content": "not read"}]}),
            ("chat", "<user>who ?<|end|><assistant>", {"return_full_text": False}),
        ]
    )
    answer = whole[0]["generated_text"]
    assert asked == row == [{"generated_text": [*messages, {"role": "assistant", "content": answer}]}]
    assert pipe.prompt("chat", messages) == "<user>who ?<|end|><assistant>"
    assert isinstance(own.splits["chat"].encoder.task.template, Chat)


def test_a_template_that_is_a_function_answers_rows_of_its_task(bases: Callable[[str], Path]) -> None:
    case = replace(KINDS["causal-lm"], task={"template": _template})
    task = task_of("t", case)
    own = ours(bases("llama"), task, dtype="float32", move=shake)
    pipe = MultiTaskPipeline(own.model, own.processor, {"t": task})
    row, whole = pipe([("t", {"prompt": "good", "completion": "?"}), ("t", "<good>")])
    assert row == whole
    assert PromptCompletion("{prompt}", "{completion}") == Declared().template


def _template(row: Any) -> dict[str, str]:
    return {"prompt": f"<{row['prompt']}>", "completion": str(row["completion"])}


def test_tags_in_the_schemes_of_entities(bases: Callable[[str], Path]) -> None:
    task = task_of("t", TAGGED)
    own = ours(bases("bert"), task, dtype="float32", move=shake)
    options = {"aggregation_strategy": "simple"}
    [found] = MultiTaskPipeline(own.model, own.processor, {"t": task})([("t", " ".join(TEXTS), options)])
    assert {one["entity_group"] for one in found} <= {"PER"}
