"""One frozen base, many adapters, and a forward pass in which every token goes through its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from transformers import BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel

from hf_mtl.adapters import (
    PassMemory,
    RoutedPass,
    Span,
    frozen_layers,
    install,
    keep_trainable,
    recompute_contexts,
)
from hf_mtl.data import PackedBatch, PaddedBatch, Segment, route_parts, without_labels_of
from hf_mtl.errors import ConfigError, listing
from hf_mtl.heads import Pool
from hf_mtl.models.attention import PACKED, register_packed_attention
from hf_mtl.models.base import BaseIdentity, identify, load_base
from hf_mtl.models.base_pass import BaseOutput, BasePass
from hf_mtl.models.causality import is_causal
from hf_mtl.models.ends import stopping
from hf_mtl.models.head_states import logits_of_routes, states_of_routes
from hf_mtl.models.layouts import architecture_of, layout_of
from hf_mtl.models.passes import packed_pass, padded_pass, pooler_pass
from hf_mtl.models.rates import switch_dropout_off
from hf_mtl.models.routed_adapters import RoutedAdapters
from hf_mtl.models.saved.loading import place_adapters, read_adapters
from hf_mtl.models.virtual_inputs import prepend_virtual_tokens
from hf_mtl.models.virtual_stream import VirtualStream, lay_out
from hf_mtl.models.whole import refuse_base
from hf_mtl.versions import enable_checkpointing

__all__ = ["RoutedModel"]


class RoutedModel(RoutedAdapters):
    """A frozen base with named adapters, whose forward takes batches of mixed routes, packed or padded.

    The base object is taken over: its parameters are frozen, its linear layers wrapped where an adapter changes
    them, its attention set to ours, and its own dropout switched off (shared masks would tie tasks together).

    Args:
        base: A model of a supported architecture (`hf_mtl.models.ARCHITECTURES`).
        identity: What the base is called; default: found out from the object.

    Raises:
        ConfigError: If the base's architecture is not supported, or it is compiled or not whole on one device.
    """

    def __init__(self, base: PreTrainedModel, *, identity: BaseIdentity | None = None) -> None:
        refuse_base(base)
        keep_trainable(base)
        frozen_layers(base)
        architecture = architecture_of(base)
        layout = layout_of(base, architecture)
        base_pass = BasePass(base, architecture)
        super().__init__(base, architecture, task_type=base_pass.task_type)
        self.layout = layout
        self.identity = identity or identify(base)
        self._base_pass = base_pass
        base.requires_grad_(False)
        register_packed_attention()
        base.register_forward_pre_hook(prepend_virtual_tokens, with_kwargs=True)
        base.set_attn_implementation(PACKED)
        switch_dropout_off(base)

    @classmethod
    def from_pretrained(  # noqa: PLR0913  # the base's own options, by transformers' names, and one of the adapters
        cls,
        base: str | Path,
        adapters: Mapping[str, str | Path],
        *,
        dtype: str | torch.dtype | None = None,
        quantization: str | BitsAndBytesConfig | None = None,
        hub_id: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        allow_other_base: bool = False,
        allow_pickle: bool = False,
    ) -> Self:
        """Load a base and adapters from the Hub or from folders, yours or other people's.

        Args:
            base: As in `load_base`, as are `dtype`, `quantization`, `revision` and `allow_pickle`.
            adapters: By the name that each shall have, where it is: `user/repo`, `user/repo@revision`,
                `user/suite:task`, `./folder` or `./suite:task`.
            dtype: The base's dtype.
            quantization: How the base is quantised.
            hub_id: What the base is called on the Hub, where it comes from a folder.
            revision: The base's revision.
            token: For private repositories, the base's and the adapters'; default: that of `hf auth login`.
            allow_other_base: As in `load_adapter`.
            allow_pickle: Whether the base's weights may be pickles; an adapter's never may.

        Returns:
            The model on the CPU, in evaluation mode.

        Raises:
            ConfigError: If the base cannot be loaded, or its architecture is not supported.
            SavedAdapterError: With the problems of all adapters; see `docs/loading.md`.
        """
        saved = read_adapters(adapters, token=token)
        loaded, identity = load_base(
            base, dtype=dtype, hub_id=hub_id, quantization=quantization, revision=revision, token=token,
            allow_pickle=allow_pickle,
        )  # fmt: skip
        model = cls(loaded, identity=identity).eval()
        place_adapters(model, identity, saved, allow_other_base=allow_other_base)
        return model

    def load_adapter(
        self, name: str, source: str | Path, *, token: str | None = None, allow_other_base: bool = False
    ) -> None:
        """Load one more adapter; it is taken whole, or refused and the model is as it was.

        Args:
            name: Any text that is not taken.
            source: Where it is, as in `from_pretrained`.
            token: For a private repository; default: that of `hf auth login`.
            allow_other_base: Whether to take an adapter that was made for another base, if only its shapes fit.

        Raises:
            SavedAdapterError: If it is refused, with the reasons.
        """
        saved = read_adapters({name: source}, token=token)
        place_adapters(self, self.identity, saved, allow_other_base=allow_other_base)

    @property
    def config(self) -> PreTrainedConfig:
        """The base's configuration."""
        return self.base.config

    @property
    def has_vocabulary_head(self) -> bool:
        """Whether the base has a vocabulary head, other than that of a masked language model."""
        return self._base_pass.has_head and self.architecture.masked_lm_head is None

    @property
    def writes(self) -> bool:
        """Whether the base has a vocabulary head that writes text from left to right."""
        return self.has_vocabulary_head and self.causal

    @cached_property
    def causal(self) -> bool:
        """Whether a base with a vocabulary head looks at no later tokens; found out by running it, once."""
        return is_causal(self.base, self.architecture, packed=self.forward)

    @property
    def pool(self) -> Pool | None:
        """Which states heads on sequences read; None if the base can have no heads of a task's own."""
        return self._heads.pool

    def forward(self, batch: PackedBatch | PaddedBatch) -> Tensor:
        """One pass of the base over a batch whose routes have no heads of their own.

        Args:
            batch: In the model's `layout`, on its device. Its routes are adapters' names or made by `add_route`.

        Returns:
            Logits `[N, V]` at the batch's `N` label positions. A base without a vocabulary head gives its last
            hidden states: `[T, D]` of a packed stream (virtual tokens left out), `[B, S, D]` of padded rows.

        Raises:
            ConfigError: If a route is unknown, or the batch is laid out in another way.
        """
        output = self._run(batch, logits=True, states=False)
        return output.decoded if output.states is None else output.states

    def by_route(self, batch: PackedBatch | PaddedBatch) -> dict[str, Tensor]:
        """One pass of the base over a batch, and each route's own head behind it.

        Args:
            batch: As in `forward`.

        Returns:
            By route, its logits at its labels: `[N, V]` of the vocabulary head; `[N, C]` of a head on tokens, `[N, 2]`
            on spans, `[R, C]` on sequences.

        Raises:
            ConfigError: As in `forward`, or if a route has no head and the base has none either.
        """
        heads = {route: self._head_of(route) for route in dict.fromkeys(route for route, _ in batch.rows)}
        own = {route: head for route, head in heads.items() if head is not None}
        if len(own) < len(heads) and not self._base_pass.has_head:
            raise ConfigError(
                f"The base has no vocabulary head, and neither has {listing(heads.keys() - own.keys())} a head of its "
                f"own. Load the base with one (AutoModelForCausalLM), or give the task a kind with a head."
            )
        bare = without_labels_of(batch, own.keys())
        output = self._run(bare, logits=len(own) < len(heads), states=bool(own))
        given = {} if output.logits is None else logits_of_routes(output.logits, bare)
        shapes = {route: head.shape for route, head in own.items()}
        parts = route_parts(batch.rows, batch.label_counts)
        for route, (states, counts) in states_of_routes(output, batch, shapes, self.pool).items():
            keys = batch.dropout_keys[parts[route].rows]
            with install(pooler_pass(route, counts, keys, self._routes.spans)):
                given[route] = own[route](states, counts)
        return {route: given[route] for route in heads}

    def _run(self, batch: PackedBatch | PaddedBatch, *, logits: bool, states: bool) -> BaseOutput:
        if isinstance(batch, PackedBatch) is not self.architecture.packed:
            raise ConfigError(f"This base takes the layout {self.layout}; use model.layout.lay_out(chunks).")
        if isinstance(batch, PaddedBatch):
            on_labels = self._base_pass.head_on_labels
            with install(padded_pass(batch, self._routes.spans, head_on_labels=on_labels)):
                return self._base_pass.padded(batch, logits=logits, states=states)
        stream = self._stream(batch)
        with install(packed_pass(stream, self._routes.spans)):
            return self._base_pass.packed(stream, logits=logits, states=states)

    def _stream(self, batch: PackedBatch) -> VirtualStream:
        """The batch with the virtual tokens of its routes."""
        owned = {route: self._virtual_of(route) for route in {segment.route for segment in batch.segments}}
        return lay_out(batch, {route: virtual for route, virtual in owned.items() if virtual is not None})

    def remembering(self, batch: PackedBatch, memory: PassMemory) -> Tensor:
        """As `forward`, of a base with a vocabulary head, and the pass keeps its keys and values.

        Args:
            batch: Whole sequences; tokens that no segment covers go through the bare base.
            memory: Takes the keys and values, those of virtual tokens included.

        Returns:
            Logits `[N, V]` at the label positions.
        """
        stream = self._stream(batch)
        with install(replace(packed_pass(stream, self._routes.spans), memory=memory)):
            return self._base_pass.packed(stream, logits=True, states=False).decoded

    def continuing(self, batch: PackedBatch, routed: RoutedPass) -> Tensor:
        """Logits `[N, V]` of sequences that go on from what a pass's memory holds.

        Args:
            batch: The next token of each sequence, labelled, at its own position.
            routed: The pass, with `spans` of the batch's segments, and its memory.
        """
        stream = VirtualStream(batch, batch.lengths)
        with install(routed):
            return self._base_pass.packed(stream, logits=True, states=False).decoded

    def spans(self, segments: Iterable[Segment]) -> tuple[Span, ...]:
        """Which adapters the routes of `segments` put where, in tokens of a stream or in padded rows.

        Raises:
            ConfigError: If there is no such route.
        """
        return self._routes.spans(segments)

    @contextlib.contextmanager
    def route(self, name: str | None) -> Iterator[PreTrainedModel]:
        """Send every token of the base through one route, or through no adapter at all.

        Args:
            name: A route, or None for the bare base.

        Yields:
            The base, for example to call its `generate`, which stops at the ends of the route's task too.
        """
        everywhere = () if name is None else self._routes.stack(name)
        virtual = None if name is None else self._virtual_of(name)
        routed = RoutedPass(everywhere=everywhere, virtual=virtual)
        with install(routed), stopping(self.base, self.ends.get(name or "", ())):
            yield self.base

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: Mapping[str, object] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Recompute activations in the backward pass; the recomputation sees the route of its forward.

        Raises:
            ConfigError: For reentrant checkpointing, which silently gives all gradients to the last active adapter.
        """
        options = dict(activation_checkpointing_kwargs or {})
        if options.get("use_reentrant"):
            raise ConfigError("use_reentrant=True loses the route at recomputation; use use_reentrant=False.")
        options |= {"use_reentrant": False, "context_fn": recompute_contexts}
        enable_checkpointing(self.base, options, every_n_layers=every_n_layers, offload=offload)

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, object] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """`activation_checkpointing_enable` by its older name, which the Trainer before transformers 5.23 calls."""
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs, every_n_layers, offload)
