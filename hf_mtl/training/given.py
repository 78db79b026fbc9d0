"""What a run is given, as far as its numbers depend on it: every checkpoint holds it, and a resume compares it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hf_mtl.models import RoutedModel
from hf_mtl.models.quantisation import quantisation_note
from hf_mtl.tasks import Sharing, Task, sharing_of
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.owners import Owners
from hf_mtl.training.settings import TaskSettings, defaults_of_shared
from hf_mtl.training.sources import RowSource

__all__ = ["arguments_document", "run_document", "task_document"]

Json = dict[str, Any]  # Any: plain JSON

# Fields of peft's configurations that say nothing of a trained adapter that its parameters, their names and shapes do
# not say: which layers it is on, how it was initialised, where it was loaded from.
_OF_PARAMETERS = (
    "auto_mapping", "base_model_name_or_path", "encoder_hidden_size", "exclude_modules", "feedforward_modules",
    "inference_mode", "init_ia3_weights", "init_lora_weights", "layers_pattern", "layers_to_transform",
    "modules_to_save", "num_attention_heads", "num_layers", "num_transformer_submodules", "num_virtual_tokens",
    "peft_version", "prompt_tuning_init", "prompt_tuning_init_text", "r", "rank_pattern", "revision",
    "runtime_config", "target_modules", "task_type", "token_dim", "tokenizer_kwargs", "tokenizer_name_or_path",
)  # fmt: skip
_OF_TASKS = ("batch_size", "steps", "metric", "greater_is_better", "patience")
_ARGUMENTS = (
    "full_determinism", "max_chunk_tokens", "max_strikes", "metric_for_best_model", "mixture", "nonfinite", "objective",
    "optim_args", "seed", "skip_spikes", "spike_factor", "stop_rule", "tf32",
)  # fmt: skip


def run_document(
    model: RoutedModel,
    tasks: Mapping[str, Task],
    args: MultiTaskTrainingArguments,
    sources: Mapping[str, RowSource],
    settings: Mapping[str, TaskSettings],
    owners: Owners,
) -> Json:
    """What a run is given, as plain JSON.

    Args:
        model: Its model, with the tasks' adapters.
        tasks: Its tasks.
        args: Its arguments.
        sources: Its tasks' rows.
        settings: Its tasks' settings.
        owners: Whose parameters are whose.
    """
    usual = dataclasses.asdict(defaults_of_shared(args, rounds=0))
    shared = {key: value for key, value in usual.items() if key not in _OF_TASKS} if owners.users else None
    return {
        **arguments_document(args),
        "base": model.identity.fingerprint,
        "dtype": str(model.base.dtype).removeprefix("torch."),
        "quantization": quantisation_note(model.base),
        "shared": shared,
        "adapters": {name: _adapter(config) for name, config in model.adapter_configs.items()},
        "tasks": {
            name: {**task_document(tasks[name], source, settings[name]), "uses": sorted(model.routes[name])}
            for name, source in sources.items()
        },
    }


def arguments_document(args: MultiTaskTrainingArguments) -> Json:
    """What of a run's document its arguments say, without a model."""
    return {
        "seed": args.seed if args.data_seed is None else args.data_seed,
        "processes": args.world_size,
        "mixed_precision": str(args.mixed_precision),
        "device": args.device.type,
        "sharing": _sharing(sharing_of(args.sharing)),
        "arguments": {name: _plain(vars(args)[name]) for name in _ARGUMENTS},
    }


def task_document(task: Task, source: RowSource, settings: TaskSettings) -> Json:
    """What of a run's document one task says, without a model."""
    return {
        "settings": dataclasses.asdict(settings),
        "rows": source.fingerprint(),
        "count": source.rows,
        "kind": repr(task.own_kind),
        "labels": list(task.declared.labels or ()),
        "reads": _reads(task),
    }


def _sharing(sharing: Sharing) -> Json:
    """The structure and its options; who is in which group is said by what each task uses."""
    table = None if sharing.relations is None else sharing.relations.table()
    relations = None if table is None else hashlib.sha256(json.dumps(table).encode()).hexdigest()
    return {"name": sharing.name, "relations": relations, "strength": sharing.strength, "tau": sharing.tau}


def _adapter(config: object) -> Json:
    return {name: _plain(value) for name, value in vars(config).items() if name not in _OF_PARAMETERS}


def _reads(task: Task) -> Json:
    """How a row becomes text, for rows that nothing else tells from others: those of a stream."""
    declared = task.declared
    return {
        "template": _plain(declared.template), "columns": _plain(declared.columns), "max_length": declared.max_length,
        "on_bad_row": task.on_bad_row,
    }  # fmt: skip


def _plain(value: object) -> Any:  # Any: plain JSON
    """A value as JSON that is equal in another process; other objects by the name of their class."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(vars(value)[field.name]) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    return value if value is None or isinstance(value, bool | int | float | str) else type(value).__name__
