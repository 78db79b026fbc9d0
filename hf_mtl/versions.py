"""What differs between the versions of other libraries that we work with: this is the only place that knows.

Each difference names the version that ends it, so that it can be deleted when the lower bound in `pyproject.toml`
passes that version. No torch at import.

| library | difference | until |
|---|---|---|
| transformers | a base's cache is `past_key_values`; since then `cache`, and beside it the old name is ignored | 5.24 |
| transformers | checkpointing is `gradient_checkpointing...`; since then `activation_checkpointing...` | 5.23 |
| transformers | `logits_to_keep` takes positions alone; since then a mask of rows and tokens too | 5.21 |
| transformers | `AutoImageProcessor` at the top level asks for torchvision; not so in its own module | 5.18 |
| transformers | its fast tokenizers import torch; since then only for a GGUF file | 5.18 |
| torch | `varlen_attn` has no `enable_gqa`, and takes grouped heads as they are | 2.12 |
| huggingface_hub | its connections fail with errors of `httpx`; since then with those of `httpx2` | 2.0 |
| peft | it passes `past_key_values` to every transformers (`plain_prefix_problem`) | not yet, in 0.21.2 |
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = [
    "PEFT_NOTICES",
    "PLAIN_PREFIX_NOTE",
    "HubErrors",
    "cache_argument",
    "checkpointing_argument",
    "checkpoints_activations",
    "enable_checkpointing",
    "hub_errors",
    "installed",
    "keeps_masked_logits",
    "plain_prefix_problem",
    "release",
    "varlen_options",
]

_MASKED_LOGITS = (5, 21)
_ACTIVATION_CHECKPOINTING = (5, 23)
_CACHE_ARGUMENT = (5, 24)
_PEFT_OF_OLD_NAMES = (0, 21, 2)  # the newest release; whether a later one passes `cache` is not known

# peft asks a transformers of 5.23 and newer for an attribute by its old name whenever it wraps a base, and passes the
# old name of the cache to one of 5.24 and newer.
PEFT_NOTICES = ("`is_gradient_checkpointing` is deprecated", "`past_key_values` is deprecated")

# For code that others run with versions of their own.
PLAIN_PREFIX_NOTE = "# peft up to 0.21.2 has working virtual tokens with transformers below 5.24 only"


@cache
def installed(library: str) -> tuple[int, ...]:
    """The release of an installed library, as numbers; what marks a build or a pre-release is left out.

    >>> installed("transformers") >= (5, 17)
    True
    """
    return release(importlib.metadata.version(library))


def release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with.

    >>> release("2.13.0+cpu"), release("5.24.0.dev0")
    ((2, 13, 0), (5, 24, 0))
    """
    numbers = re.match(r"\d+(\.\d+)*", version)
    assert numbers is not None, version
    return tuple(int(number) for number in numbers.group().split("."))


def keeps_masked_logits() -> bool:
    """Whether a base's `logits_to_keep` takes a mask `[B, S]`."""
    return installed("transformers") >= _MASKED_LOGITS


def cache_argument() -> str:
    """Under which name a base's `forward` takes its cache of keys and values."""
    return "cache" if installed("transformers") >= _CACHE_ARGUMENT else "past_key_values"


def checkpointing_argument() -> str:
    """Which of `TrainingArguments` switches on that activations are recomputed in the backward pass."""
    return f"{_kind_of_checkpointing()}_checkpointing"


def _kind_of_checkpointing() -> str:
    return "activation" if installed("transformers") >= _ACTIVATION_CHECKPOINTING else "gradient"


def enable_checkpointing(
    base: PreTrainedModel,
    options: Mapping[str, Any],  # Any: torch.utils.checkpoint's options
    *,
    every_n_layers: int,
    offload: bool,
) -> None:
    """Let a base recompute activations in the backward pass.

    Args:
        base: The base.
        options: Those of `torch.utils.checkpoint`.
        every_n_layers: Of so many layers, one is recomputed.
        offload: Whether what is kept is kept in the host's memory.
    """
    kind = _kind_of_checkpointing()
    enable = getattr(base, f"{kind}_checkpointing_enable")
    enable(**{f"{kind}_checkpointing_kwargs": dict(options)}, every_n_layers=every_n_layers, offload=offload)


def checkpoints_activations(base: PreTrainedModel) -> bool:
    """Whether a base recomputes activations in the backward pass."""
    enabled: bool = getattr(base, f"is_{_kind_of_checkpointing()}_checkpointing")
    return enabled


def varlen_options(
    attend: Callable[..., Any],  # Any: torch's signature, which is what differs
    *,
    grouped: bool,
) -> dict[str, Any]:  # Any: torch's other arguments are of other types
    """The keyword arguments that tell `varlen_attn` of grouped heads, where it wants to be told.

    Args:
        attend: `torch.nn.attention.varlen.varlen_attn`.
        grouped: Whether there are fewer heads of keys and values than of queries.

    >>> varlen_options(lambda query, *, enable_gqa=False: query, grouped=True)
    {'enable_gqa': True}
    >>> varlen_options(lambda query: query, grouped=True)
    {}
    """
    return {"enable_gqa": grouped} if "enable_gqa" in _parameters(attend) else {}


@cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:  # Any: as above
    return frozenset(inspect.signature(function).parameters)


class HubErrors(NamedTuple):
    """The errors of the library that huggingface_hub speaks HTTP with.

    Args:
        http: What a request ends in that was not answered well, or not at all.
        transport: What it ends in when the line breaks; one of the former.
    """

    http: type[Exception]
    transport: type[Exception]


def hub_errors() -> HubErrors:
    """Ask huggingface_hub, so that no such library is a dependency of ours."""
    httpx = importlib.import_module("huggingface_hub.utils").httpx
    return HubErrors(httpx.HTTPError, httpx.TransportError)


def plain_prefix_problem() -> str | None:
    """Why plain PEFT cannot be trusted with a prefix in this environment, and what to install; None if it can.

    With these versions it raises "Model does not support past key values" on a model with a head of its own (for
    classes, tags or answers), and in `generate` neither its prefix nor its prompt is right. Ours need no PEFT and work.
    """
    peft, transformers = installed("peft"), installed("transformers")
    if transformers < _CACHE_ARGUMENT or peft > _PEFT_OF_OLD_NAMES:
        return None
    found = [f"{name} {importlib.metadata.version(name)}" for name in ("peft", "transformers")]
    return (
        f"plain PEFT's virtual tokens need transformers below 5.24, which renamed the argument `past_key_values` to "
        f"`cache`; peft up to 0.21.2 passes the old one, and here are {' and '.join(found)}. In an environment of its "
        f'own, `pip install "transformers<5.24"` or a newer peft; with hf_mtl itself these adapters work.'
    )
