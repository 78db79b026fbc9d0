"""Whatever tasks share: what `load_best_model_at_end` restores is what was evaluated, figure for figure."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.models import load_base

ROUNDS = 10
STRUCTURES: dict[str, tuple[Any, set[tuple[str, ...]]]] = {  # and the tasks that are bound to each other
    "private": ("private", {("words",), ("tone",), ("names",)}),
    "soft": ({"name": "soft", "strength": 0.5}, {("words",), ("tone",), ("names",)}),
    "learned relations": ({"name": "soft", "strength": 0.5, "tau": 1.0}, {("words",), ("tone",), ("names",)}),
    "shared": ("shared", {("words", "tone", "names")}),
    "shared+private": ("shared+private", {("words", "tone", "names")}),
    "fixed scales": ({"name": "shared+private", "learned_scales": False}, {("words", "tone", "names")}),
    "a group and a task alone": (
        {"name": "groups", "groups": {"texts": ["words", "names"]}}, {("words", "names"), ("tone",)},
    ),
    "groups that overlap": (
        {"name": "groups", "groups": {"one": ["words", "tone"], "two": ["tone", "names"]}, "private": False},
        {("words", "tone", "names")},
    ),
}  # fmt: skip
SHARING = [case for case, (_, groups) in STRUCTURES.items() if len(groups) < 3]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def _trainer(folder: Path, out: Path, case: str, **changes: Any) -> MultiTaskTrainer:
    """Two tasks that write and one with a head, measured by unlike metrics, at rates that make figures jump."""
    texts = [f"word {i} " * (1 + i % 3) for i in range(8)]
    written = Dataset.from_list([{"text": text, "label": f"x{i % 3}"} for i, text in enumerate(texts)])
    judged = Dataset.from_list([{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)])
    template = PromptCompletion("{text}:", " {label}")
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "gate_proj"])
    suite = [
        Task("words", train=written, eval=written.select(range(4)), template=template, adapter=lora, learning_rate=0.1),
        Task("tone", train=judged, eval=judged.select(range(4)), kind="text-classification", labels=["a", "b"],
             adapter=lora, learning_rate=0.03, metric_for_best_model="accuracy", greater_is_better=True,
             early_stopping_patience=changes.pop("patience", None)),
        Task("names", train=written.select(range(5)), eval=written.select(range(4)), template=template,
             adapter=lora, learning_rate=0.3, metric_for_best_model="loss", greater_is_better=True),  # best at first
    ]  # fmt: skip
    base, identity = load_base(folder)
    settings = {
        "max_steps": ROUNDS, "per_device_train_batch_size": 2, "learning_rate": 0.1, "lr_scheduler_type": "constant",
        "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": ROUNDS,
        "load_best_model_at_end": True, "report_to": "none", "disable_tqdm": True, "use_cpu": True, **changes,
    }  # fmt: skip
    return MultiTaskTrainer(
        RoutedModel(base, identity=identity),
        MultiTaskTrainingArguments(str(out), sharing=STRUCTURES[case][0], **settings),
        suite,
        processing_class=AutoTokenizer.from_pretrained(folder),
    )


def _evaluations(trainer: MultiTaskTrainer) -> dict[int, dict[str, float]]:
    """By round, the figures of every task."""
    return {
        int(entry["step"]): {
            key: value for key, value in entry.items() if "/" in key and key.startswith("eval_")
        }
        for entry in trainer.state.log_history
        if "eval_loss" in entry
    }


def _mean(figures: dict[str, float], tasks: tuple[str, ...]) -> float:
    metrics = {"words": -figures["eval_words/loss"], "tone": figures["eval_tone/accuracy"],
               "names": figures["eval_names/loss"]}  # fmt: skip
    return sum(metrics[task] for task in tasks) / len(tasks)


def _of(figures: dict[str, float], tasks: tuple[str, ...]) -> dict[str, float]:
    return {key: figures[key] for key in figures if key.split("/")[0].removeprefix("eval_") in tasks}


@pytest.mark.parametrize("case", STRUCTURES)
def test_restored_figures_are_the_recorded_ones(tiny_llama: Path, tmp_path: Path, case: str) -> None:
    trainer = _trainer(tiny_llama, tmp_path, case)
    trainer.train()
    measured = _evaluations(trainer)
    assert list(measured) == list(range(1, ROUNDS + 1))
    assert {group.tasks for group in trainer.best.rounds} == STRUCTURES[case][1]
    restored = trainer.evaluate()
    for group, best in trainer.best.rounds.items():
        assert best.round == max(measured, key=lambda step: _mean(measured[step], group.tasks))
        assert _of(restored, group.tasks) == _of(measured[best.round], group.tasks)
    # Else the last weights, or each task's own best ones, would do as well.
    assert any(best.round < ROUNDS for best in trainer.best.rounds.values())
    if case in SHARING:
        assert len({trainer.best.records[name].round for name in ("words", "names")}) == 2


def test_a_resume_brings_back_the_best_round_of_a_group(tiny_llama: Path, tmp_path: Path) -> None:
    case = "a group and a task alone"
    whole = _trainer(tiny_llama, tmp_path, case, save_steps=ROUNDS // 2)
    whole.train()
    assert min(best.round for best in whole.best.rounds.values()) <= ROUNDS // 2
    resumed = _trainer(tiny_llama, tmp_path, case, save_steps=ROUNDS // 2)
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{ROUNDS // 2}"))
    assert resumed.best.rounds == whole.best.rounds
    for owner, parameters in whole.owners.parameters.items():
        for key, parameter in parameters.items():
            assert torch.equal(resumed.owners.parameters[owner][key], parameter), (owner, key)


def test_a_task_that_stops_early_goes_to_the_groups_best_round_too(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = _trainer(tiny_llama, tmp_path, "shared+private", patience=2)
    with caplog.at_level(logging.INFO, logger="hf_mtl"):
        trainer.train()
    measured = _evaluations(trainer)
    record = trainer.best.records["tone"]
    stopped = trainer.plan.steps["tone"]
    assert trainer.plan.stopped == {"tone"} and stopped == record.round + 2 < ROUNDS
    # It stands still then, but what its route gives goes on changing with the shared adapter.
    assert len({figures["eval_tone/loss"] for step, figures in measured.items() if step >= stopped}) > 1
    ((_, best),) = trainer.best.rounds.items()
    assert _of(trainer.evaluate(), ("words", "tone", "names")) == measured[best.round]
    (told,) = [record.message for record in caplog.records if "the best weights" in record.message]
    assert told == (
        f"'words', 'tone', 'names': the best weights, of round {best.round} (best mean over tasks that share "
        f"parameters; words: loss {best.figures['words']}, tone: accuracy {best.figures['tone']}, names: loss "
        f"{best.figures['names']})"
    )
