"""Topics and names in the news through the Python API: `python recipes/news-and-ner/run.py`."""

from __future__ import annotations

from peft import LoraConfig
from rich import print

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, Task
from hf_mtl.data import load_rows, max_examples

MODEL = "asset:minilm"  # from the Hub: "sentence-transformers/all-MiniLM-L6-v2"


def adapter() -> LoraConfig:
    """A LoRA on the linear layers of BERT's attention and feed-forward parts; the shared one is made like it."""
    return LoraConfig(r=8, lora_alpha=16, target_modules=["query", "key", "value", "dense"])


def tasks() -> list[Task]:
    """Declare both tasks; which adapters they use is said once, in the training arguments."""
    return [
        Task(
            "topics",
            kind="text-classification",
            train=max_examples(load_rows("asset:reuters-r8", split="train"), 2000, seed=0),
            eval=max_examples(load_rows("asset:reuters-r8", split="test"), 1000, seed=0),
            adapter=adapter(),
            max_length=128,
        ),
        Task(
            "entities",
            kind="token-classification",
            columns={"tags": "ner_tags"},
            train=max_examples(load_rows("asset:conll2003", split="train"), 2000, seed=0),
            eval=max_examples(load_rows("asset:conll2003", split="test"), 1000, seed=0),
            adapter=adapter(),
            max_length=128,
        ),
    ]


if __name__ == "__main__":
    args = MultiTaskTrainingArguments(
        output_dir="runs/news-and-ner-python",
        sharing="shared+private",
        gradient_cosines=True,
        num_train_epochs=2,
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
