"""One frozen base, many adapters, and a forward pass in which every token goes through its own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft import PeftConfig, TaskType
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from hf_mtl.adapters import (
    LayerUpdate,
    RoutedLinear,
    RoutedPass,
    Span,
    install,
    keep_trainable,
    plan_adapter,
    recompute_contexts,
)
from hf_mtl.data import PackedBatch, derived_seed
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.models.attention import PACKED, register_packed_attention
from hf_mtl.models.base import BaseIdentity, identify, refuse_compiled

__all__ = ["PACKABLE", "RoutedModel"]

logger = logging.getLogger(__name__)

# Decoders whose packed pass is tested to equal the stock one, sequence by sequence
# (tests/models/test_architectures.py).
PACKABLE = ("llama", "mistral", "qwen2", "qwen3")


class RoutedModel(nn.Module):
    """A frozen base with named adapters, whose forward takes packed batches of mixed routes.

    The base object is taken over: its parameters are frozen, its linear layers wrapped where an adapter
    changes them, its attention set to the packed form, and its own dropout switched off (a mask shared by
    tasks would tie them together).

    Args:
        base: A causal language model of a packable architecture.
        identity: What the base is called; default: found out from the object.

    Raises:
        ConfigError: If the base's architecture is not supported, or the base is compiled.
    """

    def __init__(self, base: PreTrainedModel, *, identity: BaseIdentity | None = None) -> None:
        super().__init__()
        refuse_compiled(base)
        keep_trainable(base)
        if base.config.model_type not in PACKABLE:
            raise ConfigError(
                f"The base is a {base.config.model_type!r} model; the packed pass supports {listing(PACKABLE)}."
            )
        self.identity = identity or identify(base)
        self.base = base
        self.adapter_configs: dict[str, PeftConfig] = {}
        self.routes: dict[str, dict[str, float]] = {}  # route -> the weight of each of its adapters
        self._inner: dict[str, str] = {}  # adapter name -> neutral name, which occurs in no path of the base
        self._routed: dict[str, RoutedLinear] = {}  # path in the base -> the layer that stands there
        base.requires_grad_(False)
        register_packed_attention()
        base.set_attn_implementation(PACKED)
        _switch_dropout_off(base)

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
            ConfigError: If the name is taken, or the config is of a kind or has an option that is not
                supported.
        """
        if name in self.adapter_configs:
            raise ConfigError(f"There is an adapter {name!r} already; names must differ.")
        try:
            with self._bare_base():
                plan = plan_adapter(self.base, config, seed=derived_seed(seed, "adapter", name))
            self._check_targets(plan.updates)
        except ConfigError as error:
            raise ConfigError([f"adapter {name!r}: {problem}" for problem in error.problems]) from error
        inner = f"mtl_{len(self._inner)}"
        for path, update in plan.updates.items():
            self._layer(path).adapters[inner] = update
        plan.config.task_type = plan.config.task_type or TaskType.CAUSAL_LM
        self._inner[name] = inner
        self.adapter_configs[name] = plan.config
        self.routes.setdefault(name, {name: 1.0})

    def add_route(self, name: str, adapters: Mapping[str, float]) -> None:
        """Name a stack of adapters whose effects add up. Each adapter has a route of its own name by itself.

        Args:
            name: What sequences call it; a route of this name is replaced.
            adapters: The weight of each adapter's effect; empty for the bare base.

        Raises:
            ConfigError: If there is no such adapter.
        """
        for adapter in adapters:
            self._known(adapter)
        self.routes[name] = dict(adapters)

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of an adapter, keyed as in PEFT's files (`base_model.model.<path>.lora_A.weight`)."""
        inner = self._inner[self._known(name)]
        return {
            f"base_model.model.{path}.{ending}": parameter
            for path, layer in self._routed.items()
            if inner in layer.adapters
            for ending, parameter in layer.update(inner).file_parameters().items()
        }

    def forward(self, batch: PackedBatch) -> Tensor:
        """One pass of the base over a packed batch.

        Args:
            batch: On the model's device. Each of its routes is an adapter's name or one made by `add_route`.

        Returns:
            Logits `[N, V]` at the batch's `N` label positions; the vocabulary head runs on no other token.

        Raises:
            ConfigError: If a route is unknown.
        """
        routed = RoutedPass(
            spans=tuple(
                Span(self._inner[adapter], start, stop, weight)
                for route, start, stop in batch.segments
                for adapter, weight in self._stack(route).items()
            ),
            lengths=batch.lengths,
            dropout_keys=batch.dropout_keys,
        )
        with install(routed):
            output = self.base(
                input_ids=batch.input_ids.unsqueeze(0),
                position_ids=batch.position_ids.unsqueeze(0),
                logits_to_keep=batch.label_positions,
                use_cache=False,
            )
        logits: Tensor = output.logits[0]
        return logits

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
        with install(RoutedPass(everywhere=everywhere)):
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

    def _known(self, name: str) -> str:
        if name not in self._inner:
            raise ConfigError(
                f"There is no adapter {name!r}; there are {listing(self._inner)}.{did_you_mean(name, self._inner)}"
            )
        return name

    def _layer(self, path: str) -> RoutedLinear:
        """The routed layer at `path`, put there if none is."""
        if path not in self._routed:
            self._routed[path] = RoutedLinear(self.base.get_submodule(path))
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

    def _check_targets(self, updates: Mapping[str, LayerUpdate]) -> None:
        head = self.base.get_output_embeddings()
        for path in updates:
            if self.base.get_submodule(path) is head:
                raise ConfigError(
                    f"the vocabulary head {path!r} runs on the labelled tokens only and cannot be a target. "
                    f"Leave it out of target_modules."
                )


def _switch_dropout_off(base: PreTrainedModel) -> None:
    """Switch off the base's own dropout, and say so where there was any."""
    layers = [module for module in base.modules() if isinstance(module, nn.Dropout) and module.p > 0]
    for layer in layers:
        layer.p = 0.0
    attention: float = base.config.to_dict().get("attention_dropout", 0.0)
    if layers or attention:
        logger.warning(
            "The base's own dropout is switched off while adapters are trained (its masks would depend on the batch's "
            "mixture). Use the adapters' dropout, for example LoraConfig(lora_dropout=0.1)."
        )
