"""Prompt tuning: learned input embeddings that stand before a sequence's own.

Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning" (2021): the base runs on `[P; E(x)]`, where
the `n` rows of `P` are parameters. The sequence becomes `n` tokens longer; nothing is predicted at the virtual ones.
"""

from __future__ import annotations

import copy

from peft import PeftConfig, PromptEmbedding, PromptTuningConfig, PromptTuningInit
from torch import nn
from transformers import PreTrainedModel

from hf_mtl.adapters.update import AdapterPlan
from hf_mtl.adapters.virtual import VirtualTokens, initial_embeddings, option_problems, resolve_base
from hf_mtl.errors import ConfigError, listing

__all__ = ["Prompt", "plan_prompt"]

_HONOURED = frozenset(
    {"prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"}
)


class Prompt(VirtualTokens):
    """The learned prompt of one adapter; its `prompt_embeddings` are `[n, D]`, as wide as the base's embeddings."""


def _problems(config: PromptTuningConfig) -> list[str]:
    problems = option_problems(config, _HONOURED)
    known = [init.value for init in PromptTuningInit]
    if config.prompt_tuning_init not in known:
        problems.append(
            f"PromptTuningConfig(prompt_tuning_init={config.prompt_tuning_init!r}) is unknown; expected one of "
            f"{listing(known)}."
        )
    text = config.prompt_tuning_init == PromptTuningInit.TEXT
    if config.prompt_tuning_init_text is not None and not text and not config.inference_mode:
        problems.append(
            f"PromptTuningConfig(prompt_tuning_init_text={config.prompt_tuning_init_text!r}) has an effect with "
            f"prompt_tuning_init='TEXT' only. Set that, or leave the text out."
        )
    if "trust_remote_code" in (config.tokenizer_kwargs or {}):
        problems.append(
            "PromptTuningConfig(tokenizer_kwargs={'trust_remote_code': ...}) is ignored by PEFT. Leave it out."
        )
    return problems


def plan_prompt(base: nn.Module, config: PeftConfig, seed: int) -> AdapterPlan:
    """A prompt with the initial values that PEFT's `PromptEmbedding` gives it.

    Args:
        base: The base model.
        config: A `PromptTuningConfig`.
        seed: The initial values depend on this seed alone.

    Raises:
        ConfigError: If an option is not supported or the tokenizer of a text cannot be loaded.
    """
    assert isinstance(config, PromptTuningConfig) and isinstance(base, PreTrainedModel)
    config = copy.deepcopy(config)
    problems = _problems(config)
    width, heads = base.config.hidden_size, base.config.num_attention_heads
    problems += resolve_base(config, base, token_dim=width, heads=heads)
    if problems:
        raise ConfigError(problems)
    try:
        embeddings = initial_embeddings(
            base, lambda: PromptEmbedding(config, base.get_input_embeddings()), seed
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"PromptTuningConfig(tokenizer_name_or_path={config.tokenizer_name_or_path!r}): the tokenizer of the "
            f"initial text could not be loaded: {error} Give a Hub id or a folder with a tokenizer."
        ) from error
    return AdapterPlan(config, {}, virtual=Prompt(embeddings))
