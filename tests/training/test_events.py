"""What callbacks see of a run with tasks: the events of the stock Trainer, in its order, with its state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    default_data_collator,
)

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task
from hf_mtl.data import PackedBatch
from hf_mtl.errors import ConfigError
from runs import ARGUMENTS, rows, tasks, weights

ROWS = 16
BATCH = 4  # four steps an epoch
LEFT_OUT = (
    "on_prediction_step",
    "on_init_end",
)  # one for each batch, whose number differs; before callbacks are added
SCORES = [0.2, 0.9, 0.5, 0.4, 0.3, 0.1]


class _Events(TrainerCallback):
    """Writes down what it is told, and when."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, float]] = []
        self.best: list[str | None] = []
        self.passes: list[tuple[int, object]] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        def event(args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
            self.events.append((name, state.global_step, round(state.epoch or 0.0, 4)))
            if name == "on_save":
                self.best.append(state.best_model_checkpoint and Path(state.best_model_checkpoint).name)
            if name == "on_prediction_step":
                self.passes.append((len(kwargs["eval_dataloader"]), kwargs["eval_dataloader"]))

        return event


class _EpochStop(TrainerCallback):
    """Ends the epoch after some steps."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        control.should_epoch_stop |= state.global_step in self.steps


def _scores() -> Any:
    left = iter(SCORES)
    return lambda prediction: {"score": next(left)}


def _settings(changes: dict[str, Any]) -> dict[str, Any]:
    settings = {"num_train_epochs": 3, "max_steps": -1, "logging_steps": 3, "save_strategy": "no"}
    return ARGUMENTS | {"per_device_train_batch_size": BATCH} | settings | changes


def _stock(base: Path, out: Path, callbacks: list[TrainerCallback], **changes: Any) -> Trainer:
    ids = torch.randint(0, 90, (ROWS, 9), generator=torch.Generator().manual_seed(0)).tolist()
    data = Dataset.from_list([{"input_ids": row, "labels": row} for row in ids])
    return Trainer(
        AutoModelForCausalLM.from_pretrained(base), TrainingArguments(str(out), **_settings(changes)),
        default_data_collator, data, data.select(range(4)), callbacks=callbacks, compute_metrics=_scores(),
    )  # fmt: skip


def _ours(base: Path, out: Path, callbacks: list[TrainerCallback], **changes: Any) -> MultiTaskTrainer:
    task = Task(
        "t", train=rows("t", ROWS), eval=rows("t", 4), template=PromptCompletion("{text}:", " {label}")
    )
    args = MultiTaskTrainingArguments(str(out), **_settings(changes))
    return MultiTaskTrainer(base, args, [task], callbacks=callbacks, compute_metrics=_scores())


SAVED = {"metric_for_best_model": "score", "greater_is_better": True}
RUNS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "nothing but steps": ({}, ()),
    "by epochs": ({"eval_strategy": "epoch", "save_strategy": "epoch", "logging_strategy": "epoch"}, ()),
    "by steps": ({"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 6}, ()),
    "fewer steps than epochs": ({"max_steps": 6, "eval_strategy": "epoch", "save_strategy": "epoch"}, ()),
    "the best only": ({"eval_strategy": "epoch", "save_strategy": "best", **SAVED}, ()),
    "few are kept": (
        {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "save_total_limit": 2,
         "load_best_model_at_end": True, **SAVED}, (),
    ),
    "one is kept": (
        {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "save_total_limit": 1,
         "load_best_model_at_end": True, **SAVED}, (),
    ),
    "epochs that are stopped": ({"eval_strategy": "epoch", "save_strategy": "epoch"}, (2, 7)),
    "a stop at an epoch's end": ({"eval_strategy": "epoch"}, (4,)),
    "a stop with a number of steps": ({"max_steps": 8}, (2,)),
}  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_events_state_and_folders_are_those_of_the_stock_trainer(
    tiny_llama: Path, tmp_path: Path, run: str
) -> None:
    changes, stops = RUNS[run]
    seen = []
    for make in (_stock, _ours):
        out = tmp_path / make.__name__
        events = _Events()
        trainer = make(tiny_llama, out, [events, _EpochStop(*stops)], **changes)
        trainer.train()
        best = trainer.state.best_model_checkpoint
        assert best is None or Path(best).is_dir()
        folders = sorted(folder.name for folder in out.glob("checkpoint-*"))
        state = (trainer.state.best_metric, trainer.state.best_global_step, best and Path(best).name)
        told = [event for event in events.events if event[0] not in LEFT_OUT]
        seen.append((told, events.best, folders, state, trainer.state.global_step))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) > 20
    if changes.keys() & SAVED.keys():
        assert seen[0][3][2] is not None


def test_a_stopped_epoch_goes_on_with_the_next_ones_rows_also_after_a_resume(
    tiny_llama: Path, tmp_path: Path
) -> None:
    class Own(MultiTaskTrainer):
        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            seen.append(inputs.rows["t"])
            return super().training_step(model, inputs, num_items_in_batch)

    def run(out: str, **changes: Any) -> MultiTaskTrainer:
        made = _ours(
            tiny_llama, tmp_path / out, [_EpochStop(2)], save_strategy="steps", save_steps=2, **changes
        )
        made.__class__ = Own
        return made

    seen: list[tuple[int, ...]] = []
    whole = run("whole")
    whole.train()
    assert len(seen) == 2 + 4 + 4
    for epoch in (seen[2:6], seen[6:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(ROWS))
    resumed = run("resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert all(torch.equal(own, weights(resumed, "t")[key]) for key, own in weights(whole, "t").items())
    assert resumed.state.global_step == 10


def test_each_pass_of_an_evaluation_is_an_event_with_its_loader(tiny_llama: Path, tmp_path: Path) -> None:
    events = _Events()
    args = MultiTaskTrainingArguments(str(tmp_path), token_budget=64, max_chunk_tokens=64, **ARGUMENTS)
    trainer = MultiTaskTrainer(tiny_llama, args, tasks().values(), callbacks=[events])
    trainer.evaluate()
    names = [event[0] for event in events.events]
    assert names == ["on_init_end", *["on_prediction_step"] * len(events.passes), "on_log", "on_evaluate"]
    length, loader = events.passes[-1]
    batches: list[Any] = list(loader)  # type: ignore[call-overload]
    assert 1 < length == len(events.passes) == len(batches)
    assert all(isinstance(batch, PackedBatch) for batch in batches)
    assert sum(len(batch.rows) for batch in batches) == 12


def test_a_prediction_is_no_evaluation(tiny_llama: Path, tmp_path: Path) -> None:
    events = _Events()
    trainer = MultiTaskTrainer(
        tiny_llama,
        MultiTaskTrainingArguments(str(tmp_path), **ARGUMENTS),
        tasks().values(),
        callbacks=[events],
    )
    trainer.predict({"verbs": rows("verbs", 2)})
    assert [event[0] for event in events.events] == ["on_init_end", "on_prediction_step", "on_predict"]
    assert trainer.state.log_history == []


def test_the_stock_callback_for_early_stopping_stops_the_run(tiny_llama: Path, tmp_path: Path) -> None:
    ends = []
    for make in (_stock, _ours):
        trainer = make(
            tiny_llama, tmp_path / make.__name__, [EarlyStoppingCallback(1)], eval_strategy="steps", eval_steps=1,
            save_strategy="steps", save_steps=1, load_best_model_at_end=True, **SAVED,
        )  # fmt: skip
        trainer.train()
        ends.append((trainer.state.global_step, Path(str(trainer.state.best_model_checkpoint)).name))
    assert ends == [(3, "checkpoint-2")] * 2


def test_rows_to_evaluate_on(tiny_llama: Path, tmp_path: Path) -> None:
    args = MultiTaskTrainingArguments(str(tmp_path), **ARGUMENTS)
    verbs = tasks()["verbs"]
    one = MultiTaskTrainer(tiny_llama, args, [verbs])
    assert (
        one.evaluate(verbs.eval)["eval_loss"]
        == one.evaluate()["eval_loss"]
        == one.evaluate("verbs")["eval_loss"]
    )
    several = MultiTaskTrainer(tiny_llama, args, tasks().values())
    assert several.evaluate("verbs")["eval_verbs/rows"] == 4
    assert "eval_mlp/rows" not in several.evaluate("verbs")
    for given, message in (
        (verbs.eval, r"found a Dataset; pass evaluate\({'task': rows}\).*Tasks are 'c/d', 'mlp', 'verbs'"),
        ("verb", "evaluate\\('verb'\\) names no task with eval rows; .* Did you mean 'verbs'"),
        ([1, 2], "found a list"),
    ):
        with pytest.raises(ConfigError, match=message):
            several.evaluate(given)


class _Break(TrainerCallback):
    """Spoils a task's weights before a round."""

    trainer: MultiTaskTrainer

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step == self.step:
            with torch.no_grad():
                for parameter in self.trainer.model.adapter_parameters("t").values():
                    parameter.fill_(torch.nan)


@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_a_run_that_ends_early_is_measured_and_saved_once(
    tiny_llama: Path, tmp_path: Path, strategy: str
) -> None:
    events, broken = _Events(), _Break(5)
    changes = {"eval_strategy": strategy, "save_strategy": strategy, "eval_steps": 4, "save_steps": 4}
    trainer = _ours(tiny_llama, tmp_path, [events, broken], max_strikes=1, **changes)
    broken.trainer = trainer
    trainer.train()
    seen = [step for name, step, _ in events.events if name == "on_evaluate"]
    assert seen == [step for name, step, _ in events.events if name == "on_save"] == [4, 6]
