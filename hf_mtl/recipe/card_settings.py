"""The settings of a run that differ from the defaults, as its cards show them."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from peft import PeftConfig, PeftType

from hf_mtl.export.cards import Setting
from hf_mtl.recipe.schema import Recipe, TaskSpec
from hf_mtl.training import MultiTaskTrainingArguments

__all__ = ["AdapterFacts", "adapter_facts", "run_settings", "task_settings"]

_TASK = (
    "batch_size", "gradient_accumulation_steps", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type",
    "warmup_steps", "weight_decay", "max_grad_norm", "optim", "adam_beta1", "adam_beta2", "adam_epsilon",
    "metric_for_best_model", "greater_is_better", "early_stopping_patience", "max_length",
)  # fmt: skip
# What changes nothing of the weights: where and when is logged, saved, shown.
_NO_TRAINING = frozenset(
    {
        "dataloader_pin_memory",
        "disable_tqdm",
        "eval_steps",
        "eval_strategy",
        "report_to",
        "run_name",
        "use_cpu",
    }
)
_NO_TRAINING_STARTS = ("hub_", "log", "push_to_hub", "save_", "trackio_", "project")
# What an adapter's config says that is no setting of it.
_NO_SETTING = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision",
        "runtime_config", "task_type",
    }
)  # fmt: skip
_MANY_LAYERS = 10


@dataclass(frozen=True)
class AdapterFacts:
    """What a card says of an adapter's config; see `TaskFacts`."""

    peft_type: str = "LORA"
    rank: int | None = None
    served_by_vllm: bool = False
    settings: tuple[Setting, ...] = ()


def run_settings(recipe: Recipe) -> tuple[Setting, ...]:
    """The training arguments that are not what they are by default, and change what is learned."""
    fields = {own.name: own for own in dataclasses.fields(MultiTaskTrainingArguments)}
    told = {
        name: value
        for name, value in recipe.training.items()
        if name not in _NO_TRAINING and not name.startswith(_NO_TRAINING_STARTS)
    }
    defaults = {name: _default(fields[name]) for name in told if name in fields}
    return _differing(told, defaults)


def task_settings(spec: TaskSpec) -> tuple[Setting, ...]:
    """The settings that a task makes itself, and the options of its kind."""
    said = {name: value for name, value in spec if name in _TASK and value is not None}
    options = dict(spec.kind) if isinstance(spec.kind, Mapping) else {}
    options.pop("name", None)
    return _differing({**said, **{f"kind: {name}": value for name, value in options.items()}}, {})


def adapter_facts(folder: Path) -> AdapterFacts:
    """What the config of an adapter's folder says."""
    config: PeftConfig = PeftConfig.from_pretrained(str(folder))
    content, defaults = config.to_dict(), type(config)().to_dict()
    told = {
        name: value
        for name, value in content.items()
        if name not in _NO_SETTING and (value or defaults.get(name)) and value != defaults.get(name)
    }
    ranks = [content.get("r") or 0, *(content.get("rank_pattern") or {}).values()]
    assert isinstance(config.peft_type, PeftType)  # the config's class says it
    lora = config.peft_type is PeftType.LORA
    return AdapterFacts(
        peft_type=config.peft_type.value,
        rank=max(ranks) if lora else None,
        served_by_vllm=lora and not any(map(content.get, _NOT_FOR_VLLM)) and content.get("bias") == "none",
        settings=_differing(
            {name: _shortened(value) for name, value in told.items()},
            {name: defaults.get(name) for name in told},
        ),
    )


def _shortened(value: object) -> object:
    """Of many layers' full names, the last part of each, once."""
    if not isinstance(value, list | set | tuple) or len(value) <= _MANY_LAYERS:
        return value
    last = sorted({str(each).rpartition(".")[2] for each in value})
    return f"{', '.join(last)} ({len(value)} layers)"


# vLLM refuses the first two; it does not know that a layer may have a rank or scale of its own.
_NOT_FOR_VLLM = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication")


def _default(field: dataclasses.Field[object]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _differing(values: Mapping[str, object], defaults: Mapping[str, object]) -> tuple[Setting, ...]:
    texts = [(name, _text(value), _text(defaults.get(name))) for name, value in values.items()]
    return tuple(
        Setting(name, value, default)
        for name, value, default in texts
        if value is not None and value != default
    )


def _text(value: object) -> str | None:
    """A value as a reader writes it; None for nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=str, sort_keys=True)
    return ", ".join(sorted(map(str, value))) if isinstance(value, Iterable) else str(value)
