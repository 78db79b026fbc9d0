"""Calling the base on a batch: which arguments its class takes, and what of its output is returned."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from typing import Any

from peft import TaskType
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_mtl.data import PaddedBatch
from hf_mtl.models.architectures import Architecture
from hf_mtl.models.virtual_stream import VirtualStream

__all__ = ["BasePass"]

# The tokens `[N]` that the vocabulary head of the pass in flight runs on; None where it runs on all.
_LABELLED: ContextVar[Tensor | None] = ContextVar("hf_mtl_labelled", default=None)


class BasePass:
    """Runs a base of a given architecture.

    The vocabulary head runs on labelled tokens only: where the base's forward takes `logits_to_keep`, by that;
    in a masked language model, by a hook before its head. In other bases it runs on all tokens and the labelled
    ones are taken.

    Args:
        base: The base; it may get a hook.
        architecture: Its row of the table.
    """

    def __init__(self, base: PreTrainedModel, architecture: Architecture) -> None:
        self._base = base
        self._offset = base.config.pad_token_id + 1 if architecture.positions_after_padding else 0
        arguments = inspect.signature(base.forward).parameters
        self._cached = "use_cache" in arguments
        self._keeps = "logits_to_keep" in arguments
        self._has_head = base.get_output_embeddings() is not None
        self._hooked = self._has_head and not self._keeps and architecture.masked_lm_head is not None
        if self._hooked:
            assert architecture.masked_lm_head is not None
            base.get_submodule(architecture.masked_lm_head).register_forward_pre_hook(_take_labelled)

    @property
    def task_type(self) -> TaskType | None:
        """What PEFT calls a base of this kind; it has no name for masked language models."""
        if not self._has_head:
            return TaskType.FEATURE_EXTRACTION
        if self._base.config.is_encoder_decoder:
            return TaskType.SEQ_2_SEQ_LM
        return TaskType.CAUSAL_LM if self._keeps else None

    @property
    def head_on_labels(self) -> bool:
        """Whether the vocabulary head runs on the labelled tokens only."""
        return self._keeps or self._hooked

    def packed(self, stream: VirtualStream) -> Tensor:
        """Logits `[N, V]` at the labels, or hidden states `[T, D]` of the sequences' own tokens."""
        batch = stream.batch
        labelled = _LABELLED.set(batch.label_positions if self._hooked else None)
        try:
            output = self._base(
                **stream.inputs(self._base.get_input_embeddings()),
                position_ids=batch.position_ids.unsqueeze(0) + self._offset,
                **self._options(batch.label_positions),
            )
        finally:
            _LABELLED.reset(labelled)
        if not self._has_head:
            return stream.own_tokens(output.last_hidden_state[0])
        logits: Tensor = output.logits[0]
        return logits

    def padded(self, batch: PaddedBatch) -> Tensor:
        """Logits `[N, V]` at the labels, or hidden states `[B, S, D]`."""
        output = self._base(**batch.inputs, **self._options(batch.label_mask))
        if not self._has_head:
            states: Tensor = output.last_hidden_state
            return states
        logits: Tensor = output.logits if self._keeps else output.logits[batch.label_mask]
        return logits

    def _options(self, labels: Tensor) -> dict[str, Any]:  # Any: arguments of the base's forward
        options: dict[str, Any] = {"use_cache": False} if self._cached else {}
        if self._keeps:
            options["logits_to_keep"] = labels
        return options


def _take_labelled(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Before a head: of the hidden states `[1, T, D]`, the labelled tokens `[1, N, D]`."""
    positions = _LABELLED.get()
    return arguments if positions is None else (arguments[0][:, positions], *arguments[1:])
