"""The precision of a run: `bf16=True`, or accelerate's setting of mixed precision, is autocast as in the stock Trainer.

accelerate puts autocast around the model's `forward` alone, and rounds call other methods of the model; so every pass
of a run, in training, evaluation and prediction, goes through `forward_pass`. What activation checkpointing recomputes
is under the autocast of its forward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from hf_mtl.adapters import forget_casts, kept_bytes
from hf_mtl.errors import ConfigError

__all__ = ["autocast_dtype_of", "forward_pass", "passing_casts", "precision_problem", "refuse_scaling"]

_FP16 = (
    "it needs loss scaling, which overflows now and then by design; one scale for all tasks would let one task's "
    "overflow cost the others their steps, and look like a task that went bad. Use bf16=True, which needs no scale, or "
    "a base of dtype bfloat16"
)


def refuse_scaling(trainer: Trainer) -> None:
    """Refuse a precision that a trainer's own accelerator brings along, other than the arguments'.

    Raises:
        ConfigError: If it is neither "no" nor "bf16".
    """
    found = trainer.accelerator.mixed_precision
    if (why := precision_problem(found)) is not None:
        raise ConfigError(f"mixed_precision={found!r} is refused: {why}.")


def precision_problem(mixed_precision: str) -> str | None:
    """Why a setting of accelerate is refused, and the way out; None if it is not."""
    if mixed_precision in ("no", "bf16"):
        return None
    why = _FP16 if mixed_precision == "fp16" else "it replaces layers that adapters are routed through"
    return (
        f"{why}. It comes from accelerate's own settings (ACCELERATE_MIXED_PRECISION, `accelerate launch`): set it to "
        f"'no' or 'bf16'"
    )


def autocast_dtype_of(args: TrainingArguments) -> torch.dtype | None:
    """The dtype of a run's autocast; None if it has none."""
    return torch.bfloat16 if args.mixed_precision == "bf16" else None


@contextlib.contextmanager
def forward_pass(trainer: Trainer) -> Iterator[None]:
    """Where a trainer's model runs: in a subclass's `compute_loss_context_manager`, under accelerate's autocast."""
    accelerator = trainer.accelerator
    with trainer.compute_loss_context_manager(), contextlib.ExitStack() as stack:
        if accelerator.native_amp:
            # What `accelerator.autocast()` enters, which looks the dtype up in a state that new arguments replace.
            handler = accelerator.autocast_handler
            options = {} if handler is None else handler.to_kwargs()
            stack.enter_context(torch.autocast(trainer.args.device.type, torch.bfloat16, **options))
        yield


@contextlib.contextmanager
def passing_casts(model: nn.Module) -> Iterator[None]:
    """Free the copies that are kept of a base's frozen weights afterwards, unless they were there before."""
    ours = not kept_bytes(model)
    try:
        yield
    finally:
        if ours:
            forget_casts(model)
