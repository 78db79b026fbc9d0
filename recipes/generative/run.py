"""The recipe through the Python API: `python recipes/generative/run.py`."""

from __future__ import annotations

from pathlib import Path

from peft import LoraConfig
from rich import print

from hf_mtl import Chat, MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel, Task, load_base, read_rows

DATA = Path(__file__).parent / "data"
MODEL = "asset:smollm2-135m-instruct"  # from the Hub: "HuggingFaceTB/SmolLM2-135M-Instruct"


def task(name: str, metrics: tuple[str, ...] = ("exact_match",)) -> Task:
    """Declare a task whose chats are in `data/`."""
    file = name.replace(" ", "_")
    return Task(
        name,
        train=read_rows(DATA / f"{file}.train.jsonl"),
        eval=read_rows(DATA / f"{file}.eval.jsonl"),
        template=Chat("messages"),
        metrics=metrics,
        adapter=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"),
        max_length=256,
    )


def tasks() -> list[Task]:
    """Declare the three tasks."""
    return [task("sentiment"), task("past tense", ("exact_match", "chrf")), task("part of speech")]


if __name__ == "__main__":
    args = MultiTaskTrainingArguments(
        output_dir="runs/generative-python",
        max_steps=50,
        per_device_train_batch_size=5,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=5,
        logging_steps=5,
        save_strategy="no",
    )
    base, identity = load_base(MODEL, dtype="float32")
    trainer = MultiTaskTrainer(RoutedModel(base, identity=identity), args, tasks())
    trainer.train()
    print(trainer.evaluate())
    trainer.save_model()
