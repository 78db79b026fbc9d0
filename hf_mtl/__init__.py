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

import importlib
from typing import TYPE_CHECKING

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

_HOMES = {
    "CausalLM": "hf_mtl.tasks",
    "Chat": "hf_mtl.data",
    "HfMtlError": "hf_mtl.errors",
    "ImageClassification": "hf_mtl.tasks",
    "LabelScoring": "hf_mtl.tasks",
    "MultiTaskPipeline": "hf_mtl.inference",
    "MultiTaskTrainer": "hf_mtl.training",
    "MultiTaskTrainingArguments": "hf_mtl.training",
    "PromptCompletion": "hf_mtl.data",
    "QuestionAnswering": "hf_mtl.tasks",
    "Regression": "hf_mtl.tasks",
    "RoutedModel": "hf_mtl.models",
    "Seq2SeqLM": "hf_mtl.tasks",
    "Task": "hf_mtl.tasks",
    "TaskSuite": "hf_mtl.tasks",
    "TextClassification": "hf_mtl.tasks",
    "TokenClassification": "hf_mtl.tasks",
    "load_base": "hf_mtl.models",
    "read_rows": "hf_mtl.data",
}

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


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hf_mtl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
