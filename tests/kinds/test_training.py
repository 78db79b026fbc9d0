"""Heads in training: they learn, stop and go on, and their figures are those of plain PEFT's predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from kind_runs import LEARNED, TAGS, mood_rows, suite, trainer_of
from peft import LoraConfig, PeftModel
from seqeval.metrics import f1_score
from sklearn.metrics import accuracy_score, mean_squared_error
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from hf_mtl import MultiTaskTrainer, RoutedModel, Task
from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.export import load_suite
from hf_mtl.models import load_base
from runs import logged, state_of


@pytest.fixture(scope="module")
def learned(
    bases: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[MultiTaskTrainer, dict[str, float], dict[str, float], Path]:
    """A trained suite, its figures before and after, and the folder of its adapters."""
    out = tmp_path_factory.mktemp("learned")
    changes: dict[str, Any] = {
        "max_steps": 80,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 8,
        "max_grad_norm": 1.0,
    }
    trainer = trainer_of(bases("bert"), out, suite(), **changes)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    trainer.save_model(str(out / "adapters"))
    return trainer, before, after, out / "adapters"


Learned = tuple[MultiTaskTrainer, dict[str, float], dict[str, float], Path]


def test_every_kind_learns(learned: Learned) -> None:
    trainer, before, after, _ = learned
    for name in LEARNED:
        losses = [entry[f"{name}/loss"] for entry in trainer.state.log_history if f"{name}/loss" in entry]
        assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10]), name
        if name != "mood":  # which ends surer than it is right
            assert after[f"eval_{name}/loss"] < before[f"eval_{name}/loss"], name
    assert after["eval_mood/accuracy"] >= before["eval_mood/accuracy"] + 0.25
    assert after["eval_names/overall_f1"] > max(0.8, before["eval_names/overall_f1"])
    assert after["eval_where/f1"] > before["eval_where/f1"]
    assert after["eval_count/mse"] < 0.5 * before["eval_count/mse"]


def _plain(folder: Path, base: Path, name: str, auto: Any, **config: Any) -> PeftModel:
    plain = PeftModel.from_pretrained(auto.from_pretrained(base, **config), folder / name)
    return plain.eval()


def test_the_figures_are_those_of_plain_pefts_predictions(
    bases: Callable[[str], Path], learned: Learned
) -> None:
    trainer, _, after, folder = learned
    base = bases("bert")
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = {name: list(trainer.suite[name].eval or ()) for name in LEARNED}
    with torch.no_grad():
        inputs = {
            name: tokenizer([row["text"] for row in rows[name]], padding=True, return_tensors="pt")
            for name in ("mood", "count")
        }
        mood = _plain(folder, base, "mood", AutoModelForSequenceClassification, num_labels=2)(
            **inputs["mood"]
        )
        gold = [["bad", "good"].index(row["label"]) for row in rows["mood"]]
        assert after["eval_mood/accuracy"] == accuracy_score(gold, mood.logits.argmax(-1))
        expected = torch.nn.functional.cross_entropy(mood.logits, torch.tensor(gold))
        assert after["eval_mood/loss"] == pytest.approx(float(expected), rel=1e-5)

        count = _plain(folder, base, "count", AutoModelForSequenceClassification, num_labels=1)(
            **inputs["count"]
        )
        values = [row["label"] for row in rows["count"]]
        assert after["eval_count/mse"] == pytest.approx(
            mean_squared_error(values, count.logits[:, 0]), rel=1e-5
        )

        plain = _plain(folder, base, "names", AutoModelForTokenClassification, num_labels=3)
        read, gold_tags = [], []
        for row in rows["names"]:
            encoded = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
            tags, ids = plain(**encoded).logits[0].argmax(-1), encoded.word_ids(0)
            firsts = [ids.index(word) for word in range(len(row["tokens"]))]
            read.append([TAGS[int(tags[place])] for place in firsts])
            gold_tags.append([TAGS[tag] for tag in row["tags"]])
        assert after["eval_names/overall_f1"] == pytest.approx(f1_score(gold_tags, read))
        assert _answered(folder, base, tokenizer, rows["where"]) == pytest.approx(
            after["eval_where/exact_match"]
        )


def _answered(folder: Path, base: Path, tokenizer: Any, rows: list[dict[str, Any]]) -> float:
    plain = _plain(folder, base, "where", AutoModelForQuestionAnswering)
    right = 0
    for row in rows:
        encoded = tokenizer(row["question"], row["context"], return_tensors="pt", return_offsets_mapping=True)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        assert len(offsets) <= 48  # one window
        output = plain(**encoded)
        sums = output.start_logits[0][:, None] + output.end_logits[0][None, :]
        inside = torch.tensor([number == 1 for number in encoded.sequence_ids(0)])
        allowed = (inside[:, None] & inside[None, :]).triu()
        first, last = divmod(int(sums.masked_fill(~allowed, -torch.inf).argmax()), len(offsets))
        right += row["context"][offsets[first][0] : offsets[last][1]] == row["answers"]["text"][0]
    return 100 * right / len(rows)


def test_predict_gives_each_kind_its_form(learned: Learned) -> None:
    trainer, *_ = learned
    rows = {name: Dataset.from_list(list(trainer.suite[name].eval or ())[:5]) for name in LEARNED}
    output: Any = trainer.predict(rows)
    answers, references = output.predictions, output.label_ids
    assert references["mood"] == [0, 1, 0, 1, 0] and set(answers["mood"]) <= {0, 1}
    assert references["names"] == [[TAGS[tag] for tag in row["tags"]] for row in rows["names"]]
    assert [len(row) for row in answers["names"]] == [len(row["tags"]) for row in rows["names"]]
    assert references["count"] == rows["count"]["label"] and all(
        isinstance(n, float) for n in answers["count"]
    )
    assert (
        [own["id"] for own in answers["where"]]
        == [own["id"] for own in references["where"]]
        == [f"q{i}" for i in range(5)]
    )
    assert references["where"][0]["answers"] == rows["where"][0]["answers"]
    assert output.metrics["test_mood/rows"] == 5


SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 3, "max_steps": 6, "full_determinism": True}
SAVING |= {"eval_strategy": "steps", "eval_steps": 2}


def test_a_resumed_run_has_the_same_bits(bases: Callable[[str], Path], tmp_path: Path) -> None:
    whole = trainer_of(bases("bert"), tmp_path / "whole", suite(), **SAVING)
    whole.train()
    resumed = trainer_of(bases("bert"), tmp_path / "resumed", suite(), **SAVING)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    first, second = state_of(whole), state_of(resumed)
    assert any("classifier" in key for key in first)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert logged(whole) == logged(resumed)


def numbered() -> Dataset:
    """The rows of the moods with numbers in the place of names, which fit any two labels."""
    rows = [row | {"label": ["bad", "good"].index(row["label"])} for row in mood_rows(12, 0)]
    return Dataset.from_list(rows)


def _mood(**changes: Any) -> dict[str, Task]:
    fields: dict[str, Any] = {
        "kind": "text-classification",
        "labels": ["bad", "good"],
        "train": mood_rows(12, 0),
    }
    return {"mood": Task("mood", adapter=LoraConfig(r=2), **(fields | changes))}


CHANGES: dict[str, dict[str, Any]] = {
    "another order": {"labels": ["good", "bad"]},
    "another count": {"labels": ["bad", "good", "mixed"]},
    "other names": {"labels": ["bad", "fine"], "train": numbered()},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_resume_with_another_head_is_refused(
    bases: Callable[[str], Path], tmp_path: Path, change: str
) -> None:
    saving = SAVING | {"eval_strategy": "no", "max_steps": 3}
    trainer_of(
        bases("bert"), tmp_path / "a", _mood(train=CHANGES[change].get("train", mood_rows(12, 0))), **saving
    ).train()
    changed = trainer_of(
        bases("bert"), tmp_path / "b", _mood(**CHANGES[change]), **(saving | {"max_steps": 5})
    )
    with pytest.raises(
        CheckpointError, match=r"task 'mood': its labels are \[|the adapter of 'mood' is another one"
    ):
        changed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))


def test_a_resume_with_another_loss_is_told(
    bases: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saving = SAVING | {"eval_strategy": "no", "max_steps": 3}
    trainer_of(bases("bert"), tmp_path / "a", _mood(), **saving).train()
    kind = {"name": "text-classification", "class_weights": [1.0, 2.0]}
    changed = trainer_of(bases("bert"), tmp_path / "b", _mood(kind=kind), **(saving | {"max_steps": 5}))
    changed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    assert (
        "task 'mood': its kind is TextClassification(problem_type='single_label', class_weights=[1.0"
        in caplog.text
    )


def test_training_goes_on_from_a_loaded_suite_with_its_own_labels_only(
    bases: Callable[[str], Path], learned: Learned, tmp_path: Path
) -> None:
    *_, folder = learned
    model = load_suite(folder, base=bases("bert"))
    with pytest.raises(
        ConfigError, match=r"task 'mood': its head was trained with the labels \['bad', 'good'\]"
    ):
        trainer_of(bases("bert"), tmp_path, _mood(labels=["good", "bad"]), model=model)
    again = trainer_of(bases("bert"), tmp_path, suite(), model=load_suite(folder, base=bases("bert")))
    before = learned[2]
    assert again.evaluate()["eval_mood/loss"] == before["eval_mood/loss"]


def test_streamed_rows_of_a_kind_with_a_head(bases: Callable[[str], Path], tmp_path: Path) -> None:
    rows = Dataset.from_list([*mood_rows(8, 0), {"text": "the sea", "label": None}])
    task = Task(
        "mood", train=rows.to_iterable_dataset(), eval=rows, kind="text-classification", labels=["bad", "good"],
        adapter=LoraConfig(r=2),
    )  # fmt: skip
    trainer = trainer_of(bases("bert"), tmp_path, {"mood": task}, max_steps=4)
    start = {key: p.detach().clone() for key, p in trainer.model.adapter_parameters("mood").items()}
    trainer.train()
    moved = {
        key for key, p in trainer.model.adapter_parameters("mood").items() if not torch.equal(p, start[key])
    }
    assert any("classifier" in key for key in moved)
    assert trainer.evaluate()["eval_mood/rows"] == 8


@pytest.mark.parametrize("dtype", ["bfloat16", "4bit"])
def test_heads_are_in_full_precision_on_narrow_bases(
    bases: Callable[[str], Path], tmp_path: Path, dtype: str
) -> None:
    options: dict[str, Any] = {"quantization": "4bit"} if dtype == "4bit" else {"dtype": dtype}
    base, identity = load_base(bases("llama"), **options)
    trainer = trainer_of(
        bases("llama"), tmp_path, suite(), model=RoutedModel(base, identity=identity), max_steps=3
    )
    trainer.train()
    for name in LEARNED:
        parameters = trainer.model.adapter_parameters(name)
        assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    assert all(np.isfinite(value) for value in trainer.evaluate().values())
    trainer.save_model(str(tmp_path / "adapters"))
    again = load_suite(tmp_path / "adapters", base=bases("llama"), **options)
    for name in LEARNED:
        first, second = trainer.model.adapter_parameters(name), again.adapter_parameters(name)
        assert all(torch.equal(first[key], second[key]) for key in first)
