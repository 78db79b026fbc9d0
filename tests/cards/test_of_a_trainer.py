"""The cards that a trainer without a recipe writes of its run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import ModelCard

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.export.cards import FACTS_FILE, SuiteFacts
from hf_mtl.models import load_base


@pytest.fixture
def trainer(tiny_llama: Path, tmp_path: Path) -> MultiTaskTrainer:
    rows = Dataset.from_list([{"a": f"{i} word", "b": f"x{i % 3}"} for i in range(12)])
    template = PromptCompletion("{a}", " {b}")
    base, identity = load_base(tiny_llama, hub_id="someone/tiny-llama")
    return MultiTaskTrainer(
        RoutedModel(base, identity=identity),
        MultiTaskTrainingArguments(
            str(tmp_path / "mine"), max_steps=3, per_device_train_batch_size=3, gradient_accumulation_steps=2,
            logging_steps=1, learning_rate=1e-2, use_cpu=True, report_to="none", disable_tqdm=True,
        ),
        [
            Task("q&a", train=rows, eval=rows, template=template),
            Task("verbs", train=rows, template=template, learning_rate=2e-2, kind={"name": "causal-lm"}),
        ],
    )  # fmt: skip


def test_what_the_run_knows_of_itself(trainer: MultiTaskTrainer, tmp_path: Path) -> None:
    trainer.train()
    figures = trainer.evaluate(intervals=True)
    cards = trainer.create_model_card(license="mit")
    folder = tmp_path / "mine"
    assert cards == [folder / "q-a" / "README.md", folder / "verbs" / "README.md", folder / "README.md"]
    facts = SuiteFacts.load(folder / FACTS_FILE)
    first, second = facts.tasks
    assert [(own.metric, own.value) for own in first.figures] == [
        (key, figures[f"eval_q&a/{key}"]) for key in ("exact_match", "loss")
    ]
    assert first.figures[0].low is not None and not [own for own in second.figures if own.value is not None]
    assert [step for step, _ in second.losses] == [1, 2, 3] and first.losses != second.losses
    told = {own.name: own.value for own in facts.settings}
    assert told == {
        "per_device_train_batch_size": "3",
        "gradient_accumulation_steps": "2",
        "max_steps": "3",
        "learning_rate": "0.01",
    }
    assert {own.name: own.value for own in second.settings} == {
        "learning_rate": "0.02", "rows of an optimizer step": "6"
    }  # fmt: skip
    assert [rows.numbers.rows for rows in first.rows if rows.numbers is not None] == [12, 12]
    assert facts.base.hub_id == "someone/tiny-llama" and facts.name == "mine"
    card = ModelCard.load(folder / "q-a" / "README.md")
    assert card.data.base_model == "someone/tiny-llama" and card.data.license == "mit"
    assert (folder / "q-a" / "loss_curve.png").is_file() and str(tmp_path) not in str(card)


def test_before_anything_was_trained(trainer: MultiTaskTrainer) -> None:
    *_, card = trainer.create_model_card()
    assert "0 steps" not in card.read_text() and "q&amp;a" in card.read_text()


def test_without_matplotlib_the_cards_have_no_curves(
    trainer: MultiTaskTrainer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trainer.train()
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    *_, card = trainer.create_model_card()
    assert "loss_curve" not in card.read_text() and not list(tmp_path.rglob("*.png"))
    assert "pip install 'hf-mtl[plots]'" in caplog.text
