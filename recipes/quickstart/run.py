"""The quickstart through the Python API: `python recipes/quickstart/run.py`."""

from __future__ import annotations

from pathlib import Path

from peft import LoraConfig
from rich import print

from hf_mtl import (
    MultiTaskTrainer,
    MultiTaskTrainingArguments,
    PromptCompletion,
    RoutedModel,
    Task,
    load_base,
    read_rows,
)

DATA = Path(__file__).parent / "data"
MODEL = "asset:smollm2-135m-instruct"  # from the Hub: "HuggingFaceTB/SmolLM2-135M-Instruct"


def task(name: str, prompt: str, completion: str, labels: list[str] | None = None) -> Task:
    """Declare a task whose rows are in `data/`."""
    file = name.replace(" ", "_")
    return Task(
        name,
        train=read_rows(DATA / f"{file}.train.jsonl"),
        eval=read_rows(DATA / f"{file}.eval.jsonl").select(range(100)),
        template=PromptCompletion(prompt, completion),
        labels=labels,
        metrics=("exact_match", "accuracy") if labels else ("exact_match",),
        adapter=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"),
        max_length=256,
    )


KINDS = ["animal", "artifact", "body", "feeling", "food", "person", "place", "plant", "substance", "time"]
SPEECH = ["adjective", "adverb", "article", "conjunction", "noun", "preposition", "pronoun", "verb"]


def tasks() -> list[Task]:
    """Declare the four tasks."""
    return [
        task(
            "sentiment",
            "{text}\nIs this review positive or negative? Answer:",
            " {label}",
            ["negative", "positive"],
        ),
        task("supersense", "Definition: {definition}\nCategory:", " {label}", KINDS),
        task("past tense", "Verb: {lemma}\nPast tense:", " {past}"),
        task("part of speech", "Sentence: {sentence}\nWord: {word}\nPart of speech:", " {label}", SPEECH),
    ]


if __name__ == "__main__":
    args = MultiTaskTrainingArguments(
        output_dir="runs/quickstart-python",
        max_steps=100,
        per_device_train_batch_size=5,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=10,
        logging_steps=5,
        save_strategy="no",
    )
    base, identity = load_base(MODEL, dtype="float32")
    trainer = MultiTaskTrainer(RoutedModel(base, identity=identity), args, tasks())
    trainer.train()
    print(trainer.evaluate())
    trainer.save_model()
