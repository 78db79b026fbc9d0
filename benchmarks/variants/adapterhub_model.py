"""AdapterHub `adapters` 1.3.0: one padded batch, `BatchSplit` sends ranges of rows through their adapters.

Its Llama takes LoRA on the query, key, value, up and down projections only: five of the seven that the others train.
"""

from __future__ import annotations

from collections.abc import Sequence

import adapters
import torch
from adapters.composition import BatchSplit
from workload import Example, Spec

from variants.variant import LEARNING_RATE, MAX_NORM, Variant, label_count, llama, padded


class AdapterHub(Variant):
    libraries = ("torch", "transformers", "adapters")

    def __init__(self, spec: Spec, weights: str) -> None:
        self.model = llama(spec, weights)
        adapters.init(self.model)
        config = adapters.LoRAConfig(
            r=spec.rank,
            alpha=2 * spec.rank,
            dropout=spec.dropout,
            intermediate_lora=True,
            output_lora=True,
            attn_matrices=["q", "k", "v"],
        )
        self.names = [f"t{i}" for i in range(spec.tasks)]
        for name in self.names:
            self.model.add_adapter(name, config=config)
        self.model.train_adapter(BatchSplit(*self.names, batch_sizes=1))
        self.model.train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=LEARNING_RATE, fused=True)

    def step(self, examples: Sequence[Example]) -> float:
        tasks = sorted({example["task"] for example in examples})
        sizes = [sum(example["task"] == task for example in examples) for task in tasks]
        self.model.set_active_adapters(BatchSplit(*(self.names[t] for t in tasks), batch_sizes=sizes))
        batch = padded(examples)
        count = torch.tensor(label_count(examples))
        loss = self.model(**batch, use_cache=False, num_items_in_batch=count).loss
        loss.backward()
        return float(loss.detach())

    def update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters, MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
