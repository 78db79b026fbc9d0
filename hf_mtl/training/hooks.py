"""Every method of the stock Trainer: what becomes of it when a subclass overrides it and there are tasks.

A run with tasks goes through the stock training loop, but not through its batches, its loss and its evaluation loop. An
override of a method that is never called would be ignored without a word, so it is refused when the trainer is made.
`tests/training/test_hooks.py` walks the class, so that a method of a new transformers fails until it stands here, and
traces runs, so that what is said here is so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from transformers import Trainer

__all__ = ["CALLED", "FOR_THE_USER", "NOT_CALLED", "hook_problems"]

# Called by a run with tasks, by the stock loop or by us: an override is honoured.
CALLED = frozenset(
    {
        # construction
        "_build_accelerator_args", "_move_model_to_device", "_validate_args", "add_callback",
        "create_accelerator_and_postprocess", "init_hf_repo", "is_local_process_zero", "is_world_process_zero",
        "remove_callback",
        # the loop
        "_finalize_training", "_hp_search_setup", "_init_training_state", "_inner_training_loop",
        "_load_callback_state", "_maybe_log_save_evaluate", "_prepare_for_training", "_run_epoch", "_wrap_model",
        "get_batch_samples", "get_train_dataloader", "set_initial_training_values", "train",
        # the step
        "_clip_grad_norm", "_get_grad_norm", "_get_learning_rate", "_track_num_input_tokens",
        "autocast_smart_context_manager", "compute_loss_context_manager", "create_optimizer", "create_scheduler",
        "floating_point_ops", "get_optimizer_cls_and_kwargs", "training_step",
        # figures
        "_determine_best_metric", "_evaluate", "_report_to_hp_search", "evaluate", "log", "store_flos",
        # checkpoints and the Hub
        "_finish_current_push", "_get_output_dir", "_load_from_checkpoint", "_load_optimizer_and_scheduler",
        "_load_rng_state", "_load_scaler", "_push_from_checkpoint", "_save_checkpoint", "create_model_card",
        "push_to_hub",
    }
)  # fmt: skip

# Called by users and by nothing else: an override is theirs.
FOR_THE_USER = frozenset(
    {
        "end", "get_learning_rates", "get_num_trainable_parameters", "get_optimizer_group", "hyperparameter_search",
        "log_metrics", "metrics_format", "pop_callback", "predict", "save_metrics", "save_state",
    }
)  # fmt: skip

_LOSS = (
    "a task's loss is its kind's. Write a kind with `losses` of its own and pass Task(kind=...), see "
    "docs/kinds.md; to change gradients, override training_step and call super().training_step(...)"
)
_EVALUATION = (
    "evaluation measures all tasks in shared passes. Name metrics in Task(metrics=...) or pass "
    "compute_metrics; or override evaluate, and add your figures to what super().evaluate(...) gives"
)
_ROWS = (
    "rounds are made of each task's own rows. What a row becomes is said by Task(kind=..., template=..., "
    "columns=...), who takes part by `mixture`; a stream of rows of your own is "
    "Task(train=<IterableDataset>)"
)
_SAVED = (
    "a checkpoint is written as a whole, in a form of its own. Let a callback's on_save write further "
    "files, or use hf_mtl.export.save_suite for another form of the adapters"
)
_STATE = (
    "a checkpoint is written as a whole, in a form of its own; make a callback stateful (ExportableState)"
)
_SHARDED = "the base is neither sharded nor split over processes. There is nothing to do here: leave it out"

# Never called when there are tasks: an override is refused, with the way to do it here.
NOT_CALLED: Mapping[str, str] = MappingProxyType(
    {
        "compute_loss": _LOSS,
        "loss_is_scaled_for_ga": _LOSS,
        "_get_num_items_in_batch": _LOSS,
        "prediction_step": _EVALUATION,
        "evaluation_loop": _EVALUATION,
        "get_eval_dataloader": _EVALUATION,
        "get_test_dataloader": _EVALUATION,
        "_get_eval_sampler": _EVALUATION,
        "_prepare_input": _ROWS,
        "_prepare_inputs": _ROWS,
        "_get_dataloader": _ROWS,
        "_get_train_sampler": _ROWS,
        "_set_signature_columns_if_needed": _ROWS,
        "_remove_unused_columns": _ROWS,
        "_get_collator_with_removed_columns": _ROWS,
        "num_examples": _ROWS,
        "get_total_train_batch_size": _ROWS,
        "_update_auto_batch_size": _ROWS,
        "get_decay_parameter_names": "biases and norms are never decayed, other weights by `weight_decay` "
        "of the arguments or of Task(...). For another choice override create_optimizer and change the "
        "weight_decay of the param_groups that super().create_optimizer() gives",
        "create_optimizer_and_scheduler": "the loop calls create_optimizer and create_scheduler; override "
        "those, and call super() in them",
        "save_model": _SAVED,
        "_save": _SAVED,
        "_tune_save_checkpoint": _SAVED,
        "_save_rng_state": _STATE,
        "_save_optimizer_and_scheduler": _STATE,
        "_save_scaler": _STATE,
        "_load_best_model": "every task gets its own best weights back, by its own metric_for_best_model. "
        "Set that in Task(...), or leave load_best_model_at_end=False and load a folder's adapters "
        "afterwards",
        "_issue_warnings_after_load": "a checkpoint's weights fit, or are refused. There is nothing to do "
        "here: leave it out",
        "call_model_init": "a model is never made anew. Pass the model, and make one trainer for each run",
        "_prepare_context_parallel_inputs": _SHARDED,
        "_defer_fsdp_gradient_reduction": _SHARDED,
        "_sync_replicated_trainable_parameters": _SHARDED,
        "_has_mixed_mesh_grads": _SHARDED,
        "_mixed_mesh_grad_norm": _SHARDED,
        "get_cp_size": _SHARDED,
        "get_sp_size": _SHARDED,
        "get_tp_size": _SHARDED,
    }
)


def hook_problems(trainer: Trainer, ours: type[Trainer]) -> list[str]:
    """Overrides that would be ignored when there are tasks, in a trainer's class or put on the object itself.

    Args:
        trainer: The trainer; it need not be constructed yet.
        ours: The class of this library that its own class derives from.
    """
    order = type(trainer).__mro__
    foreign = [cls for cls in order[: order.index(Trainer)] if cls not in ours.__mro__]
    problems = [
        _ignored(f"{cls.__name__}.{name}", name)
        for cls in foreign
        for name in vars(cls)
        if name in NOT_CALLED
    ]
    problems += [_ignored(f"the trainer's own {name}", name) for name in vars(trainer) if name in NOT_CALLED]
    behind = [cls for cls in foreign if order.index(cls) > order.index(ours)]
    return problems + [
        f"{cls.__name__}.{name} stands behind {ours.__name__}.{name}, so it is not called when there are "
        f"tasks. Name "
        f"{cls.__name__} first: class {type(trainer).__name__}({cls.__name__}, {ours.__name__})."
        for cls in behind
        for name in vars(cls)
        if name in _replaced(ours)
    ]


def _replaced(ours: type[Trainer]) -> set[str]:
    """The methods of the stock Trainer that our classes have in its place."""
    between = [cls for cls in ours.__mro__ if issubclass(cls, Trainer) and cls is not Trainer]
    return {
        name
        for cls in between
        for name in vars(cls)
        if name in vars(Trainer) and name in CALLED | FOR_THE_USER
    }


def _ignored(what: str, name: str) -> str:
    return f"{what} is not called when there are tasks: {NOT_CALLED[name]}. Without tasks it works as in Trainer."
