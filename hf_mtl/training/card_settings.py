"""The settings of a run that differ from the defaults, as its cards show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from hf_mtl.export.cards import Setting, differing
from hf_mtl.training.arguments import MultiTaskTrainingArguments

__all__ = ["run_settings", "task_settings"]

_TASK = (
    "batch_size", "gradient_accumulation_steps", "learning_rate", "num_train_epochs", "max_steps", "lr_scheduler_type",
    "warmup_steps", "weight_decay", "max_grad_norm", "optim", "adam_beta1", "adam_beta2", "adam_epsilon",
    "metric_for_best_model", "greater_is_better", "early_stopping_patience", "max_length",
)  # fmt: skip
# What changes nothing of the weights: where and when is logged, saved, shown.
_NO_TRAINING = frozenset(
    {
        "dataloader_pin_memory", "disable_tqdm", "eval_steps", "eval_strategy", "ignore_data_skip", "output_dir",
        "report_to", "run_name", "use_cpu",
    }
)  # fmt: skip
_NO_TRAINING_STARTS = ("hub_", "log", "push_to_hub", "save_", "trackio_", "project")


def run_settings(arguments: Mapping[str, object]) -> tuple[Setting, ...]:
    """The training arguments that are not what they are by default, and change what is learned."""
    fields = {own.name: own for own in dataclasses.fields(MultiTaskTrainingArguments)}
    told = {
        name: value
        for name, value in arguments.items()
        if name not in _NO_TRAINING and not name.startswith(_NO_TRAINING_STARTS)
    }
    return differing(told, {name: _default(fields[name]) for name in told if name in fields})


def _default(field: dataclasses.Field[object]) -> object:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def task_settings(settings: Mapping[str, object]) -> tuple[Setting, ...]:
    """The settings that a task makes itself, and the options of its kind."""
    said = {name: settings[name] for name in _TASK if settings.get(name) is not None}
    kind = settings.get("kind")
    options = (
        {f"kind: {name}": own for name, own in kind.items() if name != "name"}
        if isinstance(kind, Mapping)
        else {}
    )
    return differing({**said, **options}, {})
