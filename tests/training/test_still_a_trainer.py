"""What users of the stock Trainer expect: the stock behaviour without tasks, metrics, predictions, streams."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, load_dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    default_data_collator,
)

from hf_mtl import MultiTaskTrainer, PromptCompletion, Task
from hf_mtl.errors import ConfigError
from runs import ARGUMENTS, logged, rows, tasks, trainer_of, weights


def test_without_tasks_it_is_the_stock_trainer(tiny_llama: Path, tmp_path: Path) -> None:
    ids = torch.randint(0, 90, (24, 9), generator=torch.Generator().manual_seed(0)).tolist()
    data = Dataset.from_list([{"input_ids": row, "labels": row} for row in ids])
    ends = []
    classes: tuple[Any, ...] = (Trainer, MultiTaskTrainer)
    for cls in classes:
        out = tmp_path / cls.__name__
        settings = ARGUMENTS | {
            "save_strategy": "steps",
            "save_steps": 4,
            "eval_strategy": "steps",
            "eval_steps": 3,
        }
        trainer: Any = cls(
            AutoModelForCausalLM.from_pretrained(tiny_llama),
            TrainingArguments(str(out), **settings),
            train_dataset=data,
            eval_dataset=data.select(range(5)),
            data_collator=default_data_collator,
        )
        trainer.train()
        resumed: Any = cls(
            AutoModelForCausalLM.from_pretrained(tiny_llama), TrainingArguments(str(out), **settings),
            train_dataset=data, eval_dataset=data.select(range(5)), data_collator=default_data_collator,
        )  # fmt: skip
        resumed.train(resume_from_checkpoint=str(out / "checkpoint-4"))
        predicted = resumed.predict(data.select(range(3)))
        clock = ("runtime", "per_second", "flos")
        logs = [{k: v for k, v in e.items() if not k.endswith(clock)} for e in trainer.state.log_history]
        ends.append((logs, trainer.model.state_dict(), resumed.model.state_dict(), predicted.predictions))
        trainer.save_model(str(out / "saved"))
        AutoModelForCausalLM.from_pretrained(out / "saved")
    (stock_log, *stock, stock_predicted), (our_log, *ours, our_predicted) = ends
    assert stock_log == our_log and len(stock_log) > 8
    for a, b in zip(stock, ours, strict=True):
        assert all(torch.equal(value, b[key]) for key, value in a.items())
    assert np.array_equal(stock_predicted, our_predicted)


def test_compute_metrics_sees_each_task(tiny_llama: Path, tmp_path: Path) -> None:
    seen: list[Any] = []

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        seen.append(prediction)
        right: Any = (prediction.predictions == prediction.label_ids) | (prediction.label_ids == -100)
        return {"right_rows": float(right.all(axis=1).mean())}

    suite = tasks()
    trainer = MultiTaskTrainer(
        tiny_llama, trainer_of(tiny_llama, tmp_path, suite).args, suite.values(), compute_metrics=metrics
    )
    figures = trainer.evaluate()
    assert len(seen) == 3
    for name in suite:
        assert figures[f"eval_{name}/right_rows"] == figures[f"eval_{name}/exact_match"]
    assert all(p.predictions.shape == p.label_ids.shape and len(p.predictions) == 4 for p in seen)


def test_predict_gives_answers_references_and_figures(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, tasks())
    output: Any = trainer.predict({"verbs": rows("verbs", 3), "c/d": rows("c/d", 2)})
    assert {name: len(answers) for name, answers in output.predictions.items()} == {"verbs": 3, "c/d": 2}
    assert output.label_ids["verbs"] == [" x0", " x1", " x2"]
    assert output.metrics["test_verbs/rows"] == 3 and "test_mlp/loss" not in output.metrics
    with pytest.raises(ConfigError, match="predict takes rows by task"):
        trainer.predict(rows("verbs", 3))


def _streamed(folder: Path, count: int, *, broken: int | None = None) -> Task:
    file = folder / "rows.jsonl"
    lines = [
        {"text": f"stream {i} " * (1 + i % 4), "label": "" if i == broken else f"x{i % 3}"}
        for i in range(count)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    stream = load_dataset("json", data_files=str(file), split="train", streaming=True)
    template = PromptCompletion("{text}:", " {label}" if broken is None else "{label}")
    return Task("stream", train=stream, template=template, adapter=LoraConfig(r=2), batch_size=4)


def test_a_streamed_task_trains_beside_stored_ones_and_resumes(tiny_llama: Path, tmp_path: Path) -> None:
    def run(out: str, **changes: Any) -> MultiTaskTrainer:
        suite = {"verbs": tasks()["verbs"], "stream": _streamed(tmp_path, 10)}
        return trainer_of(tiny_llama, tmp_path / out, suite, **changes)

    whole = run("whole", save_strategy="steps", save_steps=4)
    whole.train()
    resumed = run("resumed", save_strategy="steps", save_steps=4)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    for name in ("verbs", "stream"):
        assert all(torch.equal(weights(whole, name)[k], v) for k, v in weights(resumed, name).items())
    assert logged(whole)[:-1] == logged(resumed)[:-1]
    with pytest.raises(ConfigError, match="task 'stream': its rows are a stream, whose length is not known"):
        run("endless", max_steps=-1)


def test_a_broken_row_of_a_stream_is_left_out(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = replace(_streamed(tmp_path, 40, broken=33), on_bad_row="skip")
    trainer = trainer_of(tiny_llama, tmp_path, {"stream": task}, max_steps=10)
    trainer.train()
    told = [record.message for record in caplog.records if "skipped" in record.message]
    assert len(told) == 1 and told[0].startswith("task 'stream', train: of ")
    assert trainer.plan.log.summary()["tasks"]["stream"]["examples"] == 39  # type: ignore[index]


def test_other_rows_are_measured_after_the_tasks_own(tiny_llama: Path, tmp_path: Path) -> None:
    suite = tasks()
    trainer = trainer_of(tiny_llama, tmp_path, suite)
    whole, again = trainer.evaluate(), trainer.evaluate()
    held_out = suite["verbs"].eval
    assert held_out is not None
    parts = [trainer.evaluate({"verbs": held_out.select([row])}) for row in range(2)]
    key = "eval_verbs/loss"
    assert whole[key] == again[key] and len({whole[key], parts[0][key], parts[1][key]}) == 3


def test_one_process_trains_the_model_itself(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), max_steps=1)
    trainer.train()
    assert trainer.model_wrapped is trainer.model  # as in the stock Trainer, whose callbacks read it


def test_the_log_of_a_round(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), max_steps=2)
    trainer.train()
    entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
    for key in ("loss", "learning_rate", "grad_norm", "tokens"):
        assert entry[f"verbs/{key}"] >= 0
    assert entry["padding"] == 0 and entry["tokens_per_second"] > 0 and entry["memory_mib"] > 0


def test_the_tokenizer_of_a_model_object(tiny_llama: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    trainer = MultiTaskTrainer(model, trainer_of(tiny_llama, tmp_path, tasks()).args, tasks().values())
    assert isinstance(trainer.processing_class, PreTrainedTokenizerBase)
    assert trainer.processing_class.vocab_size == AutoTokenizer.from_pretrained(tiny_llama).vocab_size
