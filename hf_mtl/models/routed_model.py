"""One frozen base, many adapters, and a forward pass in which every token goes through its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from hf_mtl.adapters import (
    AdapterPlan,
    RoutedLinear,
    RoutedPass,
    Span,
    VirtualTokens,
    install,
    keep_trainable,
    plan_adapter,
    recompute_contexts,
)
from hf_mtl.data import PackedBatch, PaddedBatch, Segment, derived_seed
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.models.architectures import architecture_of, check_kind, layout_of
from hf_mtl.models.attention import PACKED, register_packed_attention
from hf_mtl.models.base import BaseIdentity, identify, refuse_compiled, switch_dropout_off
from hf_mtl.models.base_pass import BasePass
from hf_mtl.models.virtual_inputs import prepend_virtual_tokens
from hf_mtl.models.virtual_stream import VirtualStream, check_stack, lay_out

__all__ = ["RoutedModel"]


class RoutedModel(nn.Module):
    """A frozen base with named adapters, whose forward takes batches of mixed routes, packed or padded.

    The base object is taken over: its parameters are frozen, its linear layers wrapped where an adapter changes
    them, its attention set to ours, and its own dropout switched off (shared masks would tie tasks together).

    Args:
        base: A model of a supported architecture (`hf_mtl.models.ARCHITECTURES`).
        identity: What the base is called; default: found out from the object.

    Raises:
        ConfigError: If the base's architecture is not supported, or the base is compiled.
    """

    def __init__(self, base: PreTrainedModel, *, identity: BaseIdentity | None = None) -> None:
        super().__init__()
        refuse_compiled(base)
        keep_trainable(base)
        self.architecture = architecture_of(base)
        self.layout = layout_of(base, self.architecture)
        self.identity = identity or identify(base)
        self.base = base
        self.adapter_configs: dict[str, PeftConfig] = {}
        self.routes: dict[str, dict[str, float]] = {}  # route -> the weight of each of its adapters
        self._inner: dict[str, str] = {}  # adapter name -> neutral name, which occurs in no path of the base
        self._routed: dict[str, RoutedLinear] = {}  # path in the base -> the layer that stands there
        self._virtual = nn.ModuleDict()  # neutral name -> the adapter's virtual tokens, if it has such
        base.requires_grad_(False)
        register_packed_attention()
        base.register_forward_pre_hook(prepend_virtual_tokens, with_kwargs=True)
        base.set_attn_implementation(PACKED)
        self._base_pass = BasePass(base, self.architecture)
        switch_dropout_off(base)

    @property
    def config(self) -> PreTrainedConfig:
        """The base's configuration."""
        return self.base.config

    @property
    def device(self) -> torch.device:
        """Where the base lives."""
        return self.base.device

    @property
    def adapter_names(self) -> tuple[str, ...]:
        """The adapters, in the order in which they were added."""
        return tuple(self.adapter_configs)

    def add_adapter(self, name: str, config: PeftConfig, *, seed: int = 0) -> None:
        """Place a new adapter on the base.

        Args:
            name: Any text that is not taken.
            config: A PEFT config object.
            seed: The initial weights follow from this seed and the name alone.

        Raises:
            ConfigError: If the name is taken, or the kind or an option of the config is not supported.
        """
        if name in self.adapter_configs:
            raise ConfigError(f"There is an adapter {name!r} already; names must differ.")
        try:
            check_kind(self.base, self.architecture, config)
            with self._bare_base():
                plan = plan_adapter(self.base, config, seed=derived_seed(seed, "adapter", name))
            self._check_targets(plan)
        except ConfigError as error:
            raise ConfigError([f"adapter {name!r}: {problem}" for problem in error.problems]) from error
        inner = f"mtl_{len(self._inner)}"
        for path, update in plan.updates.items():
            self._layer(path).adapters[inner] = update
        if plan.virtual is not None:
            self._virtual[inner] = plan.virtual
        plan.config.task_type = plan.config.task_type or self._base_pass.task_type
        self._inner[name] = inner
        self.adapter_configs[name] = plan.config
        self.routes.setdefault(name, {name: 1.0})

    def add_route(self, name: str, adapters: Mapping[str, float]) -> None:
        """Name a stack of adapters whose effects add up. Each adapter has a route of its own name by itself.

        Args:
            name: What sequences call it; a route of this name is replaced.
            adapters: The weight of each adapter's effect (what it changes in a layer's output, see the table in
                `docs/design.md`); empty for the bare base. One of them may have virtual tokens, with the weight 1.

        Raises:
            ConfigError: If there is no such adapter, or they do not go together.
        """
        inner = {adapter: self._inner[self._known(adapter)] for adapter in adapters}
        check_stack(name, {a: weight for a, weight in adapters.items() if inner[a] in self._virtual})
        self.routes[name] = dict(adapters)

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of an adapter, keyed as in PEFT's files (`base_model.model.<path>.lora_A.weight`)."""
        inner = self._inner[self._known(name)]
        if inner in self._virtual:
            return dict(self._tokens(inner).file_parameters())
        return {
            f"base_model.model.{path}.{ending}": parameter
            for path, layer in self._routed.items()
            if inner in layer.adapters
            for ending, parameter in layer.update(inner).file_parameters().items()
        }

    def virtual_tokens(self, route: str) -> int:
        """How many virtual tokens a route puts before each of its sequences."""
        virtual = self._virtual_of(route)
        return 0 if virtual is None else virtual.count

    def forward(self, batch: PackedBatch | PaddedBatch) -> Tensor:
        """One pass of the base over a batch.

        Args:
            batch: In the model's `layout`, on its device. Each of its routes is an adapter's name or one made
                by `add_route`.

        Returns:
            Logits `[N, V]` at the batch's `N` label positions. A base without a vocabulary head gives its last
            hidden states: `[T, D]` of a packed stream (virtual tokens left out), `[B, S, D]` of padded rows.

        Raises:
            ConfigError: If a route is unknown, or the batch is laid out in another way.
        """
        if isinstance(batch, PackedBatch) is not self.architecture.packed:
            raise ConfigError(
                f"This base takes the layout {self.layout}; make its batches with `model.layout.lay_out(chunks)`."
            )
        if isinstance(batch, PaddedBatch):
            with install(self._padded_pass(batch)):
                return self._base_pass.padded(batch)
        owned = {route: self._virtual_of(route) for route in {segment.route for segment in batch.segments}}
        stream = lay_out(batch, {route: virtual for route, virtual in owned.items() if virtual is not None})
        with install(self._packed_pass(stream)):
            return self._base_pass.packed(stream)

    def _packed_pass(self, stream: VirtualStream) -> RoutedPass:
        return RoutedPass(
            spans=self._spans(stream.batch.segments),
            lengths=stream.batch.lengths,
            dropout_keys=stream.batch.dropout_keys,
            head=self._head_pass(stream.batch),
            prefixes=stream.prefixes,
        )

    def _padded_pass(self, batch: PaddedBatch) -> RoutedPass:
        return RoutedPass(
            spans=self._spans(batch.segments),
            dropout_keys=batch.dropout_keys,
            head=self._head_pass(batch) if self._base_pass.head_on_labels else None,
            rows=len(batch.rows),
            widths=batch.widths,
        )

    def _head_pass(self, batch: PackedBatch | PaddedBatch) -> RoutedPass:
        return RoutedPass(
            spans=self._spans(batch.label_segments),
            lengths=batch.label_counts,
            dropout_keys=batch.dropout_keys,
        )

    @contextlib.contextmanager
    def route(self, name: str | None) -> Iterator[PreTrainedModel]:
        """Send every token of the base through one route, or through no adapter at all.

        Args:
            name: A route, or None for the bare base.

        Yields:
            The base, for example to call its `generate`.
        """
        stack = {} if name is None else self._stack(name)
        everywhere = tuple((self._inner[adapter], weight) for adapter, weight in stack.items())
        virtual = None if name is None else self._virtual_of(name)
        with install(RoutedPass(everywhere=everywhere, virtual=virtual)):
            yield self.base

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: Mapping[str, Any]
        | None = None,  # Any: torch.utils.checkpoint's options
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Recompute activations in the backward pass; the recomputation sees the route of its forward.

        Raises:
            ConfigError: For reentrant checkpointing, which silently gives all gradients to the adapter active
                last.
        """
        options = dict(activation_checkpointing_kwargs or {})
        if options.get("use_reentrant"):
            raise ConfigError("use_reentrant=True loses the route at recomputation; use use_reentrant=False.")
        options |= {"use_reentrant": False, "context_fn": recompute_contexts}
        self.base.activation_checkpointing_enable(
            activation_checkpointing_kwargs=options, every_n_layers=every_n_layers, offload=offload
        )

    def _stack(self, route: str) -> Mapping[str, float]:
        if route not in self.routes:
            raise ConfigError(
                f"There is no route {route!r}; there are {listing(self.routes)}.{did_you_mean(route, self.routes)}"
            )
        return self.routes[route]

    def _spans(self, segments: Iterable[Segment]) -> tuple[Span, ...]:
        return tuple(
            Span(self._inner[adapter], start, stop, weight)
            for route, start, stop in segments
            for adapter, weight in self._stack(route).items()
        )

    def _virtual_of(self, route: str) -> VirtualTokens | None:
        """The virtual tokens of a route, of whose adapters at most one has such."""
        inner = [self._inner[adapter] for adapter in self._stack(route)]
        return next((self._tokens(i) for i in inner if i in self._virtual), None)

    def _tokens(self, inner: str) -> VirtualTokens:
        virtual = self._virtual[inner]
        assert isinstance(virtual, VirtualTokens)
        return virtual

    def _known(self, name: str) -> str:
        if name not in self._inner:
            raise ConfigError(
                f"There is no adapter {name!r}; there are {listing(self._inner)}.{did_you_mean(name, self._inner)}"
            )
        return name

    def _layer(self, path: str) -> RoutedLinear:
        """The routed layer at `path`, put there if none is."""
        if path not in self._routed:
            layer = self.base.get_submodule(path)
            at_head = layer is self.base.get_output_embeddings()
            self._routed[path] = RoutedLinear(layer, at_head=at_head)
            self.base.set_submodule(path, self._routed[path])
        return self._routed[path]

    @contextlib.contextmanager
    def _bare_base(self) -> Iterator[None]:
        """The base as it was before any layer was wrapped, for PEFT to plan on."""
        for path, layer in self._routed.items():
            self.base.set_submodule(path, layer.base_layer)
        try:
            yield
        finally:
            for path, layer in self._routed.items():
                self.base.set_submodule(path, layer)

    def _check_targets(self, plan: AdapterPlan) -> None:
        outside = sorted(
            path for path in plan.updates if set(self.architecture.outside) & set(path.split("."))
        )
        if outside:
            raise ConfigError(
                f"{listing(outside)} sees the first token of the stream only and cannot be a target. Load the base "
                f"with add_pooling_layer=False, or set exclude_modules={outside!r}."
            )
