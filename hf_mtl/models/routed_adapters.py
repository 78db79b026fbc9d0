"""The adapters and heads on one frozen base, and the routes that use them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from functools import partial

import torch
from peft import PeftConfig, TaskType
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_mtl.adapters import LayerUpdate, LoraUpdate, VirtualTokens, plan_adapter
from hf_mtl.data import EndToken, derived_seed
from hf_mtl.errors import ConfigError, listing
from hf_mtl.heads import HeadSpec
from hf_mtl.models.architectures import Architecture
from hf_mtl.models.folding import fold
from hf_mtl.models.heads import Heads, PlacedHead
from hf_mtl.models.layouts import check_kind
from hf_mtl.models.planned import PlannedAdapter
from hf_mtl.models.routed_layers import RoutedLayers, file_keys
from hf_mtl.models.routes import Routes, check_new_name
from hf_mtl.models.virtual_stream import check_stack
from hf_mtl.tasks import TaskForm

__all__ = ["RoutedAdapters"]


class RoutedAdapters(nn.Module):
    """Abstract: a base with named adapters and heads; a route is a stack of them.

    Args:
        base: The base, already frozen.
        architecture: Its row of the table.
        task_type: What PEFT calls an adapter of the base without a head of its own.

    Attributes:
        adapter_configs: By adapter, its PEFT config with everything resolved.
        labels: By adapter, the labels that its head was trained with, where known.
        forms: By adapter, what is known of its task beside these, where it was loaded with that.
        ends: By route, the tokens that end its task's completions, where known; they stop its generation.
    """

    def __init__(
        self, base: PreTrainedModel, architecture: Architecture, *, task_type: TaskType | None
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.base = base
        self.adapter_configs: dict[str, PeftConfig] = {}
        self.labels: dict[str, tuple[str, ...]] = {}
        self.forms: dict[str, TaskForm] = {}
        self.ends: dict[str, tuple[EndToken, ...]] = {}
        self._routes = Routes()
        self._layers = RoutedLayers(base)
        self._virtual = nn.ModuleDict()  # neutral name -> the adapter's virtual tokens, if it has such
        # By neutral name, for the adapters that have one.
        self._heads = Heads(base, architecture, task_type=task_type)
        self._scales = nn.ParameterList()  # the learned weights of routes

    @property
    def device(self) -> torch.device:
        """Where the base lives."""
        return self.base.device

    @property
    def routes(self) -> Mapping[str, Mapping[str, float]]:
        """By route, the weight of each of its adapters."""
        return self._routes.weights

    @property
    def adapter_names(self) -> tuple[str, ...]:
        """The adapters, in the order in which they were added."""
        return tuple(self.adapter_configs)

    def add_adapter(
        self, name: str, config: PeftConfig, *, seed: int = 0, head: HeadSpec | None = None
    ) -> None:
        """Place a new adapter on the base.

        Args:
            name: Any text that is not taken.
            config: A PEFT config object.
            seed: The initial weights follow from this seed and the name alone.
            head: The head of its own that stands on the base's hidden states; default: the vocabulary head.

        Raises:
            ConfigError: If the name is taken, or the kind or an option of the config is not supported.
        """
        self.place(name, self.prepare(name, config, seed=seed, head=head))

    def prepare(
        self, name: str, config: PeftConfig, *, seed: int = 0, head: HeadSpec | None = None
    ) -> PlannedAdapter:
        """Make an adapter without placing it: the model stays as it is.

        Args:
            name: As in `add_adapter`, as are the others.
            config: A PEFT config object.
            seed: For the initial weights.
            head: The head of its own.

        Raises:
            ConfigError: As `add_adapter`.
        """
        check_new_name(name, self.adapter_configs)
        try:
            check_kind(self.base, self.architecture, config)
            own = None if head is None else self._heads.make(head, seed=derived_seed(seed, "head", name))
            config = config if own is None else self._heads.on_own_trunk(own.without_modules(config), own)
            with self._heads.with_pooler(), self._layers.taken_out():
                plan = plan_adapter(self.base, config, seed=derived_seed(seed, "adapter", name))
            plan = self._heads.spare_pooler(plan, own)
        except ConfigError as error:
            raise ConfigError([f"adapter {name!r}: {problem}" for problem in error.problems]) from error
        if plan.virtual is not None:
            parameters, prefix = dict(plan.virtual.file_parameters()), "base_model."
        else:
            parameters = file_keys(plan.updates, partial(self._heads.path_in, own))
            prefix = "base_model.model."
        return PlannedAdapter(plan, own, parameters | ({} if own is None else own.file_parameters(prefix)))

    def place(self, name: str, planned: PlannedAdapter) -> None:
        """Place an adapter that `prepare` has made."""
        plan, inner = planned.plan, self._routes.add(name)
        for update in plan.updates.values():
            update.train(self.training)
        with self._heads.with_pooler():
            self._layers.place(inner, plan.updates)
        if plan.virtual is not None:
            self._virtual[inner] = plan.virtual
        if planned.head is not None:
            self._heads.place(inner, planned.head, self.device)
        self._heads.complete(inner, plan.config)
        self.adapter_configs[name] = plan.config

    def remove_adapter(self, name: str) -> None:
        """Take an adapter and its head away; the others are not touched, and the name is free again.

        Args:
            name: The adapter. The route of its name goes with it.

        Raises:
            ConfigError: If there is no such adapter, or routes of other names use it.
        """
        inner = self._routes.inner(name)
        gone = {id(factor) for factor in self._routes.remove(name).values()}
        self._scales = nn.ParameterList(scale for scale in self._scales if id(scale) not in gone)
        with self._heads.with_pooler():
            self._layers.remove(inner)
        if inner in self._virtual:
            del self._virtual[inner]
        self._heads.remove(inner)
        for known in (self.adapter_configs, self.labels, self.forms, self.ends):
            known.pop(name, None)

    def add_head(self, name: str, head: HeadSpec, *, seed: int = 0) -> None:
        """Place a head without an adapter of its own, for a route whose adapters others use too.

        Args:
            name: What `add_route` calls it; it must not be an adapter's name.
            head: The head.
            seed: Its initial weights follow from this seed and the name alone.

        Raises:
            ConfigError: If the name is taken, or the base can have no such head.
        """
        if name in self._routes:
            raise ConfigError(f"There is an adapter or a head {name!r} already; names must differ.")
        own = self._heads.make(head, seed=derived_seed(seed, "head", name))
        self._heads.place(self._routes.add(name), own, self.device)

    def add_route(self, name: str, adapters: Mapping[str, float], *, learned: Collection[str] = ()) -> None:
        """Name a stack of adapters whose effects add up. Each adapter has a route of its own name by itself.

        Args:
            name: What sequences call it; a route of this name is replaced.
            adapters: The weight of each adapter's effect (what it changes in a layer's output, see the table in
                `docs/design.md`); empty for the bare base. One of them may have virtual tokens, with the weight 1.
                A head that stands alone (`add_head`) is named here too.
            learned: Those of the adapters, all of them LoRAs, whose weight is multiplied by a learned scalar of this
                route, which starts at 1.

        Raises:
            ConfigError: If there is no such adapter, or they do not go together.
        """
        check_stack(name, {a: w for a, w in adapters.items() if self._routes.inner(a) in self._virtual})
        odd = [adapter for adapter in learned if adapter not in adapters or not self.is_lora(adapter)]
        if odd:
            raise ConfigError(
                f"route {name!r}: {listing(odd)} cannot have a learned weight; LoRAs of the route can."
            )
        dtype = torch.promote_types(self.base.dtype, torch.float32)
        factors = {a: nn.Parameter(torch.ones((), dtype=dtype, device=self.device)) for a in learned}
        self._scales.extend(factors.values())
        self._routes.set(name, adapters, factors)

    def has(self, name: str) -> bool:
        """Whether there is an adapter, or a head that stands alone, of this name."""
        return name in self._routes

    def is_lora(self, adapter: str) -> bool:
        """Whether an adapter is a LoRA and nothing else, so that it folds with others into one."""
        updates = self.updates(adapter).values()
        return bool(updates) and all(isinstance(update, LoraUpdate) for update in updates)

    def updates(self, adapter: str) -> dict[str, LayerUpdate]:
        """An adapter's updates of the base's layers, by their paths."""
        return self._layers.updates(self._routes.inner(adapter))

    def adapter_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of an adapter and its head, keyed as in PEFT's files.

        Keys are like `base_model.model.<path>.lora_A.weight`. Their paths are those of the class that
        the files are for: with a head, of the matching `AutoModelFor...`.
        """
        inner = self._routes.inner(name)
        if inner in self._virtual:
            own = dict(self._tokens(inner).file_parameters())
            return own | self._heads.file_parameters(inner, "base_model.")
        own = self._layers.file_parameters(inner, partial(self._heads.file_path, inner))
        return own | self._heads.file_parameters(inner, "base_model.model.")

    def route_parameters(self, route: str) -> dict[str, nn.Parameter]:
        """The learned weights of a route, as `<adapter>.scale`; see `add_route`."""
        return {f"{adapter}.scale": own for adapter, own in self._routes.factors.get(route, {}).items()}

    def auto_class(self, route: str) -> str:
        """The auto class of transformers that the files of a route go with."""
        return self._heads.auto_class(self._head_place(route))

    def route_head(self, route: str) -> HeadSpec | None:
        """The head of a route's own, if one of its adapters has one."""
        head = self._head_of(route)
        return None if head is None else head.spec

    def folds(self, route: str) -> bool:
        """Whether a route is one adapter, or a stack of LoRAs, which add up to one."""
        weights = self._routes.weights[route]
        adapters = [name for name in weights if name in self.adapter_configs]
        return self._is_plain(route) or (bool(adapters) and all(map(self.is_lora, adapters)))

    def folded(self, route: str) -> tuple[PeftConfig, dict[str, Tensor]]:
        """A route as one PEFT adapter: its config, and its parameters keyed as in PEFT's files.

        Raises:
            ConfigError: If the route does not fold (`folds`).
        """
        weights = self._routes.weights_of(route)
        if not self.folds(route):
            raise ConfigError(
                f"route {route!r} does not fold into one adapter: only LoRAs add up to a LoRA, and it is made of "
                f"{listing(weights) or 'nothing'}."
            )
        if self._is_plain(route):
            return self.adapter_configs[route], dict(self.adapter_parameters(route))
        place = self._head_place(route)
        file_path = partial(self._heads.file_path, place)
        shares = {n: self._routes.weight(route, n) for n in weights if n in self.adapter_configs}
        if list(shares.values()) == [1.0]:  # one adapter in full stays as it is
            (name,) = shares
            config = copy.deepcopy(self.adapter_configs[name])
            inner = self._routes.inner(name)
            parameters: dict[str, Tensor] = dict(self._layers.file_parameters(inner, file_path))
        else:
            addends = [(self.adapter_configs[n], self.updates(n), weight) for n, weight in shares.items()]
            config, parameters = fold(addends, file_path)
        self._heads.complete(place, config)
        return config, parameters | self._heads.file_parameters(place, "base_model.model.")

    def _is_plain(self, route: str) -> bool:
        """Whether a route is the adapter of its own name, and nothing else."""
        return self._routes.weights[route] == {route: 1.0} and route in self.adapter_configs

    def virtual_tokens(self, route: str) -> int:
        """How many virtual tokens a route puts before each of its sequences."""
        virtual = self._virtual_of(route)
        return 0 if virtual is None else virtual.count

    def _virtual_of(self, route: str) -> VirtualTokens | None:
        """The virtual tokens of a route, of whose adapters at most one has such."""
        inner = [span.adapter for span in self._routes.stack(route)]
        return next((self._tokens(i) for i in inner if i in self._virtual), None)

    def _tokens(self, inner: str) -> VirtualTokens:
        virtual = self._virtual[inner]
        assert isinstance(virtual, VirtualTokens)
        return virtual

    def _head_of(self, route: str) -> PlacedHead | None:
        """The head of a route, of whose adapters at most one has such."""
        return self._heads.first(span.adapter for span in self._routes.stack(route))

    def _head_place(self, route: str) -> str:
        """The neutral name that a route's head stands under; any, if it has none."""
        inner = [span.adapter for span in self._routes.stack(route)]
        return next((name for name in inner if name in self._heads.placed), inner[0] if inner else "")
