"""What every argument of the stock Trainer means for a trainer with tasks: honoured, or refused with the way out.

    >>> FIELDS["learning_rate"].name
    'HONOURED'
    >>> print(FIELDS["dataloader_drop_last"].text)
    a step's loss is the mean over its own labels, so a short last batch is kept; select the rows that you want

A field that a new transformers adds is not in the table; set, it is refused until somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hf_mtl.training.treatments import Honoured, Refused, Treatment

__all__ = ["ACCELERATOR_FIELDS", "FIELDS", "PARAMETERS"]

HONOURED, STOCK, SCRIPT = Honoured

# Sharding the base needs its own pass: ranks hold different tasks' chunks, and FSDP2 reduces the gradients of whatever
# parameters happen to come next, of different tasks together.
_SHARDED = Refused(
    "the base is not sharded yet, and ranks that hold different tasks would mix their gradients",
    "start one process per GPU with torchrun, each with the whole base, in 4 bits (quantization='4bit' in load_base) "
    "if it is large",
    neutral=(None, False, "", [], {}),
)
_NO_DDP = Refused(
    "processes are not wrapped in DistributedDataParallel: one all-reduce of one flat buffer adds up the gradients",
    "leave it out",
)
_NO_LOADER = Refused(
    "rows are tokenised before training, and a round is put together in this process as soon as it is due",
    "leave it out",
)
_NO_COMPILE = Refused("every batch has another layout, so each would compile anew", "leave it out")
_LIGER = Refused("it replaces layers that adapters are routed through", "leave it out")
_LENGTHS = Refused(
    "each task's rows are shuffled by data_seed, and passes are filled by length already, so that little or nothing "
    "is padded",
    "leave it out",
)
_FULL_EVAL = Refused(
    "it converts the model itself, the adapters that are trained too, and does not convert it back",
    "use bf16=True, with which evaluation runs in bfloat16 and the weights stay as they are, or a base of dtype "
    "bfloat16",
)
_WHOLE = Refused(
    "compute_metrics is called once per task, with all its rows as one table of predictions and one of labels",
    "leave it out",
)

FIELDS: Mapping[str, Treatment] = {
    # Steps and batches.
    "output_dir": HONOURED,
    "per_device_train_batch_size": HONOURED,
    "num_train_epochs": HONOURED,
    "max_steps": HONOURED,
    "gradient_accumulation_steps": HONOURED,
    "average_tokens_across_devices": Refused(
        "the loss of a task is the mean over its labels in all processes, so that their number changes no result",
        "leave it out",
    ),
    "auto_find_batch_size": Refused(
        "batches are part of the result",
        "set token_budget, which bounds a pass's memory and changes no result",
    ),
    # Optimizers and schedules; of `optim`, `optim_args` and `lr_scheduler_type` some values are refused.
    "learning_rate": HONOURED,
    "lr_scheduler_type": HONOURED,
    "lr_scheduler_kwargs": HONOURED,
    "warmup_steps": HONOURED,
    "optim": HONOURED,
    "optim_args": HONOURED,
    "optim_target_modules": Refused(
        "it belongs to GaLore and APOLLO, which see whole matrices, and an adapter here is one flat buffer",
        "choose what is trained by target_modules of the task's peft configuration",
    ),
    "weight_decay": HONOURED,
    "adam_beta1": HONOURED,
    "adam_beta2": HONOURED,
    "adam_epsilon": HONOURED,
    "max_grad_norm": HONOURED,
    "label_smoothing_factor": Refused("label smoothing is not supported yet", "leave it out"),
    "neftune_noise_alpha": Refused(
        "its noise is drawn over the whole batch and would tie the tasks together",
        "use lora_dropout, whose masks are each task's own",
    ),
    # Precision and memory.
    "bf16": HONOURED,
    "fp16": Refused(
        "it needs loss scaling, which overflows now and then by design; one scale for all tasks would let one task's "
        "overflow cost the others their steps, and look like a task that went bad",
        "use bf16=True, which needs no scale, or a base of dtype bfloat16",
    ),
    "bf16_full_eval": _FULL_EVAL,
    "fp16_full_eval": _FULL_EVAL,
    "tf32": STOCK,
    "activation_checkpointing": HONOURED,
    "activation_checkpointing_kwargs": HONOURED,
    "gradient_checkpointing": HONOURED,
    "gradient_checkpointing_kwargs": HONOURED,
    "torch_compile": _NO_COMPILE,
    "torch_compile_backend": _NO_COMPILE,
    "torch_compile_mode": _NO_COMPILE,
    "use_liger_kernel": _LIGER,
    "liger_kernel_config": _LIGER,
    "use_cache": Refused(
        "a pass over the tasks' rows reads every token once and keeps no cache",
        "leave it out; generation has its own",
    ),
    "torch_empty_cache_steps": Refused(
        "the allocator's cache is left to the allocator",
        "lower token_budget, or set PYTORCH_ALLOC_CONF=expandable_segments:True",
    ),
    # Logging and trackers.
    "logging_strategy": HONOURED,
    "logging_steps": HONOURED,
    "logging_first_step": HONOURED,
    "log_on_each_node": STOCK,
    "logging_nan_inf_filter": Refused(
        "the log's loss is the mean of the tasks' finite losses, and one that is not finite is logged by task",
        "leave it out, or set nonfinite='raise' to end the run",
    ),
    "include_num_input_tokens_seen": Refused(
        "tokens are counted by task",
        "read <task>/tokens and tokens_per_second in the log",
        neutral=("no", False),
    ),
    "log_level": STOCK,
    "log_level_replica": STOCK,
    "disable_tqdm": HONOURED,
    "report_to": STOCK,
    "run_name": STOCK,
    "project": STOCK,
    "trackio_space_id": STOCK,
    "trackio_bucket_id": STOCK,
    "trackio_static_space_id": STOCK,
    "debug": HONOURED,
    "skip_memory_metrics": Refused("memory is measured anyway", "read memory_mib in the log"),
    # Evaluation.
    "eval_strategy": HONOURED,
    "eval_steps": HONOURED,
    "eval_delay": HONOURED,
    "eval_on_start": HONOURED,
    "per_device_eval_batch_size": Refused(
        "an evaluation pass is filled with rows of all tasks, and figures do not depend on how many there are",
        "set token_budget, which bounds a pass's memory",
    ),
    "prediction_loss_only": Refused(
        "each task names what is measured", "declare Task(..., metrics=()), which measures the loss alone"
    ),
    "eval_do_concat_batches": _WHOLE,
    "eval_use_gather_object": Refused("rows' outcomes are always gathered as objects", "leave it out"),
    "eval_accumulation_steps": Refused(
        "what is kept of a pass is moved to the CPU after it",
        "set token_budget, which bounds a pass's memory",
    ),
    "include_for_metrics": Refused(
        "compute_metrics gets predictions and labels", "read each task's loss among the figures of evaluate()"
    ),
    "batch_eval_metrics": _WHOLE,
    "label_names": Refused(
        "a task's kind says what its labels are", "name the rows' columns by Task(..., columns={...})"
    ),
    # Checkpoints and best weights.
    "save_strategy": HONOURED,
    "save_steps": HONOURED,
    "save_on_each_node": STOCK,
    "save_total_limit": HONOURED,
    "save_only_model": Refused(
        "a checkpoint is whole, or a resume would not be exact",
        "take the PEFT folders under adapters/ in a checkpoint, or save_model()",
    ),
    "enable_jit_checkpoint": Refused(
        "SIGTERM, SIGINT and SIGHUP always let the round end and write a checkpoint", "leave it out"
    ),
    "load_best_model_at_end": HONOURED,
    "metric_for_best_model": HONOURED,
    "greater_is_better": HONOURED,
    "ignore_data_skip": Refused(
        "a resume always goes on at the very next rows, without reading the earlier ones",
        "leave it out",
    ),
    "restore_callback_states_from_checkpoint": HONOURED,
    # The Hub.
    "push_to_hub": HONOURED,
    "hub_token": HONOURED,
    "hub_private_repo": HONOURED,
    "hub_model_id": HONOURED,
    "hub_strategy": HONOURED,
    "hub_always_push": HONOURED,
    "hub_revision": HONOURED,
    # Seeds.
    "full_determinism": HONOURED,
    "seed": HONOURED,
    "data_seed": HONOURED,
    # Rows.
    "dataloader_drop_last": Refused(
        "a step's loss is the mean over its own labels, so a short last batch is kept",
        "select the rows that you want",
    ),
    "dataloader_num_workers": _NO_LOADER,
    "dataloader_pin_memory": _NO_LOADER,
    "dataloader_persistent_workers": _NO_LOADER,
    "dataloader_prefetch_factor": _NO_LOADER,
    "dataloader_multiprocessing_context": _NO_LOADER,
    "dataloader_in_order": _NO_LOADER,
    "remove_unused_columns": Refused(
        "a task reads the columns that its kind and template name, and no others", "leave it out"
    ),
    "train_sampling_strategy": _LENGTHS,
    "length_column_name": _LENGTHS,
    # Processes and devices.
    "use_cpu": STOCK,
    "accelerator_config": STOCK,  # field by field: ACCELERATOR_FIELDS
    "parallelism_config": _SHARDED,
    "ddp_find_unused_parameters": _NO_DDP,
    "ddp_bucket_cap_mb": _NO_DDP,
    "ddp_broadcast_buffers": _NO_DDP,
    "ddp_static_graph": _NO_DDP,
    "ddp_backend": STOCK,
    "ddp_timeout": STOCK,
    "fsdp": _SHARDED,
    "fsdp_config": _SHARDED,
    "deepspeed": _SHARDED,
    # What no Trainer reads.
    "do_train": SCRIPT,
    "do_eval": SCRIPT,
    "do_predict": SCRIPT,
    "resume_from_checkpoint": SCRIPT,
    "local_rank": SCRIPT,
}

ACCELERATOR_FIELDS: Mapping[str, Treatment] = {
    "split_batches": Refused(
        "a task's batch_size counts rows over all processes already, and every process knows its share of a round",
        "divide per_device_train_batch_size by the number of processes, or set Task(..., batch_size=...)",
    ),
    "dispatch_batches": _NO_LOADER,
    "even_batches": Refused(
        "every process knows its share of a round, and no row is repeated to fill it up", "leave it out"
    ),
    "use_seedable_sampler": Refused(
        "each task's rows are shuffled by a generator of its own, seeded by data_seed", "leave it out"
    ),
    "non_blocking": _NO_LOADER,
    "gradient_accumulation_kwargs": Refused(
        "a round is computed as a whole, its gradients summed over processes once",
        "set gradient_accumulation_steps",
    ),
    "use_configured_state": STOCK,
}

PARAMETERS: Mapping[str, Treatment] = {
    "model": HONOURED,
    "args": HONOURED,
    "processing_class": HONOURED,
    "compute_metrics": HONOURED,
    "callbacks": HONOURED,
    "data_collator": Refused(
        "rows of many tasks are laid out in one batch, by their kinds",
        "say what a row becomes with Task(kind=...), Task(template=...) or Task(columns=...)",
    ),
    "train_dataset": Refused("each task brings its own rows", "pass Task(..., train=...)"),
    "eval_dataset": Refused(
        "each task brings its own rows", "pass Task(..., eval=...), or evaluate({'task': rows})"
    ),
    "model_init": Refused(
        "adapters start from the arguments' `seed`, so a model is never made anew",
        "pass the model, and make one trainer for each run",
    ),
    "compute_loss_func": Refused(
        "a task's loss is its kind's",
        "write a kind with `losses` of its own and pass Task(kind=...), see docs/kinds.md",
    ),
    "optimizers": Refused(
        "every task has an optimizer and a schedule of its own",
        "set `optim`, `learning_rate` and `lr_scheduler_type` in the arguments or in Task(...)",
    ),
    "optimizer_cls_and_kwargs": Refused(
        "every task has an optimizer of its own, over one flat buffer",
        "set `optim` and `optim_args` in the arguments, or `optim` in Task(...)",
    ),
    "preprocess_logits_for_metrics": Refused(
        "logits are reduced as each pass gives them, by the task's kind",
        "name metrics in Task(metrics=...), or pass compute_metrics, which gets the kind's predictions",
    ),
}
