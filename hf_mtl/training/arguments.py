"""The arguments of a run: those of `transformers`, and three of our own."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers import TrainingArguments
from transformers.trainer_utils import SaveStrategy
from transformers.training_args import OptimizerNames

from hf_mtl.errors import ConfigError, listing

__all__ = ["MultiTaskTrainingArguments"]

# Optimizers that treat every element of a parameter by itself, so that an adapter may be one flat buffer.
ELEMENTWISE_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop")


@dataclass
class MultiTaskTrainingArguments(TrainingArguments):
    """`TrainingArguments` for many tasks; all other fields keep their meaning.

    Steps (`max_steps`, `logging_steps`, `eval_steps`) count *rounds*: in a round every task that is not
    finished makes one optimizer step on a batch of its own. `per_device_train_batch_size`, `learning_rate`,
    `num_train_epochs` and the like are defaults that a task may override.

    Args:
        token_budget: Most tokens of a micro-batch on one device. It changes memory, never results.
        max_chunk_tokens: Most tokens of one task that are computed together. It changes results by rounding.
    """

    token_budget: int = field(default=4096, metadata={"help": "Most tokens of a micro-batch on one device."})
    max_chunk_tokens: int = field(
        default=1024, metadata={"help": "Most tokens of one task computed together."}
    )
    save_strategy: SaveStrategy | str = field(
        default="no", metadata={"help": "Checkpoints during training; only 'no' is supported so far."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        problems = [*self._size_problems(), *self._unsupported()]
        if problems:
            raise ConfigError(problems)

    def _size_problems(self) -> list[str]:
        problems = [
            f"{name} must be greater than 0, found {value}."
            for name, value in (
                ("token_budget", self.token_budget),
                ("max_chunk_tokens", self.max_chunk_tokens),
            )
            if value <= 0
        ]
        if self.token_budget < self.max_chunk_tokens:
            problems.append(
                f"token_budget={self.token_budget} cannot hold a chunk of max_chunk_tokens={self.max_chunk_tokens}; "
                f"lower max_chunk_tokens or raise token_budget."
            )
        return problems

    def _unsupported(self) -> list[str]:
        """Arguments of the stock Trainer that would be ignored or do harm here: refused, with the way out."""
        saves = SaveStrategy(self.save_strategy) != SaveStrategy.NO
        counts_tokens = str(self.include_num_input_tokens_seen) not in ("no", "False")
        odd_optimizer = OptimizerNames(self.optim).value not in ELEMENTWISE_OPTIMIZERS
        rules: list[tuple[str, bool, str]] = [
            ("save_strategy", saves, "checkpoints are not supported yet; call save_model() at the end"),
            (
                "load_best_model_at_end",
                self.load_best_model_at_end,
                "it needs checkpoints, which do not exist yet",
            ),
            ("push_to_hub", self.push_to_hub, "pushing is not supported yet; upload the adapters' folders"),
            ("optim", odd_optimizer, f"choose one of {listing(ELEMENTWISE_OPTIMIZERS)}"),
            (
                "label_smoothing_factor",
                self.label_smoothing_factor != 0,
                "label smoothing is not supported yet",
            ),
            (
                "neftune_noise_alpha",
                self.neftune_noise_alpha is not None,
                "its noise would tie the tasks together",
            ),
            (
                "auto_find_batch_size",
                self.auto_find_batch_size,
                "set token_budget, which bounds a pass's memory",
            ),
            ("include_num_input_tokens_seen", counts_tokens, "tokens are logged as tokens_per_second"),
            (
                "torch_compile",
                self.torch_compile,
                "every batch has another layout, so each would compile anew",
            ),
            (
                "use_liger_kernel",
                self.use_liger_kernel,
                "it replaces layers that adapters are routed through",
            ),
            ("fp16", self.fp16, "use bf16=True, or a base of dtype bfloat16"),
            ("deepspeed", bool(self.deepspeed), "DeepSpeed is not supported"),
            ("fsdp", bool(self.fsdp), "FSDP is not supported"),
            ("n_gpu", self.n_gpu > 1, "show the process one GPU (CUDA_VISIBLE_DEVICES=0)"),
            ("world_size", self.world_size > 1, "several processes are not supported yet; start one"),
        ]
        return [
            f"{name}={getattr(self, name)!r} is refused: {why}." for name, refused, why in rules if refused
        ]
