"""What users of `peft` do today, and one PEFT adapter on a packed stream as the bound that they know."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.model import _adapter_names_pre_forward_hook
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from workload import Example, Spec

from hf_mtl.adapters import RoutedPass, current_pass, install
from hf_mtl.models.attention import PACKED, register_packed_attention
from variants.variant import LEARNING_RATE, MAX_NORM, Variant, label_count, llama, packed, padded

PER_SEQUENCE = "benchmark_per_sequence"


class _PeftVariant(Variant):
    """Abstract: a PEFT model with `adapters` adapters and one fused AdamW."""

    libraries = ("torch", "transformers", "peft")

    def __init__(self, spec: Spec, weights: str, adapters: int) -> None:
        self.spec = spec
        self.names = [f"t{i}" for i in range(adapters)]
        self.model: PeftModel = get_peft_model(llama(spec, weights), self._config(), adapter_name="t0")
        for name in self.names[1:]:
            self.model.add_adapter(name, self._config())
        self.model.base_model.set_requires_grad(self.names, True)  # type: ignore[operator]  # nn.Module types attributes as Tensor | Module
        self.model.train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=LEARNING_RATE, fused=True)

    def _config(self) -> LoraConfig:
        return LoraConfig(
            r=self.spec.rank,
            lora_alpha=2 * self.spec.rank,
            lora_dropout=self.spec.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )

    def backward(self, batch: dict[str, torch.Tensor], count: int) -> float:
        """Forward and backward; the loss is the sum over the labels, divided by `count`."""
        loss = self.model(**batch, use_cache=False, num_items_in_batch=torch.tensor(count)).loss
        loss.backward()
        return float(loss.detach())

    def update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters, MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()


def _by_task(examples: Sequence[Example]) -> dict[int, list[Example]]:
    groups: dict[int, list[Example]] = {}
    for example in examples:
        groups.setdefault(example["task"], []).append(example)
    return groups


class SeparateRuns(_PeftVariant):
    """K fine-tunings: each task's batch, padded to its own longest row, through a model with one adapter.

    One model stands for the K of them, which cost the same; it makes K optimizer steps.
    """

    def __init__(self, spec: Spec, weights: str) -> None:
        super().__init__(spec, weights, adapters=1)
        self.gradients: list[list[torch.Tensor | None]] = []

    def step(self, examples: Sequence[Example]) -> float:
        loss, count = 0.0, label_count(examples)
        self.gradients = []
        for group in _by_task(examples).values():
            loss += self.backward(padded(group), count)
            self.gradients.append([parameter.grad for parameter in self.parameters])
            for parameter in self.parameters:
                parameter.grad = None
        return loss

    def update(self) -> None:
        for gradients in self.gradients:
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.grad = gradient
            super().update()


class SetAdapter(_PeftVariant):
    """One model with K adapters, `set_adapter` before each task's padded micro-batch."""

    def __init__(self, spec: Spec, weights: str) -> None:
        super().__init__(spec, weights, adapters=spec.tasks)

    def step(self, examples: Sequence[Example]) -> float:
        loss, count = 0.0, label_count(examples)
        for task, group in _by_task(examples).items():
            self.model.set_adapter(self.names[task])
            loss += self.backward(padded(group), count)
        return loss


class AdapterNames(_PeftVariant):
    """PEFT's mixed-batch inference (`adapter_names`), forced into training: one padded batch of all tasks."""

    def __init__(self, spec: Spec, weights: str) -> None:
        super().__init__(spec, weights, adapters=spec.tasks)

    def step(self, examples: Sequence[Example]) -> float:
        names = [self.names[example["task"]] for example in examples]
        hook = partial(_adapter_names_pre_forward_hook, adapter_names=names)
        layers = [module for module in self.model.modules() if isinstance(module, LoraLayer)]
        handles = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in layers]
        try:
            return self.backward(padded(examples), label_count(examples))
        finally:
            for handle in handles:
                handle.remove()


class OneAdapterPacked(_PeftVariant):
    """ONE adapter for everything, packed, with our packed attention, which never crosses a sequence."""

    def __init__(self, spec: Spec, weights: str) -> None:
        super().__init__(spec, weights, adapters=1)
        register_packed_attention()
        self.model.get_base_model().set_attn_implementation(PACKED)  # type: ignore[operator]  # a mixin's method

    def step(self, examples: Sequence[Example]) -> float:
        with install(RoutedPass(lengths=tuple(len(example["ids"]) for example in examples))):
            return self.backward(packed(examples), label_count(examples))


def _per_sequence(  # the signature is transformers' own
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """SDPA of each packed sequence by itself, in the dtype of the base; `[1, H, T, D]` in, `[1, T, H, D]` out."""
    lengths = current_pass().lengths
    parts = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    attended = [
        scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
        for q, k, v in parts
    ]
    return torch.cat(attended, dim=2).transpose(1, 2).contiguous(), None


class OneAdapterPackedBaseDtype(OneAdapterPacked):
    """The same with attention of each sequence by itself in the base's dtype: for bf16, where ours goes by fp32."""

    def __init__(self, spec: Spec, weights: str) -> None:
        super().__init__(spec, weights)
        AttentionInterface.register(PER_SEQUENCE, _per_sequence)
        AttentionMaskInterface.register(PER_SEQUENCE, lambda *args, **kwargs: None)
        self.model.get_base_model().set_attn_implementation(PER_SEQUENCE)  # type: ignore[operator]  # a mixin's method


class OneAdapterPackedSdpa(_PeftVariant):
    """The same with stock SDPA attention, for which `transformers` builds one dense block mask from positions."""

    def __init__(self, spec: Spec, weights: str) -> None:
        super().__init__(spec, weights, adapters=1)

    def step(self, examples: Sequence[Example]) -> float:
        return self.backward(packed(examples), label_count(examples))
