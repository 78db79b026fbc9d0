"""The training of `basic.py`, its tasks too, without a Trainer: every step in the open, to read and to change.

    python recipes/loop.py             # --smoke: two rounds on a few rows

A round takes the next batch of every task, sends all of their rows through one pass of the frozen base, each row
through its own task's adapter and head, and then updates every task by itself. `MultiTaskTrainer` does the same and
ends with the same weights, but for rounding; beside it there are checkpoints, mixtures, several processes and more.

The base is sentence-transformers/all-MiniLM-L6-v2, out of a package; with the Hub, put that id into BASE.
"""

from __future__ import annotations

from pathlib import Path

import torch
from basic import BASE, ROUNDS, SMOKE, TASKS  # beside this file
from rich import print
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from transformers import get_linear_schedule_with_warmup

from hf_mtl import RoutedModel, TaskSuite, load_base
from hf_mtl.data import Chunk, TaskStream, derived_seed
from hf_mtl.evaluation import Evaluator
from hf_mtl.export import save_suite
from hf_mtl.models import context_of, load_processor, losses_of, place_task
from hf_mtl.tasks import encode_split

FOLDER = Path("runs/loop-smoke" if SMOKE else "runs/loop")
BATCH_SIZE = 16
LEARNING_RATE = 2e-3
CHUNK_TOKENS = 1024  # of one task, computed together
TOKEN_BUDGET = 4096  # of one pass; it changes memory, never results
SEED = 42


def main() -> None:
    """Train, measure, save."""
    suite = TaskSuite(TASKS)
    base, identity = load_base(BASE, dtype="float32")
    model = RoutedModel(base, identity=identity)
    processor = load_processor(BASE)

    # Each task gets its adapter and head, its rows as tokens, an order to read them in, and an optimizer of its own.
    splits, streams, parameters, optimizers, schedules = {}, {}, {}, {}, {}
    for name, task in suite.items():
        place_task(model, task, seed=SEED)
        splits[name] = encode_split(task, task.train, context_of(model, task, processor), split="train")
        streams[name] = TaskStream(len(splits[name]), BATCH_SIZE, derived_seed(SEED, "stream", name))
        parameters[name] = list(model.adapter_parameters(name).values())
        optimizers[name] = torch.optim.AdamW(
            parameters[name], task.learning_rate or LEARNING_RATE, weight_decay=0.0
        )
        schedules[name] = get_linear_schedule_with_warmup(optimizers[name], 0, ROUNDS)

    evaluator = Evaluator(model, processor, suite, token_budget=TOKEN_BUDGET)
    print("before:", evaluator.run())
    model.train()

    for step in range(ROUNDS):
        # The rows of the round. What a row counts for in its task's mean loss is its labels, or their weights.
        chunks: list[Chunk] = []
        totals: dict[str, float] = {}
        for name, stream in streams.items():
            sequences = [splits[name].sequence(line) for line in stream.batch(step)]
            totals[name] = sum(sequence.share for sequence in sequences)
            chunks += model.layout.cut(sequences, CHUNK_TOKENS)

        # Forward and backward, a micro-batch of many tasks at a time. No adapter sees another task's rows, so one
        # backward pass of the sum gives every task its own gradient.
        means = dict.fromkeys(suite, 0.0)
        for group in model.layout.fill(chunks, TOKEN_BUDGET):
            batch = model.layout.lay_out(group).to(model.device)
            losses: list[Tensor] = []
            for name, each in losses_of(model, batch, suite).items():
                losses.append(each.sum() / totals[name])
                means[name] += losses[-1].item()
            torch.stack(losses).sum().backward()

        # Every task clips, steps and counts by itself.
        for name, optimizer in optimizers.items():
            clip_grad_norm_(parameters[name], 1.0)
            optimizer.step()
            schedules[name].step()
            optimizer.zero_grad()
        if step % 10 == 0 or step == ROUNDS - 1:
            print(f"round {step + 1}/{ROUNDS}", {name: round(loss, 4) for name, loss in means.items()})

    print("after:", evaluator.run())
    # One ordinary PEFT folder per task, and the manifest.
    save_suite(model, FOLDER, processor=processor, tasks=suite)


if __name__ == "__main__":
    main()
