"""Queries whose answers are written: prompts of many tasks, continued together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from hf_mtl.errors import ConfigError
from hf_mtl.inference.queries import Asked
from hf_mtl.models import Decoder, GenerationRequest, GenerationSettings, RoutedModel, request_ids
from hf_mtl.tasks import Found

__all__ = ["requests_of", "run_writing"]

_SETTINGS = tuple(vars(GenerationSettings()))


def requests_of(
    model: RoutedModel, tokenizer: PreTrainedTokenizerBase, queries: Sequence[Asked]
) -> tuple[dict[int, GenerationRequest], dict[int, list[str]]]:
    """What a decoder is asked, query by query.

    Args:
        model: The routed model.
        tokenizer: The base's tokenizer.
        queries: The queries, each with a prompt.

    Returns:
        The requests by the queries' numbers; and, of queries whose settings do not go together, what is wrong.
    """
    requests: dict[int, GenerationRequest] = {}
    problems: dict[int, list[str]] = {}
    for asked in queries:
        given = {name: asked.query.options[name] for name in _SETTINGS if name in asked.query.options}
        try:
            settings = GenerationSettings(**given | {"stop": tuple(given.get("stop", ()))})
        except ConfigError as error:
            problems[asked.number] = [
                f"task {asked.task.name!r}, {asked.name}: {problem}" for problem in error.problems
            ]
            continue
        ids = tuple(request_ids(model.layout, tokenizer, asked.query.prompt_ids))
        requests[asked.number] = GenerationRequest(asked.task.name, ids, settings, asked.task.end_ids)
    return requests, problems


def run_writing(
    model: RoutedModel,
    tokenizer: PreTrainedTokenizerBase,
    queries: Sequence[Asked],
    requests: Mapping[int, GenerationRequest],
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
    order = sorted(queries, key=lambda asked: len(requests[asked.number].input_ids))
    written = Decoder(model, tokenizer).generate(requests[asked.number] for asked in order)
    for asked, generation in zip(order, written, strict=True):
        yield asked, Found(text=generation.text)
