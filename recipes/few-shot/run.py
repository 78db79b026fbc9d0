"""Few rows beside many through the Python API: `python recipes/few-shot/run.py`."""

from __future__ import annotations

from peft import LoraConfig
from rich import print

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, Task
from hf_mtl.data import few_shot, load_rows, max_examples

MODEL = "asset:minilm"  # from the Hub: "sentence-transformers/all-MiniLM-L6-v2"
ROUNDS = 250  # 2 epochs of the large tasks
SMALL_STEPS = 50


def adapter() -> LoraConfig:
    """A LoRA on the linear layers of BERT's attention and feed-forward parts; the shared one is made like it."""
    return LoraConfig(r=8, lora_alpha=16, target_modules=["query", "key", "value", "dense"])


def small(name: str, source: str, measured: int) -> Task:
    """A task of 16 rows per class."""
    return Task(
        name,
        kind="text-classification",
        train=few_shot(load_rows(source, split="train"), 16, "label", seed=0),
        eval=max_examples(load_rows(source, split="test"), measured, seed=0),
        adapter=adapter(),
        max_length=128,
        max_steps=SMALL_STEPS,
    )


def large(name: str, source: str, kind: str, columns: dict[str, str]) -> Task:
    """A task of 2,000 rows."""
    return Task(
        name,
        kind=kind,
        columns=columns,
        train=max_examples(load_rows(source, split="train"), 2000, seed=0),
        eval=max_examples(load_rows(source, split="test"), 500, seed=0),
        adapter=adapter(),
        max_length=128,
        max_steps=ROUNDS,
    )


def tasks() -> list[Task]:
    """Declare two small tasks and their two helpers; which adapters they use is said in the training arguments."""
    return [
        small("sentiment", "asset:movie-snippets", measured=1000),
        small("topics", "asset:reuters-r8", measured=500),
        large("entities", "asset:conll2003", "token-classification", {"tags": "ner_tags"}),
        large("supersenses", "asset:supersenses", "text-classification", {}),
    ]


if __name__ == "__main__":
    share = SMALL_STEPS / ROUNDS  # so that all end together
    args = MultiTaskTrainingArguments(
        output_dir="runs/few-shot-python",
        sharing="shared+private",
        mixture={
            "kind": "rates",
            "rates": {"sentiment": share, "topics": share, "entities": 1.0, "supersenses": 1.0},
        },
        gradient_cosines=True,
        per_device_train_batch_size=16,
        learning_rate=1e-3,
        warmup_steps=0.06,
        logging_steps=10,
        save_strategy="no",
        seed=0,
    )
    trainer = MultiTaskTrainer(MODEL, args, tasks())
    trainer.train()
    print(trainer.evaluate(intervals=True))
    print(trainer.cosines.relations())
    trainer.save_model()
