"""Classification, tagging and reading comprehension through the Python API: `python recipes/nlu/run.py`."""

from __future__ import annotations

from peft import LoraConfig
from rich import print

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, QuestionAnswering, Task
from hf_mtl.data import load_rows, max_examples

MODEL = "asset:minilm"  # from the Hub: "sentence-transformers/all-MiniLM-L6-v2"


def adapter() -> LoraConfig:
    """A LoRA on the linear layers of BERT's attention and feed-forward parts."""
    return LoraConfig(r=8, lora_alpha=16, target_modules=["query", "key", "value", "dense"])


def tasks() -> list[Task]:
    """Declare the three tasks; their heads, losses and metrics follow from their kinds."""
    return [
        Task(
            "sentiment",
            kind="text-classification",
            train=max_examples(load_rows("asset:movie-snippets", split="train"), 4000, seed=0),
            eval=max_examples(load_rows("asset:movie-snippets", split="test"), 1000, seed=0),
            adapter=adapter(),
            num_train_epochs=2,
            learning_rate=7e-4,
        ),
        Task(
            "entities",
            kind="token-classification",
            columns={"tags": "ner_tags"},
            train=max_examples(load_rows("asset:conll2003", split="train"), 2000, seed=0),
            eval=max_examples(load_rows("asset:conll2003", split="test"), 1000, seed=0),
            adapter=adapter(),
            num_train_epochs=2,
        ),
        Task(
            "answers",
            kind=QuestionAnswering(unanswerable="skip"),
            train=max_examples(load_rows("asset:disfl-qa", split="train"), 2300, seed=0),
            eval=max_examples(load_rows("asset:disfl-qa", split="validation"), 600, seed=0),
            adapter=adapter(),
            num_train_epochs=2,
            learning_rate=1.5e-3,
        ),
    ]


if __name__ == "__main__":
    args = MultiTaskTrainingArguments(
        output_dir="runs/nlu-python",
        learning_rate=2e-3,
        per_device_train_batch_size=16,
        warmup_steps=0.06,
        logging_steps=10,
        save_strategy="no",
        seed=0,
    )
    trainer = MultiTaskTrainer(MODEL, args, tasks())
    trainer.train()
    print(trainer.evaluate(intervals=True))
    trainer.save_model()
