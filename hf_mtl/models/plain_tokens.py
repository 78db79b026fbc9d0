"""The tokens of a vocabulary that mean nothing to a base but text, for inputs that are made up."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

__all__ = ["plain_tokens"]

_ENDINGS = ("_token_id", "_token_index")  # of padding, begin and end, but also of places where images go


def plain_tokens(base: PreTrainedModel) -> list[int]:
    """All tokens but those that the base's configuration names; all of them where it names all."""
    embeddings = base.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    size = embeddings.num_embeddings
    special: set[int] = set()
    for name, value in base.config.to_dict().items():
        if name.endswith(_ENDINGS):
            special |= {
                token for token in (value if isinstance(value, list) else [value]) if token is not None
            }
    return [token for token in range(size) if token not in special] or list(range(size))
