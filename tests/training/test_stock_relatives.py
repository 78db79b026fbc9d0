"""Without tasks our class is a stock Trainer to its relatives too: Seq2SeqTrainer, and what only looks like tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

from hf_mtl import MultiTaskTrainer

ROWS: Any = [{"input_ids": [3 + i, 9, 1], "labels": [3 + i, 1]} for i in range(6)]


# Made by `type`, since Seq2SeqTrainer's `evaluate` takes arguments of generation, which ours passes on unseen.
OVER_OURS = type("OverOurs", (Seq2SeqTrainer, MultiTaskTrainer), {})
BEHIND_OURS = type("BehindOurs", (MultiTaskTrainer, Seq2SeqTrainer), {})


class _IterableCollator:
    """A data collator that also lists its steps, and so looks like a collection."""

    def __call__(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        return {key: torch.tensor([row[key] for row in rows]) for key in rows[0]}

    def __iter__(self) -> Any:
        return iter(["stack"])


def _t5() -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, dropout_rate=0.0
    )  # fmt: skip
    config.decoder_start_token_id = 0  # its constructor takes it without naming it
    return T5ForConditionalGeneration(config)


def _settings(out: Path) -> dict[str, Any]:
    return {
        "output_dir": str(out), "max_steps": 2, "learning_rate": 0.01, "report_to": "none", "disable_tqdm": True,
        "use_cpu": True, "save_strategy": "no",
    }  # fmt: skip


@pytest.mark.parametrize("cls", [OVER_OURS, BEHIND_OURS])
def test_in_either_order_with_seq2seq_trainer_it_behaves_as_that_one(tmp_path: Path, cls: Any) -> None:
    ends = []
    for trainer_class in (Seq2SeqTrainer, cls):
        args = Seq2SeqTrainingArguments(**_settings(tmp_path), predict_with_generate=True)
        trainer: Any = trainer_class(_t5(), args, _IterableCollator(), ROWS, ROWS)
        trainer.train()
        predicted = trainer.predict(ROWS, max_length=5, num_beams=2)
        ends.append(
            (trainer.evaluate(max_length=4)["eval_loss"], predicted.predictions, trainer.model.state_dict())
        )
    (stock_loss, stock_texts, stock_weights), (loss, texts, weights) = ends
    assert stock_loss == loss and np.array_equal(stock_texts, texts)
    assert texts[:, :5].any() and not texts[:, 5:].any()  # max_length is heard
    assert all(torch.equal(value, weights[key]) for key, value in stock_weights.items())


def test_a_collator_that_can_be_iterated_over_is_a_collator(tmp_path: Path) -> None:
    collator = _IterableCollator()
    trainer = MultiTaskTrainer(_t5(), TrainingArguments(**_settings(tmp_path)), collator, ROWS)
    assert trainer.data_collator is collator and not trainer.suite


def test_an_object_without_a_constructor_is_a_stock_trainer() -> None:
    """As tests and tools make them, to use one method."""
    counts = []
    for cls in (Trainer, MultiTaskTrainer):
        trainer = cls.__new__(cls)
        trainer.model = _t5()
        counts.append(trainer.floating_point_ops({"input_ids": torch.ones(2, 3)}))
    assert counts[0] == counts[1] > 0
