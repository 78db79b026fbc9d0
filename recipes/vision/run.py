"""The recipe through the Python API: `python recipes/vision/run.py`."""

from __future__ import annotations

from peft import LoraConfig
from rich import print

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, Task
from hf_mtl.data import load_rows

MODEL = "asset:vit-tiny"


def task(name: str, rows: str, epochs: int) -> Task:
    """Declare a task on one of the data sets of images."""
    return Task(
        name,
        kind="image-classification",
        train=load_rows(rows, split="train"),
        eval=load_rows(rows, split="test"),
        adapter=LoraConfig(r=16, lora_alpha=16, target_modules="all-linear"),
        num_train_epochs=epochs,
    )


def tasks() -> list[Task]:
    """Declare both tasks."""
    return [task("mnist", "asset:mnist-5k", 12), task("digits", "asset:digits", 20)]


if __name__ == "__main__":
    args = MultiTaskTrainingArguments(
        output_dir="runs/vision-python",
        per_device_train_batch_size=16,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=100,
        logging_steps=100,
        save_strategy="no",
    )
    trainer = MultiTaskTrainer(MODEL, args, tasks())
    trainer.train()
    print(trainer.evaluate())
    trainer.save_model()
