"""Calling the base on a batch: which arguments its class takes, and what of its output is returned."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from peft import TaskType
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_mtl.data import PaddedBatch
from hf_mtl.models.architectures import Architecture
from hf_mtl.models.virtual_stream import VirtualStream
from hf_mtl.versions import keeps_masked_logits

__all__ = ["BaseOutput", "BasePass"]

# The tokens `[N]` that the vocabulary head of the pass in flight runs on; None where it runs on all.
_LABELLED: ContextVar[Tensor | None] = ContextVar("hf_mtl_labelled", default=None)
# Where the trunk of the pass in flight leaves its states; None where nobody wants them.
_STATES: ContextVar[list[Tensor] | None] = ContextVar("hf_mtl_states", default=None)


@dataclass(frozen=True)
class BaseOutput:
    """What one pass of the base gives.

    Args:
        logits: `[N, V]` at the labels of the vocabulary head; None if it was not asked for, or there is none.
        states: The last hidden states: `[T, D]` of the sequences' own tokens, or `[B, S, D]` of rows (the decoder's,
            if there is one); None if they were not asked for.
        encoder_states: An encoder-decoder's `[B, S_enc, D]`.
        with_prompts: Where a sequence of the stream has a prompt: each sequence's states, the prompt's first.
    """

    logits: Tensor | None = None
    states: Tensor | None = None
    encoder_states: Tensor | None = None
    with_prompts: tuple[Tensor, ...] = ()

    @property
    def decoded(self) -> Tensor:
        """The logits of a pass that was asked for them."""
        assert self.logits is not None
        return self.logits


class BasePass:
    """Runs a base of a given architecture.

    The vocabulary head runs on labelled tokens only: where the base's forward takes `logits_to_keep`, by that;
    in a masked language model, by a hook before its head. In other bases it runs on all tokens and the labelled
    ones are taken. A pass that nobody wants logits of leaves it out, where the base has a trunk of its own.

    Args:
        base: The base; it may get hooks.
        architecture: Its row of the table.
    """

    def __init__(self, base: PreTrainedModel, architecture: Architecture) -> None:
        self._base = base
        self._offset = base.config.pad_token_id + 1 if architecture.positions_after_padding else 0
        arguments = inspect.signature(base.forward).parameters
        self._cached = "use_cache" in arguments
        self._writes = "logits_to_keep" in arguments
        self._keeps = self._writes and (architecture.packed or keeps_masked_logits())
        self.has_head = base.get_output_embeddings() is not None
        self._trunk = base.base_model if self.has_head and base.base_model is not base else None
        self._hooked = self.has_head and not self._keeps and architecture.masked_lm_head is not None
        if self._hooked:
            assert architecture.masked_lm_head is not None
            base.get_submodule(architecture.masked_lm_head).register_forward_pre_hook(_take_labelled)
        if self.has_head:
            (self._trunk or base.get_decoder()).register_forward_hook(_leave_states)

    @property
    def task_type(self) -> TaskType | None:
        """What PEFT calls a base of this kind; it has no name for masked language models and vision models.

        Each of its names stands for a class that hands a text's arguments on to the base; CLIP's and SigLIP's vision
        models take no `attention_mask`.
        """
        if self._base.main_input_name == "pixel_values":
            return None
        if not self.has_head:
            return TaskType.FEATURE_EXTRACTION
        if self._base.config.is_encoder_decoder:
            return TaskType.SEQ_2_SEQ_LM
        return TaskType.CAUSAL_LM if self._writes else None

    @property
    def head_on_labels(self) -> bool:
        """Whether the vocabulary head runs on the labelled tokens only."""
        return self._keeps or self._hooked

    def packed(self, stream: VirtualStream, *, logits: bool, states: bool) -> BaseOutput:
        """Run the base on a stream."""
        batch = stream.batch
        inputs: dict[str, Any] = {  # Any: arguments of the base's forward
            **stream.inputs(self._base.get_input_embeddings()),
            "position_ids": batch.position_ids.unsqueeze(0) + self._offset,
        }
        if batch.token_type_ids is not None:
            inputs["token_type_ids"] = batch.token_type_ids.unsqueeze(0)
        labels = batch.label_positions
        with _labelled(labels if self._hooked and logits else None), _wanted(states) as found:
            output = self._run(inputs, labels, logits=logits)
        decoded = output.logits[0] if self.has_head and logits else None
        if decoded is not None and not states:
            return BaseOutput(decoded)
        states_TD: Tensor = found[0][0] if decoded is not None else output.last_hidden_state[0]
        rows = states_TD.split(stream.batch.lengths) if stream.prompts else ()
        return BaseOutput(decoded, stream.own_tokens(states_TD), with_prompts=rows)

    def padded(self, batch: PaddedBatch, *, logits: bool, states: bool) -> BaseOutput:
        """Run the base on rows."""
        with _wanted(states) as found:
            output = self._run(dict(batch.inputs), batch.label_mask, logits=logits)
        if not self.has_head or (self._trunk is not None and not logits):
            return BaseOutput(None, output.last_hidden_state)
        kept: Tensor = output.logits if self._keeps else output.logits[batch.label_mask]
        if not states:
            return BaseOutput(kept)
        paired = self._base.config.is_encoder_decoder
        return BaseOutput(kept, found[0], output.encoder_last_hidden_state if paired else None)

    def _run(self, inputs: dict[str, Any], labels: Tensor, *, logits: bool) -> Any:  # Any: the base's output
        if self._cached:
            inputs["use_cache"] = False
        if not logits and self._trunk is not None:
            return self._trunk(**inputs)
        if self._keeps:
            inputs["logits_to_keep"] = labels
        return self._base(**inputs)


@contextlib.contextmanager
def _labelled(positions: Tensor | None) -> Iterator[None]:
    token = _LABELLED.set(positions)
    try:
        yield
    finally:
        _LABELLED.reset(token)


@contextlib.contextmanager
def _wanted(states: bool) -> Iterator[list[Tensor]]:
    found: list[Tensor] = []
    token = _STATES.set(found if states else None)
    try:
        yield found
    finally:
        _STATES.reset(token)


def _leave_states(
    module: nn.Module, arguments: tuple[Any, ...], output: Any
) -> None:  # Any: a module's own arguments and output
    """After the trunk: leave its last hidden states where the pass in flight wants them."""
    found = _STATES.get()
    if found is not None:
        found.append(output.last_hidden_state)


def _take_labelled(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Before a head: of the hidden states `[1, T, D]`, the labelled tokens `[1, N, D]`."""
    positions = _LABELLED.get()
    return arguments if positions is None else (arguments[0][:, positions], *arguments[1:])
