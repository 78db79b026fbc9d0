"""Both recipes through the Python API: `python recipes/continual/run.py`."""

from __future__ import annotations

from peft import LoraConfig
from rich import print

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, Task
from hf_mtl.data import load_rows, max_examples
from hf_mtl.export import load_suite

MODEL = "asset:minilm"  # from the Hub: "sentence-transformers/all-MiniLM-L6-v2"
LORA = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
FOLDER = "runs/continual-python"


def sentiment(*, learn: bool) -> Task:
    """Film reviews, to learn from or only to measure on."""
    rows = "asset:movie-snippets"
    return Task(
        "sentiment",
        kind="text-classification",
        train=load_rows(rows, split="train[:1500]") if learn else None,
        eval=load_rows(rows, split="test[:500]"),
        adapter=LORA,
        max_length=128,
    )


def names(*, learn: bool) -> Task:
    """Names in the news, to learn from or only to measure on."""
    rows = "asset:conll2003"
    return Task(
        "names",
        kind="token-classification",
        columns={"tags": "ner_tags"},
        train=max_examples(load_rows(rows, split="train"), 1500, seed=0) if learn else None,
        eval=max_examples(load_rows(rows, split="validation"), 500, seed=0),
        adapter=LORA,
        max_length=128,
    )


def supersense() -> Task:
    """Definitions of a dictionary: the task that comes later."""
    return Task(
        "supersense",
        kind="text-classification",
        train=load_rows("asset:supersenses", split="train[:3000]"),
        eval=load_rows("asset:supersenses", split="test[:500]"),
        adapter=LORA,
        max_length=128,
        learning_rate=1e-3,
    )


def arguments(output_dir: str, rounds: int) -> MultiTaskTrainingArguments:
    """The settings that both runs have in common."""
    return MultiTaskTrainingArguments(
        output_dir,
        max_steps=rounds,
        per_device_train_batch_size=16,
        learning_rate=2e-3,
        lr_scheduler_type="cosine",
        warmup_steps=15,
        save_strategy="no",
    )


def first_tasks() -> list[Task]:
    """Declare the tasks of first.yaml."""
    return [sentiment(learn=True), names(learn=True)]


def tasks() -> list[Task]:
    """Declare the tasks of recipe.yaml."""
    return [sentiment(learn=False), names(learn=False), supersense()]


if __name__ == "__main__":
    first = MultiTaskTrainer(MODEL, arguments(f"{FOLDER}-first", 150), first_tasks())
    first.train()
    print(first.evaluate())
    first.save_model()

    second = MultiTaskTrainer(load_suite(f"{FOLDER}-first"), arguments(FOLDER, 300), tasks())
    second.train()
    print(second.evaluate())
    second.save_model()
