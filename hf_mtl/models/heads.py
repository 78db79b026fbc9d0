"""The heads of their own that adapters have on one base."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from peft import PeftConfig, TaskType
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_mtl.adapters import AdapterPlan
from hf_mtl.errors import ConfigError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import Head, HeadSpec, Pool, StockHead, stock_head
from hf_mtl.models.architectures import Architecture, pool_of
from hf_mtl.models.stock_targets import drop_trunk, shorten_targets

__all__ = ["Heads", "PlacedHead"]

_POOLER = "pooler"
_POOLED_LAYER = f"{_POOLER}.dense"


class PlacedHead(nn.Module):
    """A head, and what its stock class is.

    Args:
        spec: Its shape and size.
        stock: The stock class's head.
        head: Its modules.
    """

    def __init__(self, spec: HeadSpec, stock: StockHead, head: Head) -> None:
        super().__init__()
        self.spec = spec
        self.stock = stock
        self.head = head

    @property
    def shape(self) -> HeadShape:
        """What it gives its outputs for."""
        return self.spec.shape

    def without_modules(self, config: PeftConfig) -> PeftConfig:
        """The adapter's config for a base without the head: the head's own modules are not its to save."""
        config = copy.deepcopy(config)
        saved = vars(config).get("modules_to_save")
        if saved:
            vars(config)["modules_to_save"] = self.stock.without_own(list(saved))
        return config

    def file_parameters(self, prefix: str) -> dict[str, nn.Parameter]:
        """Its parameters by their keys in PEFT's files."""
        return {prefix + key: own for key, own in self.head.file_parameters().items()}

    def forward(self, states_ND: Tensor, counts: Sequence[int]) -> Tensor:
        """See `hf_mtl.heads.Head`."""
        logits: Tensor = self.head(states_ND, counts)
        return logits


