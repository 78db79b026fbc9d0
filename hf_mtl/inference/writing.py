"""Queries whose answers are written: prompts of many tasks, continued together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

from hf_mtl.errors import ConfigError
from hf_mtl.inference.queries import Asked
from hf_mtl.models import Decoder, GenerationRequest, GenerationSettings, RoutedModel, request_ids
from hf_mtl.tasks import Found

__all__ = ["requests_of", "run_writing"]

_SETTINGS = tuple(vars(GenerationSettings()))


def requests_of(
    model: RoutedModel, tokenizer: PreTrainedTokenizerBase, queries: Sequence[Asked]
) -> list[GenerationRequest]:
    """What a decoder is asked, query by query.

    Args:
        model: The routed model.
        tokenizer: The base's tokenizer.
        queries: The queries, each with a prompt.

    Raises:
        ConfigError: If settings do not go together; all such queries are listed.
    """
    requests: list[GenerationRequest] = []
    problems: list[str] = []
    for asked in queries:
        given = {name: asked.query.options[name] for name in _SETTINGS if name in asked.query.options}
        try:
            settings = GenerationSettings(**given | {"stop": tuple(given.get("stop", ()))})
        except ConfigError as error:
            problems += [
                f"task {asked.task.name!r}, input {asked.number}: {problem}" for problem in error.problems
            ]
            continue
        ids = tuple(request_ids(model.layout, tokenizer, asked.query.prompt_ids))
        requests.append(GenerationRequest(asked.task.name, ids, settings, asked.task.end_ids))
    if problems:
        raise ConfigError(problems)
    return requests


def run_writing(
    model: RoutedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[Asked],
    requests: Sequence[GenerationRequest],
) -> Iterator[tuple[Asked, Found]]:
    """Continue prompts in mixed batches, each through its own task's adapter.

    Args:
        model: The routed model.
        tokenizer: The base's tokenizer.
        queries: The queries.
        requests: What `requests_of` made of them.

    Yields:
        Each query with the text that was written for it.
    """
    order = sorted(range(len(queries)), key=lambda i: len(requests[i].input_ids))
    written = Decoder(model, tokenizer).generate(requests[i] for i in order)
    for i, generation in zip(order, written, strict=True):
        yield queries[i], Found(text=generation.text)
