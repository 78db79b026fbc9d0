"""MoE-PEFT 2.0.2 (the successor of mLoRA): rows of all tasks in one padded batch, one adapter per range of rows.

Driven below its data loader, which would turn gradient checkpointing on. It refuses to train without dropout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from moe_peft.adapters import adapter_factory
from moe_peft.common import LLMBatchConfig, LLMModelInput
from moe_peft.model import LLMModel
from moe_peft.models import from_pretrained
from workload import Example, Spec

from variants.variant import LEARNING_RATE, Variant, label_count, llama, padded

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class MoePeft(Variant):
    libraries = ("torch", "transformers", "moe-peft")

    def __init__(self, spec: Spec, weights: str) -> None:
        base = llama(spec, weights, attn_implementation="eager")
        self.model = LLMModel(from_pretrained(base, attn_impl="eager", device="cpu"))
        self.names = [f"t{i}" for i in range(spec.tasks)]
        self.optimizers = []
        for name in self.names:
            config = adapter_factory(
                peft_type="LORA",
                adapter_name=name,
                r=spec.rank,
                lora_alpha=2 * spec.rank,
                lora_dropout=spec.dropout,
                target_modules=TARGETS,
            )
            self.model.init_adapter(config)
            parameters = [p for p in self.model.get_adapter_weight_dict(name).values() if p.requires_grad]
            self.optimizers.append(torch.optim.AdamW(parameters, lr=LEARNING_RATE))  # as its trainer does
        self.model.train()

    def step(self, examples: Sequence[Example]) -> float:
        batch = padded(examples)
        ranges, start = [], 0
        for task in sorted({example["task"] for example in examples}):
            stop = start + sum(example["task"] == task for example in examples)
            ranges.append(LLMBatchConfig(self.names[task], start, stop))
            start = stop
        outputs = self.model.forward(
            LLMModelInput(
                batch_configs_=ranges,
                batch_tokens_=batch["input_ids"],
                batch_masks_=batch["attention_mask"],
                batch_labels_=batch["labels"],
                gradient_checkpoint_="none",
            )
        )
        torch.stack([output.loss for output in outputs]).sum().backward()
        counts = [label_count(examples[part.batch_start_idx_ : part.batch_end_idx_]) for part in ranges]
        sums = [float(o.loss.detach()) * count for o, count in zip(outputs, counts, strict=True)]
        return sum(sums) / sum(counts)

    def update(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
