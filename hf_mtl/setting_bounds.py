"""Which numbers the settings of training take, by their names, wherever they are written.

`Task` and a recipe's tasks, the training arguments, the section `training` and its quick check all read these
tables, so that what one of them refuses no other lets through.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from hf_mtl.adapter_limits import MAX_RANK, MAX_VIRTUAL_TOKENS
from hf_mtl.bounds import (
    COUNT,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    WHOLE,
    Bounds,
    bound_problems,
    shown,
)

__all__ = ["ADAPTERS", "ARGUMENTS", "LABELS", "OF_TASK", "adapter_problems"]

LABELS = Bounds(1, 100_000, whole=True)
"""How many labels a task has; each is a name in memory and a row of a head."""

OF_TASK: Mapping[str, Bounds] = MappingProxyType(
    {
        "max_length": COUNT.or_none(),
        "batch_size": COUNT.or_none(),
        "gradient_accumulation_steps": COUNT.or_none(),
        "learning_rate": POSITIVE.or_none(),
        "num_train_epochs": POSITIVE.or_none(),
        "max_steps": COUNT.or_none(),
        "warmup_steps": NOT_NEGATIVE.or_none(),
        "weight_decay": NOT_NEGATIVE.or_none(),
        "max_grad_norm": NOT_NEGATIVE.or_none(),
        "adam_beta1": FRACTION.or_none(),
        "adam_beta2": FRACTION.or_none(),
        "adam_epsilon": POSITIVE.or_none(),
        "early_stopping_patience": COUNT.or_none(),
    }
)
"""Of one task's own settings; None takes the training arguments' value."""

ARGUMENTS: Mapping[str, Bounds] = MappingProxyType(
    {
        # Fields of transformers.
        "adam_beta1": FRACTION,
        "adam_beta2": FRACTION,
        "adam_epsilon": POSITIVE,
        "data_seed": SEED.or_none(),
        "dataloader_num_workers": WHOLE,
        "dataloader_prefetch_factor": COUNT.or_none(),
        "ddp_bucket_cap_mb": COUNT.or_none(),
        "ddp_timeout": COUNT,
        "eval_accumulation_steps": COUNT.or_none(),
        "eval_delay": NOT_NEGATIVE,
        "eval_steps": POSITIVE.or_none(),
        "gradient_accumulation_steps": COUNT,
        "label_smoothing_factor": FRACTION,
        "learning_rate": NOT_NEGATIVE,
        "local_rank": WHOLE.or_also(-1),
        "logging_steps": POSITIVE,
        "max_grad_norm": NOT_NEGATIVE.or_none(),
        "max_steps": COUNT.or_also(-1),  # which stands for "by epochs"
        "neftune_noise_alpha": NOT_NEGATIVE.or_none(),
        "num_train_epochs": NOT_NEGATIVE,
        "per_device_eval_batch_size": COUNT,
        "per_device_train_batch_size": COUNT,
        "save_steps": POSITIVE,
        "save_total_limit": WHOLE.or_none(),
        "seed": SEED,
        "torch_empty_cache_steps": COUNT.or_none(),
        "warmup_steps": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
        # Fields of `MultiTaskTrainingArguments`.
        "max_chunk_tokens": COUNT,
        "max_length": COUNT.or_none(),
        "max_strikes": COUNT,
        "spike_factor": NOT_NEGATIVE,
        "token_budget": COUNT,
    }
)
"""Of the training arguments."""

_RANK = Bounds(1, MAX_RANK, whole=True)
_SIZE = COUNT.or_none()
_PATTERNS: Mapping[str, Bounds] = MappingProxyType({"alpha_pattern": POSITIVE, "rank_pattern": _RANK})

ADAPTERS: Mapping[str, Bounds] = MappingProxyType(
    {
        "encoder_hidden_size": _SIZE,
        "lora_alpha": POSITIVE,
        "lora_dropout": FRACTION,
        "num_attention_heads": _SIZE,
        "num_layers": _SIZE,
        "num_transformer_submodules": _SIZE,
        "num_virtual_tokens": Bounds(1, MAX_VIRTUAL_TOKENS, whole=True),
        "qalora_group_size": COUNT,
        "r": _RANK,
        "token_dim": _SIZE,
    }
)
"""Of peft configurations."""


def adapter_problems(config: object) -> list[str]:
    """What is wrong with the numbers of a peft configuration and its answers of yes or no, by the fields' names."""
    if not dataclasses.is_dataclass(config):
        return []  # not a configuration, which other checks report
    values = vars(config)
    unclear = [
        f"{own.name}: expected True or False, found {shown(values[own.name])}."
        for own in dataclasses.fields(config)
        # How an adapter starts may also be a name.
        if isinstance(own.default, bool) and not own.name.startswith("init_")
        if not isinstance(values.get(own.name), bool | None)
    ]
    return (
        bound_problems(ADAPTERS, values)
        + unclear
        + [
            problem
            for name, bounds in _PATTERNS.items()
            for problem in _pattern_problems(name, bounds, values.get(name))
        ]
    )


def _pattern_problems(name: str, bounds: Bounds, pattern: object) -> Iterator[str]:
    """What is wrong with numbers by names of layers."""
    for key, value in pattern.items() if isinstance(pattern, Mapping) else ():
        if (problem := bounds.problem(value)) is not None:
            yield f"{name}[{key!r}]: {problem}"
