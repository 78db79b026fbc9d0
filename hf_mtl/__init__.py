"""Fine-tune one frozen language model on many tasks at once, and get back one adapter per task.

    from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task

    trainer = MultiTaskTrainer("HuggingFaceTB/SmolLM2-135M-Instruct", MultiTaskTrainingArguments("runs/mine"), [
        Task("sentiment", train=reviews, template=PromptCompletion("{text} It was", " {label}")),
        Task("past tense", train=verbs, template=PromptCompletion("{lemma} ->", " {past}")),
    ])
    trainer.train()
    trainer.save_model()

The names below are loaded at first use, so that importing the package costs nothing:

    >>> import hf_mtl
    >>> "MultiTaskTrainer" in hf_mtl.__all__
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.lazy import lazy_names

if TYPE_CHECKING:
    from hf_mtl.data import Chat, PromptCompletion, read_rows
    from hf_mtl.errors import HfMtlError
    from hf_mtl.inference import MultiTaskPipeline
    from hf_mtl.models import RoutedModel, load_base
    from hf_mtl.tasks import (
        CausalLM,
        ImageClassification,
        LabelScoring,
        QuestionAnswering,
        Regression,
        Seq2SeqLM,
        Task,
        TaskSuite,
        TextClassification,
        TokenClassification,
    )
    from hf_mtl.training import MultiTaskTrainer, MultiTaskTrainingArguments

__version__ = "0.1.0"

__all__ = [
    "CausalLM",
    "Chat",
    "HfMtlError",
    "ImageClassification",
    "LabelScoring",
    "MultiTaskPipeline",
    "MultiTaskTrainer",
    "MultiTaskTrainingArguments",
    "PromptCompletion",
    "QuestionAnswering",
    "Regression",
    "RoutedModel",
    "Seq2SeqLM",
    "Task",
    "TaskSuite",
    "TextClassification",
    "TokenClassification",
    "load_base",
    "read_rows",
]


__getattr__ = lazy_names(
    __name__,
    {
        "tasks": (
            "CausalLM ImageClassification LabelScoring QuestionAnswering Regression Seq2SeqLM Task "
            "TaskSuite TextClassification TokenClassification"
        ),
        "data": "Chat PromptCompletion read_rows",
        "errors": "HfMtlError",
        "inference": "MultiTaskPipeline",
        "training": "MultiTaskTrainer MultiTaskTrainingArguments",
        "models": "RoutedModel load_base",
    },
)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
