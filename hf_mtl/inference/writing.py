"""Queries whose answers are written: prompts of many tasks, continued."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from hf_mtl.errors import ConfigError, listing
from hf_mtl.inference.queries import Asked
from hf_mtl.models import RoutedModel, generate
from hf_mtl.tasks import Found

__all__ = ["check_settings", "run_writing"]

_GREEDY = (
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "seed",
    "stop",
)  # what greedy decoding leaves alone


def check_settings(written: Iterable[Asked]) -> None:
    """Refuse settings that nothing here can follow.

    Raises:
        ConfigError: If a query asks for anything but greedy decoding.
    """
    problems = []
    for asked in written:
        odd = [name for name in _GREEDY if asked.query.options.get(name)]
        if odd:
            problems.append(
                f"task {asked.task.name!r}, input {asked.number}: {listing(odd)} cannot be set: answers are decoded "
                f"greedily. Leave it out."
            )
    if problems:
        raise ConfigError(problems)


def run_writing(
    model: RoutedModel, tokenizer: PreTrainedTokenizerBase, queries: Sequence[Asked]
) -> Iterator[tuple[Asked, Found]]:
    """Continue prompts, each through its own task's adapter.

    Args:
        model: The routed model.
        tokenizer: The base's tokenizer.
        queries: The queries, each with a prompt.

    Yields:
        Each query with the text that was written for it.
    """
    alike: dict[tuple[str, Any], list[Asked]] = defaultdict(list)  # Any: a number
    for asked in queries:
        alike[asked.task.name, asked.query.options["max_new_tokens"]].append(asked)
    for (route, most), own in alike.items():
        prompts = [str(asked.query.prompt) for asked in own]
        texts = generate(model, tokenizer, route, prompts, max_new_tokens=most)
        for asked, text in zip(own, texts, strict=True):
            yield asked, Found(text=text)
