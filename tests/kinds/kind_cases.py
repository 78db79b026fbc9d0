"""Every kind of task with rows of its own, on a routed model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from kind_bases import CHAT, picture
from peft import LoraConfig, PeftConfig
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import Chat, Chunk, PromptCompletion, Sequence
from hf_mtl.models import RoutedModel, context_of, load_base, load_processor, losses_of, place_suite
from hf_mtl.tasks import EncodedSplit, Processor, Task, TaskSuite, encode_split, sharing_of

__all__ = ["HUB_ID", "KINDS", "KindCase", "Ours", "ours", "question", "task_of"]

HUB_ID = "tests/base"
DECODERS, ENCODERS = ("llama", "gpt2"), ("bert", "roberta", "modernbert", "modernbert-mean")
TEXT = (*DECODERS, *ENCODERS, "t5")
TEXTS = ["the good old film was great fun", "a bad play", "John Smith lives in Paris .", "awful !"]
PAIRS = ["it flows to the sea", "who wrote the book ?", "Acme", "Mary walks and sings in 1999"]
LABELS = ["a", "b", "c"]


@dataclass(frozen=True)
class KindCase:
    """One kind with rows.

    Args:
        kind: The kind, with its options.
        rows: The rows.
        task: What a task of this kind declares besides.
        config: What the stock class's configuration is given.
        bases: Where the kind applies.
        shape: What its outputs are for.
    """

    kind: str | Mapping[str, Any]
    rows: list[dict[str, Any]]
    task: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    bases: tuple[str, ...] = TEXT
    shape: str = "sequence"


def _labelled(*labels: object, pair: bool = False) -> list[dict[str, Any]]:
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]
    return [row | {"second": other} for row, other in zip(rows, PAIRS, strict=True)] if pair else rows


_TAGGED: list[dict[str, Any]] = [
    {"tokens": text.split(), "tags": [(i + 2 * j) % 3 for j in range(len(text.split()))]}
    for i, text in enumerate(TEXTS)
]
_TAGGED[1]["tags"][1] = None


def question(context: str, answer: str, asked: str = "who wrote it ?") -> dict[str, Any]:
    """A row as SQuAD has it."""
    found = {"text": [answer], "answer_start": [context.index(answer)]} if answer else {}
    return {
        "question": asked,
        "context": context,
        "answers": found or {"text": [], "answer_start": []},
    }


_QUESTIONS = [
    question("Mary wrote it in 1999 . John Smith lives in Paris and works for Acme . " * 3, "John Smith"),
    question("the river flows to the sea", "the sea", "where does it flow ?"),
    question("a bad play with a poor actor", ""),
]
_CHATS = [
    {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
    for a, b in zip(TEXTS, PAIRS, strict=True)
]
_PROMPTS = [{"prompt": f"{a}:", "completion": f" {b}"} for a, b in zip(TEXTS, PAIRS, strict=True)]
_RANKED = [{"text": text, "label": label} for text, label in zip(TEXTS, [*LABELS, "a"], strict=True)]
_SINGLE = {"num_labels": 3, "problem_type": "single_label_classification"}
_VALUES = {"problem_type": "regression"}

KINDS = {
    "single-label": KindCase("text-classification", _labelled(0, 2, 1, 2), {"labels": LABELS}, _SINGLE),
    "pair": KindCase(
        "text-classification",
        _labelled(0, 2, 1, 2, pair=True),
        {"labels": LABELS, "columns": {"text_pair": "second"}},
        _SINGLE,
    ),
    "multi-label": KindCase(
        {"name": "text-classification", "problem_type": "multi_label"},
        _labelled(["a", "c"], [], ["b"], ["a", "b", "c"]),
        {"labels": LABELS},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
    ),
    "regression": KindCase("regression", _labelled(0.5, -1.25, 3.0, 0.0), {}, _VALUES | {"num_labels": 1}),
    "regression of 3": KindCase(
        {"name": "regression", "outputs": 3},
        _labelled([0.5, 1.0, 2.0], [-1.25, 0.0, 0.5], [3.0, -2.0, 1.0], [0.0, 0.25, 0.5]),
        {},
        _VALUES | {"num_labels": 3},
    ),
    "tags": KindCase("token-classification", _TAGGED, {"labels": LABELS}, {"num_labels": 3}, TEXT, "token"),
    "spans": KindCase(
        {"name": "question-answering", "doc_stride": 6, "unanswerable": True},
        _QUESTIONS,
        {"max_length": 48},
        {},
        TEXT,
        "span",
    ),
    "causal-lm": KindCase("causal-lm", _PROMPTS, {}, {}, DECODERS, "vocabulary"),
    "chat": KindCase("causal-lm", _CHATS, {"template": Chat()}, {}, ("llama",), "vocabulary"),
    "label-scoring": KindCase(
        "label-scoring",
        _RANKED,
        {"labels": LABELS, "template": PromptCompletion("{text}:", " {label}")},
        {},
        (*DECODERS, "t5"),
        "vocabulary",
    ),
    "seq2seq-lm": KindCase("seq2seq-lm", _PROMPTS, {}, {}, ("t5",), "vocabulary"),
    "images": KindCase(
        "image-classification",
        [{"image": picture(i), "label": i % 3} for i in range(4)],
        {"labels": LABELS},
        {"num_labels": 3},
        ("vit",),
    ),
}


def task_of(
    name: str, case: KindCase, *, adapter: PeftConfig | None = None, kind: Mapping[str, Any] | None = None
) -> Task:
    """A task of a case; `kind` are further options of the kind."""
    own = {"name": case.kind} if isinstance(case.kind, str) else dict(case.kind)
    rows = Dataset.from_list(case.rows)
    adapter = adapter or LoraConfig(r=4, target_modules="all-linear")
    options = dict(kind or {})
    return Task(name, train=rows, eval=rows, kind=own | options, adapter=adapter, metrics=[], **case.task)


def processor_for(folder: Path) -> Processor:
    processor = load_processor(folder)
    if folder.name == "llama":
        assert isinstance(processor, PreTrainedTokenizerBase)
        processor.chat_template = CHAT
    return processor


@dataclass(frozen=True)
class Ours:
    """A routed model with tasks on it.

    Args:
        model: The model.
        processor: Its tokenizer or image processor.
        splits: The tasks' rows.
    """

    model: RoutedModel
    processor: Processor
    splits: Mapping[str, EncodedSplit]

    def sequences(self, name: str) -> list[Sequence]:
        return [self.splits[name].sequence(line) for line in range(len(self.splits[name]))]

    def run(self, *names: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The tasks' logits and mean losses, from one mixed batch with rows of the tasks in turns."""
        chunks = [Chunk(name, [own]) for name in names for own in self.sequences(name)]
        batch = self.model.layout.lay_out(chunks)
        tasks = {name: self.splits[name].encoder.task for name in names}
        shares = {name: sum(own.share for own in self.sequences(name)) for name in names}
        losses = {
            name: each.sum() / shares[name] for name, each in losses_of(self.model, batch, tasks).items()
        }
        return self.model.by_route(batch), losses

    def gradients(self, name: str, *others: str) -> dict[str, Tensor]:
        """The gradient of each parameter of a task in a batch with others, by its key in PEFT's files."""
        _, losses = self.run(name, *others)
        parameters = self.model.adapter_parameters(name)
        found = torch.autograd.grad(torch.stack(list(losses.values())).sum(), list(parameters.values()))
        return dict(zip(parameters, found, strict=True))


def ours(
    folder: Path,
    *tasks: Task,
    dtype: str = "float64",
    move: Callable[..., None] | None = None,
    sharing: str = "private",
) -> Ours:
    """The tasks on a base; `move` is called with the model, an adapter's name and its number."""
    base, identity = load_base(folder, dtype=dtype)
    model = RoutedModel(base, identity=replace(identity, hub_id=HUB_ID))
    model.eval()
    processor = processor_for(folder)
    place_suite(model, TaskSuite(tasks), sharing_of(sharing), seed=0)
    for number, name in enumerate(model.adapter_names if move else ()):
        assert move is not None
        move(model, name, number)
    splits = {}
    for task in tasks:
        assert task.eval is not None
        virtual = model.virtual_tokens(task.name)
        context = context_of(model, task, processor)
        splits[task.name] = encode_split(task, task.eval, context, split="eval", virtual=virtual)
    return Ours(model, processor, splits)
