"""What stops a route's generation: the ends of its task's completions beside the base's own end tokens."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator

from transformers import PreTrainedModel

from hf_mtl.data import EndToken

__all__ = ["base_end_ids", "stopping"]


def base_end_ids(base: PreTrainedModel) -> tuple[int, ...]:
    """The end tokens of a base's generation config."""
    given = base.generation_config.eos_token_id if base.can_generate() else None
    return (given,) if isinstance(given, int) else tuple(given or ())


@contextlib.contextmanager
def stopping(base: PreTrainedModel, ends: Iterable[EndToken]) -> Iterator[None]:
    """Let the base's own `generate` stop at further tokens within the block."""
    own = base_end_ids(base)
    further = [end.id for end in ends if end.id not in own]
    if not further or not base.can_generate():
        yield
        return
    config = base.generation_config
    base.generation_config = copy.deepcopy(config)
    base.generation_config.eos_token_id = [*own, *further]
    try:
        yield
    finally:
        base.generation_config = config