class Heads(nn.Module):
    """The heads on one base, by the neutral names of their adapters.

    A pooler that the base has is taken out of its pass, where it would see the stream's first token only; a head that
    stands on it gets it back.

    Args:
        base: The base; its pooler is taken.
        architecture: Its row of the table.
        task_type: What PEFT calls an adapter of the base without a head of its own.
    """

    def __init__(
        self, base: PreTrainedModel, architecture: Architecture, *, task_type: TaskType | None
    ) -> None:
        super().__init__()
        self._task_type = task_type
        self._pixels = base.main_input_name == "pixel_values"
        self._config = base.config
        self._architecture = architecture
        self._own_trunk = "" if base.base_model is base else f"{base.base_model_prefix}."
        self._images = base.main_input_name == "pixel_values"
        self._dtype = torch.promote_types(base.dtype, torch.float32)
        self.pool: Pool | None = pool_of(base.config.to_dict(), architecture)
        self.placed = nn.ModuleDict()
        # A function and not an attribute, so that the base does not become a part of its heads.
        self._set_pooler = partial(base.base_model.register_module, _POOLER)
        pooler = dict(base.base_model.named_children()).get(_POOLER) if architecture.packed else None
        self.pooler = pooler
        if pooler is not None:
            pooler.requires_grad_(False)
            self._set_pooler(None)

    def make(self, spec: HeadSpec, *, seed: int) -> PlacedHead:
        """Make a head for the base.

        Raises:
            ConfigError: If the architecture can have none, or the base lacks what it stands on.
        """
        arch, sequences = self._architecture, spec.shape is HeadShape.SEQUENCE
        if self.pool is None:
            raise ConfigError(
                f"heads of a task's own are not supported on {self._config.model_type!r} bases; use a kind that the "
                f"vocabulary head serves, such as causal-lm or label-scoring."
            )
        stands_on_pooler = sequences and arch.pooler
        if stands_on_pooler and self.pooler is None:
            raise ConfigError(
                "the head of a text classification or regression stands on the base's pooler, which this base was "
                "loaded without. Load it with AutoModel.from_pretrained(...), as load_base does for encoders."
            )
        stock = stock_head(self._config, spec.shape, outputs=spec.outputs, seed=seed, images=self._images)
        head = Head(
            stock.modules,
            mean=sequences and self.pool is Pool.MEAN,
            pooler=self.pooler if stands_on_pooler else None,
            rows=sequences and arch.head_takes_rows,
        )
        return PlacedHead(spec, stock, head.to(self._dtype))

    def on_own_trunk(self, config: PeftConfig, own: PlacedHead) -> PeftConfig:
        """A config that may name layers as the head's class does, for the base."""
        if own.stock.trunk in ("", self._own_trunk):
            return config
        return shorten_targets(config, own.stock.trunk, own.stock.paths, self._own_trunk)

    def place(self, inner: str, own: PlacedHead, device: torch.device) -> None:
        """Put a head in its place."""
        self.placed[inner] = own.to(device)

    def complete(self, inner: str, config: PeftConfig) -> None:
        """Put into an adapter's config what its head's class needs: the type of task, the modules to save."""
        if inner not in self.placed:
            config.task_type = None if self._pixels else config.task_type or self._task_type
            return
        own = self._of(inner)
        config.task_type = None if self._peft_drops_types(own, config) else own.stock.task_type
        if own.stock.trunk != self._own_trunk:
            drop_trunk(config, self._own_trunk)
        if "modules_to_save" in vars(config):
            saved = vars(config)["modules_to_save"] or ()
            vars(config)["modules_to_save"] = [*saved, *own.stock.modules]

    def _peft_drops_types(self, own: PlacedHead, config: PeftConfig) -> bool:
        """Whether PEFT's own class for this head would drop the token types that the base reads, needlessly.

        `PeftModelForQuestionAnswering` never passes them on; a plain `PeftModel` passes on all, but knows no virtual
        tokens.
        """
        typed = self._config.to_dict().get("type_vocab_size", 1) > 1
        return own.shape is HeadShape.SPAN and typed and not config.is_prompt_learning

    @contextlib.contextmanager
    def with_pooler(self) -> Iterator[None]:
        """The base with its pooler back in place, for PEFT to plan on."""
        if self.pooler is None:
            yield
            return
        self._set_pooler(self.pooler)
        try:
            yield
        finally:
            self._set_pooler(None)

    def spare_pooler(self, plan: AdapterPlan, own: PlacedHead | None) -> AdapterPlan:
        """The plan; without the base's pooler where no head of the adapter's stands on it, and then its config says so.

        An adapter without a head of its own may be one that several tasks share, whose heads stand on the pooler.

        Raises:
            ConfigError: If nothing else was targeted.
        """
        if self._architecture.pooler and (own is None or own.shape is HeadShape.SEQUENCE):
            return plan
        path = f"{self._own_trunk}{_POOLER}."
        kept = {target: update for target, update in plan.updates.items() if not target.startswith(path)}
        if len(kept) == len(plan.updates):
            return plan
        if not kept:
            raise ConfigError(
                "nothing here stands on the base's pooler, so it cannot be the only target; name layers of the encoder."
            )
        if own is None or own.stock.path(_POOLED_LAYER) is not None:
            vars(plan.config)["exclude_modules"] = _and_pooler(vars(plan.config).get("exclude_modules"))
        return replace(plan, updates=kept)

    def first(self, inner: Iterable[str]) -> PlacedHead | None:
        """The first head among some adapters."""
        return next((self._of(name) for name in inner if name in self.placed), None)

    def spec(self, inner: str) -> HeadSpec | None:
        """An adapter's head, as it was asked for."""
        return self._of(inner).spec if inner in self.placed else None

    def auto_class(self, inner: str) -> str:
        """The auto class that an adapter's files go with."""
        if inner in self.placed:
            return self._of(inner).stock.auto_class
        if self._config.is_encoder_decoder:
            return "AutoModelForSeq2SeqLM"
        return "AutoModelForCausalLM" if self._architecture.masked_lm_head is None else "AutoModelForMaskedLM"

    def file_path(self, inner: str, path: str) -> str | None:
        """The path of one of the base's layers in the class that an adapter's files are for; None if it has none."""
        return self.path_in(self._of(inner) if inner in self.placed else None, path)

    def path_in(self, own: PlacedHead | None, path: str) -> str | None:
        """The path of one of the base's layers in the class of a head; None if that class has none."""
        return path if own is None else own.stock.path(path.removeprefix(self._own_trunk))

    def remove(self, inner: str) -> None:
        """Take an adapter's head away, if it has one."""
        if inner in self.placed:
            del self.placed[inner]

    def file_parameters(self, inner: str, prefix: str) -> dict[str, nn.Parameter]:
        """The parameters of an adapter's head, by their keys in PEFT's files."""
        return self._of(inner).file_parameters(prefix) if inner in self.placed else {}

    def _of(self, inner: str) -> PlacedHead:
        placed = self.placed[inner]
        assert isinstance(placed, PlacedHead)
        return placed


def _and_pooler(excluded: str | Iterable[str] | None) -> str | list[str]:
    """What a config excludes (a pattern of whole paths, or their endings) and the pooler."""
    if isinstance(excluded, str):
        return rf"(?:{excluded})|(?:.*\.)?{re.escape(_POOLED_LAYER)}"
    return sorted({*(excluded or ()), _POOLED_LAYER})
