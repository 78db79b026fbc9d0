"""Ours: all tasks' examples as one packed stream, each through its own adapter, through the public classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig
from torch.nn.functional import cross_entropy
from workload import Example, Spec

from hf_mtl.data import Chunk, fill_micro_batches, pack
from hf_mtl.data import Sequence as PackedSequence
from hf_mtl.models import RoutedModel
from hf_mtl.training import TaskSettings
from hf_mtl.training.optimization import SuiteOptimizer, TaskOptimizer
from variants.variant import LEARNING_RATE, MAX_NORM, Variant, label_count, llama


class Routed(Variant):
    """K adapters. With one adapter it is the bound of our own: every token through one fused adapter."""

    libraries = ("torch", "transformers", "peft")

    def __init__(self, spec: Spec, weights: str) -> None:
        self.spec = spec
        self.model = RoutedModel(llama(spec, weights))
        self.names = [f"task {i}" for i in range(spec.tasks)]
        config = LoraConfig(
            r=spec.rank, lora_alpha=2 * spec.rank, lora_dropout=spec.dropout, target_modules="all-linear"
        )
        for name in self.names:
            self.model.add_adapter(name, config)
        self.model.train()
        settings = TaskSettings(
            batch_size=2,
            steps=1000,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            warmup_steps=0,
            weight_decay=0.0,
            max_grad_norm=MAX_NORM,
        )
        self.optimizer = SuiteOptimizer(
            {
                name: TaskOptimizer(
                    self.model.adapter_parameters(name),
                    settings,
                    lambda groups: torch.optim.AdamW(groups, fused=True),
                )
                for name in self.names
            }
        )

    def _chunks(self, examples: Sequence[Example]) -> list[Chunk]:
        """One chunk per task that is present."""
        groups: dict[str, list[PackedSequence]] = {}
        for row, example in enumerate(examples):
            route = self.names[example["task"] % self.spec.tasks]
            positions = list(range(example["learned"] - 1, len(example["ids"]) - 1))
            targets = example["ids"][example["learned"] :]
            sequence = PackedSequence(route, example["ids"], positions, targets, row, dropout_key=row)
            groups.setdefault(route, []).append(sequence)
        return [Chunk(route, sequences) for route, sequences in groups.items()]

    def step(self, examples: Sequence[Example]) -> float:
        """As `MultiTaskTrainer.training_step` computes it: each task's mean over its own labels, summed."""
        chunks = self._chunks(examples)
        self.optimizer.start_round({chunk.route for chunk in chunks})
        budget = self.spec.token_budget
        total = sum(self._pass(part) for part in (fill_micro_batches(chunks, budget) if budget else [chunks]))
        return total / label_count(examples)

    def _pass(self, chunks: Sequence[Chunk]) -> float:
        """Forward and backward of one micro-batch; the sum of its losses."""
        batch = pack(chunks)
        losses_N = cross_entropy(self.model(batch).float(), batch.label_ids, reduction="none")
        parts = [losses_N[start:stop] for _, start, stop in batch.label_segments]
        torch.stack([part.mean() for part in parts]).sum().backward()
        return float(losses_N.detach().sum())

    def update(self) -> None:
        norms = self.optimizer.norms()
        values = torch.stack(list(norms.values())).tolist()
        self.optimizer.clip(dict(zip(norms, values, strict=True)))
        self.optimizer.step()
        self.optimizer.zero_grad()
