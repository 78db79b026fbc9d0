"""The API in one screen: three tasks of different kinds on one frozen encoder.

    python recipes/basic.py            # --smoke: two rounds on a few rows

The base and its rows come out of packages, so no Hub is needed. With it: sentence-transformers/all-MiniLM-L6-v2,
cornell-movie-review-data/rotten_tomatoes (without ratings) and eriktks/conll2003.
"""

from __future__ import annotations

import sys

from peft import LoraConfig
from rich import print

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, Task
from hf_mtl.data import load_rows

BASE = "asset:minilm"
SMOKE = "--smoke" in sys.argv
ROUNDS, PART = (2, "[:24]") if SMOKE else (100, "[:1000]")
LORA = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")

reviews = {part: load_rows("asset:movie-snippets", split=part + PART) for part in ("train", "test")}
news = {part: load_rows("asset:conll2003", split=part + PART) for part in ("train", "validation")}

TASKS = [
    Task("sentiment", kind="text-classification", train=reviews["train"], eval=reviews["test"], adapter=LORA),
    Task(
        "rating",
        kind="regression",
        train=reviews["train"],
        eval=reviews["test"],
        columns={"label": "rating"},
        adapter=LORA,
        learning_rate=1e-3,  # a task may have settings of its own
    ),
    Task(
        "names",
        kind="token-classification",
        train=news["train"],
        eval=news["validation"],
        columns={"tags": "ner_tags"},
        adapter=LORA,
    ),
]

if __name__ == "__main__":
    args = MultiTaskTrainingArguments(
        "runs/basic-smoke" if SMOKE else "runs/basic",
        max_steps=ROUNDS,
        per_device_train_batch_size=16,
        learning_rate=2e-3,
        save_strategy="no",
    )
    trainer = MultiTaskTrainer(BASE, args, TASKS)
    trainer.train()
    print(trainer.evaluate())
    trainer.save_model()  # one ordinary PEFT folder per task
