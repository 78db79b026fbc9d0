"""What is computed: shapes of models, and batches of examples. Plain Python, so that every environment can read it.

An example is `{"task": 3, "ids": [17, ...], "learned": 12}`: its tokens from the index `learned` on are labels, each
predicted from the token before it. Lengths are log-normal around each task's own median, so tasks differ in length
as real ones do.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple, TypedDict

SHAPES: dict[str, dict[str, Any]] = {
    # So small that a whole benchmark is a test.
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
    },
    # 61 million parameters: as deep and wide as a small real model, with a small vocabulary.
    "61m": {
        "vocab_size": 8192,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 16,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
    # SmolLM2-135M's shape.
    "smollm2": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
}

MEDIANS = (16, 24, 32, 48, 64, 96, 128, 176)


class Example(TypedDict):
    task: int
    ids: list[int]
    learned: int


class Spec(NamedTuple):
    """What one variant is built for.

    Args:
        shape: A key of `SHAPES`.
        dtype: `"float32"` or `"bfloat16"`, of the base.
        tasks: Number of adapters.
        rank: LoRA rank, on all linear layers; alpha is twice the rank.
        dropout: LoRA dropout.
        token_budget: Most tokens of one of our micro-batches; 0 puts a round into one.
    """

    shape: str = "61m"
    dtype: str = "float32"
    tasks: int = 8
    rank: int = 8
    dropout: float = 0.0
    token_budget: int = 0


def _example(draw: random.Random, spec: Spec, task: int, length: int, share: float) -> Example:
    vocabulary = SHAPES[spec.shape]["vocab_size"]
    ids = [draw.randrange(1, vocabulary) for _ in range(length)]
    return {"task": task, "ids": ids, "learned": max(1, round(length * (1 - share)))}


def _log_normal(draw: random.Random, median: float, shortest: int = 8, longest: int = 256) -> int:
    return min(longest, max(shortest, round(median * draw.lognormvariate(0, 0.5))))


def mixed(spec: Spec, index: int, *, per_task: int = 2, share: float = 1.0) -> list[Example]:
    """Round `index`: `per_task` examples of every task, of log-normal lengths; `share` of the tokens are labels."""
    draw = random.Random(f"mixed {index}")
    return [
        _example(draw, spec, task, _log_normal(draw, MEDIANS[task % len(MEDIANS)]), share)
        for task in range(spec.tasks)
        for _ in range(per_task)
    ]


def even(spec: Spec, index: int, *, per_task: int, length: int) -> list[Example]:
    """Round `index`: `per_task` examples of every task, all of one length."""
    draw = random.Random(f"even {index}")
    return [_example(draw, spec, task, length, 1.0) for task in range(spec.tasks) for _ in range(per_task)]


def divided(spec: Spec, index: int, *, sequences: int = 64, tokens: int = 4096) -> list[Example]:
    """Round `index`: the same sequences for any number of tasks, dealt out evenly; exactly `tokens` tokens."""
    draw = random.Random(f"divided {index}")
    lengths = [_log_normal(draw, tokens / sequences) for _ in range(sequences)]
    at = 0
    while sum(lengths) != tokens:  # a token more or less here and there
        lengths[at % sequences] += 1 if sum(lengths) < tokens else -1
        at += 1
    return [
        _example(draw, spec, i * spec.tasks // sequences, length, 1.0) for i, length in enumerate(lengths)
    ]
