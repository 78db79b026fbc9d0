"""Virtual tokens: what prefix tuning and prompt tuning have in common.

Adapters of these kinds change no layer. They own `n` virtual tokens that stand before the sequences of their
routes, as keys and values of every layer (`hf_mtl.adapters.prefix`) or as input embeddings
(`hf_mtl.adapters.prompt`), and PEFT saves them under one key, `prompt_embeddings`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Callable, Mapping, Set

import torch
from peft import PromptLearningConfig, TaskType
from torch import Tensor, nn
from transformers import PreTrainedModel

__all__ = ["COMMON_OPTIONS", "VirtualTokens", "initial_embeddings", "option_problems", "resolve_base"]

# The options of every config with virtual tokens that are honoured.
COMMON_OPTIONS = frozenset(
    {"peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "peft_version",
     "num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"}
)  # fmt: skip


class VirtualTokens(nn.Module, ABC):
    """Abstract: the virtual tokens of one adapter.

    Args:
        prompt_embeddings: `[n, E]`, one row per virtual token; what `E` is, is the kind's affair.
    """

    def __init__(self, prompt_embeddings: Tensor) -> None:
        super().__init__()
        self.prompt_embeddings = nn.Parameter(prompt_embeddings)

    @property
    def count(self) -> int:
        """`n`, the number of virtual tokens."""
        return self.prompt_embeddings.shape[0]

    def file_parameters(self) -> Mapping[str, nn.Parameter]:
        """The one parameter, by its key in PEFT's files."""
        return {"prompt_embeddings": self.prompt_embeddings}

    def extra_repr(self) -> str:
        """The number of virtual tokens, for `print(model)`."""
        return f"n={self.count}"


def option_problems(config: PromptLearningConfig, honoured: Set[str]) -> list[str]:
    """What of a config cannot be honoured, one message per option."""
    kind = type(config).__name__
    problems = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in honoured | COMMON_OPTIONS and value != field.default:
            problems.append(
                f"{kind}({field.name}={value!r}) is not supported, and would have to be ignored. Leave it at "
                f"{field.default!r}."
            )
    if config.num_transformer_submodules not in (None, 1):
        problems.append(
            f"{kind}(num_transformer_submodules={config.num_transformer_submodules!r}) is not supported: the base is "
            f"one stack of layers. Leave it out."
        )
    return problems


def resolve_base(
    config: PromptLearningConfig, base: PreTrainedModel, *, token_dim: int, heads: int
) -> list[str]:
    """Fill in what PEFT saves of the base; returns a message for each option that was given and differs.

    The task type decides what plain PEFT makes of the folder: a base that generates is a `CAUSAL_LM`, any other one,
    also a masked language model, works in it as `FEATURE_EXTRACTION` only.
    """
    task_type = TaskType.CAUSAL_LM if base.can_generate() else TaskType.FEATURE_EXTRACTION
    sizes = {
        "token_dim": token_dim,
        "num_attention_heads": heads,
        "num_layers": base.config.num_hidden_layers,
    }
    problems = []
    if config.task_type not in (None, task_type):
        problems.append(
            f"{type(config).__name__}(task_type={config.task_type!r}) is not supported on a {type(base).__name__}; "
            f"expected {task_type.value!r}."
        )
    for name, size in sizes.items():
        given = getattr(config, name)
        if given not in (None, size):
            problems.append(
                f"{type(config).__name__}({name}={given!r}) does not fit this base, which needs {size}. Leave it out."
            )
        setattr(config, name, size)
    config.num_transformer_submodules = 1
    config.task_type = task_type
    return problems


def initial_embeddings(base: PreTrainedModel, make: Callable[[], nn.Module], seed: int) -> Tensor:
    """The table that PEFT's own encoder starts with, in fp32 or wider, on the base's device.

    Args:
        base: The base model.
        make: Builds the encoder; it has an `nn.Embedding` called `embedding`.
        seed: The values depend on this seed alone.
    """
    devices = {p.device.index for p in base.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=[index for index in devices if index is not None]):
        torch.manual_seed(seed)
        table = make().get_submodule("embedding")
    assert isinstance(table, nn.Embedding)
    embeddings = base.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    dtype = torch.promote_types(torch.float32, embeddings.weight.dtype)
    return table.weight.detach().to(base.device, dtype)
