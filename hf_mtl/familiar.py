"""Keywords that people know from other trainers, and how each is written here.

TRL's `SFTTrainer` and `SFTConfig` and older versions of transformers have names for much that exists here under another
name, or needs no switch. `Task`, `MultiTaskTrainingArguments` and `MultiTaskTrainer` answer each with what to write.

    >>> FAMILIAR["tokenizer"].instead
    'pass processing_class=tokenizer to MultiTaskTrainer'

`hf_mtl.keywords` gives the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FAMILIAR", "Familiar"]


@dataclass(frozen=True)
class Familiar:
    """A keyword of another trainer.

    Args:
        instead: What to write here.
        same: Values that ask for what is done here anyway; they are taken, as is None.
    """

    instead: str
    same: tuple[object, ...] = ()


_TEMPLATE = Familiar(
    "say what a row becomes with Task(template=...): PromptCompletion('{question}', ' {answer}'), Chat('messages'), "
    "or a function of a row that returns {'prompt': ..., 'completion': ...} or {'messages': [...]}"
)
_COLUMNS = Familiar(
    "name the columns in Task(...): template=PromptCompletion('{question}', ' {answer}') or Chat('messages') for "
    "language models, columns={'text': 'sentence', 'label': 'stars'} for other kinds"
)
_MAX_LENGTH = Familiar("write max_length=..., in MultiTaskTrainingArguments for all tasks or in Task for one")
_ANSWERS = (
    "the loss is always on completions and on the assistant's turns alone; to learn whole texts, "
    "Task(template=PromptCompletion('', '{text}'))"
)
_PACKED = (
    "leave it out: each row stays a sequence, and rows are laid out without padding by themselves; token_budget bounds "
    "a pass"
)
_PREPARED = Familiar("leave it out: rows are tokenised once, and cached by datasets")
_ON_TOKENIZER = Familiar("set it on the tokenizer, and pass processing_class=tokenizer to MultiTaskTrainer")
_ADAPTER = Familiar(
    "pass adapter=LoraConfig(...) to Task, or peft_config=LoraConfig(...) or {'task': LoraConfig(...)} to "
    "MultiTaskTrainer"
)
_LOADED = Familiar(
    "pass a loaded model: load_base('owner/name', dtype='bfloat16', quantization='4bit')[0], or any PreTrainedModel"
)
_TRAIN = Familiar("pass train=rows to Task, or train_dataset={'task': rows} to MultiTaskTrainer")
_EVAL = Familiar("pass eval=rows to Task, or eval_dataset={'task': rows} to MultiTaskTrainer")
_LABELS = Familiar("pass labels=['negative', 'positive'] or their number to Task")
_KIND = Familiar("pass kind='text-classification', 'causal-lm', ... to Task")
_BATCH_SIZE = Familiar(
    "write batch_size=... in Task, or per_device_train_batch_size=... in MultiTaskTrainingArguments"
)
_EPOCHS = Familiar("write num_train_epochs=..., in MultiTaskTrainingArguments or Task")
_TO_TRAINER = Familiar("pass it to MultiTaskTrainer")

FAMILIAR: Mapping[str, Familiar] = MappingProxyType({
    # From a row to tokens.
    "formatting_func": _TEMPLATE,
    "dataset_text_field": Familiar(f"{_COLUMNS.instead}; whole texts are PromptCompletion('', '{{text}}')"),
    "prompt_field": _COLUMNS,
    "text_column": _COLUMNS,
    "text_column_name": _COLUMNS,
    "label_column": _COLUMNS,
    "label_column_name": _COLUMNS,
    "max_seq_length": _MAX_LENGTH,
    "max_seq_len": _MAX_LENGTH,
    "max_length": _MAX_LENGTH,
    "max_prompt_length": _MAX_LENGTH,
    "max_completion_length": _MAX_LENGTH,
    "truncation_mode": Familiar("leave it out: examples above max_length are cut at the end", ("keep_start",)),
    "packing": Familiar(_PACKED, (False,)),
    "eval_packing": Familiar(_PACKED, (False,)),
    "packing_strategy": Familiar(_PACKED),
    "padding_free": Familiar(_PACKED, (True,)),
    "pad_to_multiple_of": Familiar(_PACKED),
    "num_of_sequences": Familiar(_PACKED),
    "chars_per_token": Familiar(_PACKED),
    "assistant_only_loss": Familiar(_ANSWERS, (True,)),
    "completion_only_loss": Familiar(_ANSWERS, (True,)),
    "train_on_inputs": Familiar(_ANSWERS, (False,)),
    "response_template": Familiar(_ANSWERS),
    "instruction_template": Familiar(_ANSWERS),
    "dataset_num_proc": _PREPARED,
    "dataset_batch_size": _PREPARED,
    "dataset_kwargs": _PREPARED,
    "skip_prepare_dataset": _PREPARED,
    "data_collator": Familiar("rows of many tasks are laid out in one batch, by their kinds; " + _TEMPLATE.instead),
    "collate_fn": Familiar("rows of many tasks are laid out in one batch, by their kinds; " + _TEMPLATE.instead),
    "tokenizer": Familiar("pass processing_class=tokenizer to MultiTaskTrainer"),
    "processing_class": _TO_TRAINER,
    "chat_template": Familiar("a task has its own: template=Chat(chat_template=...)"),
    "chat_template_path": _ON_TOKENIZER,
    "eos_token": _ON_TOKENIZER,
    "pad_token": _ON_TOKENIZER,
    "padding_side": Familiar(_PACKED),
    # Model and adapters.
    "peft_config": _ADAPTER,
    "lora_config": _ADAPTER,
    "adapter": _ADAPTER,
    "adapters": _ADAPTER,
    "peft_configs": _ADAPTER,
    "model_init_kwargs": _LOADED,
    "model_name_or_path": Familiar("pass the id, the folder or the model itself as MultiTaskTrainer's first argument"),
    "dtype": _LOADED,
    "torch_dtype": _LOADED,
    "quantization_config": _LOADED,
    "load_in_4bit": _LOADED,
    "load_in_8bit": _LOADED,
    "device_map": Familiar("leave it out: the Trainer places the model on its device"),
    "attn_implementation": Familiar("leave it out: attention within rows of a packed batch is ours"),
    "activation_offloading": Familiar("set gradient_checkpointing=True, or lower token_budget"),
    "use_liger": Familiar("leave it out: it replaces layers that adapters are routed through", (False,)),
    "ref_model": Familiar("leave it out: preferences (DPO and the like) are not trained here"),
    "loss_type": Familiar("leave it out: a task's loss is its kind's; write a kind with losses of its own", ("nll",)),
    # Rows, labels and metrics.
    "train_dataset": _TRAIN,
    "dataset": _TRAIN,
    "dataset_name": _TRAIN,
    "data": _TRAIN,
    "rows": _TRAIN,
    "eval_dataset": _EVAL,
    "test_dataset": Familiar("pass {'task': rows} to the trainer's evaluate or predict after training"),
    "validation": _EVAL,
    "shuffle_dataset": Familiar("leave it out: each task's rows are shuffled by data_seed", (True,)),
    "num_labels": _LABELS,
    "label_names": _LABELS,
    "label_list": _LABELS,
    "id2label": _LABELS,
    "label2id": _LABELS,
    "task_type": _KIND,
    "problem_type": _KIND,
    "compute_metrics": Familiar("pass metrics=['accuracy', ...] to Task, or compute_metrics to MultiTaskTrainer"),
    "callbacks": _TO_TRAINER,
    "model": _TO_TRAINER,
    "tasks": _TO_TRAINER,
    # Settings by other names, and names that transformers has left behind.
    "args": Familiar("pass args=MultiTaskTrainingArguments(...) to MultiTaskTrainer"),
    "lr": Familiar("write learning_rate=..., in MultiTaskTrainingArguments or Task"),
    "epochs": _EPOCHS,
    "num_epochs": _EPOCHS,
    "batch_size": _BATCH_SIZE,
    "per_device_train_batch_size": _BATCH_SIZE,
    "evaluation_strategy": Familiar("write eval_strategy=..."),
    "warmup_ratio": Familiar("write warmup_steps=0.1: below 1 it is a share of the steps"),
    "group_by_length": Familiar("leave it out: passes are filled by length already", (False,)),
    "overwrite_output_dir": Familiar("leave it out; to go on from a checkpoint, train(resume_from_checkpoint=True)"),
    "logging_dir": Familiar("leave it out, and set the environment variable TENSORBOARD_LOGGING_DIR"),
    "no_cuda": Familiar("write use_cpu=True"),
    "save_safetensors": Familiar("leave it out: weights are always safetensors", (True,)),
})  # fmt: skip
