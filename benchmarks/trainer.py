"""What the trainer costs around the routed pass: rows, packing, clipping, optimizers, checks, logging.

    python benchmarks/trainer.py --rounds 3

A real run of `MultiTaskTrainer` on the 61M model: K tasks, 64 rows of about 64 tokens a round in all, logged every
round. The pass is the model's forward and backward; everything else between the beginnings of two rounds is overhead.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from driver import initial_weights
from peft import LoraConfig
from record import add_folder, commit, device, write
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, TrainerCallback
from variants.variant import llama
from workload import Spec

import hf_mtl
from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task
from hf_mtl.data import PackedBatch, PaddedBatch

COUNTS = (1, 8, 64)
ROWS = 64


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|end|>": 0} | {letter: i for i, letter in enumerate(alphabet, start=1)}
    own = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<|end|>", pad_token="<|end|>")


def tasks(count: int, rounds: int) -> list[Task]:
    """`count` tasks that share 64 rows a round."""
    draw = random.Random(0)
    each = ROWS // count

    def rows() -> Dataset:
        lengths = [max(4, round(48 * draw.lognormvariate(0, 0.5))) for _ in range(each * rounds)]
        return Dataset.from_list([{"text": "x" * length, "label": "a label of words"} for length in lengths])

    adapter = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
    template = PromptCompletion("{text}", " {label}")
    return [
        Task(f"task {i}", train=rows(), template=template, adapter=adapter, batch_size=each)
        for i in range(count)
    ]


class Clock(TrainerCallback):
    """CPU seconds of each round, and of the pass in it."""

    def __init__(self) -> None:
        self.passed: list[float] = []
        self.rounds: list[tuple[float, float]] = []
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        now = time.process_time()
        if state.global_step > 1:  # the first round warms up
            self.rounds.append((now - self._began, sum(self.passed)))
        self.passed.clear()
        self._began = now


def measure(count: int, rounds: int, folder: Path, *, shape: str = "61m") -> dict[str, Any]:
    """The median share of a round that is not the pass, and its parts."""
    spec = Spec(shape=shape, tasks=count)
    model = llama(spec, str(initial_weights(spec, folder)))
    args = MultiTaskTrainingArguments(
        str(folder), max_steps=rounds + 2, learning_rate=1e-4, logging_steps=1, save_strategy="no", report_to="none",
        disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    clock = Clock()
    trainer = MultiTaskTrainer(
        model, args, tasks(count, rounds + 2), processing_class=tokenizer(), callbacks=[clock]
    )
    by_route = trainer.model.by_route
    backward = trainer.accelerator.backward

    def timed_pass(batch: PackedBatch | PaddedBatch) -> dict[str, torch.Tensor]:
        began = time.process_time()
        logits = by_route(batch)
        clock.passed.append(time.process_time() - began)
        return logits

    def timed(loss: torch.Tensor) -> None:
        began = time.process_time()
        backward(loss)
        clock.passed.append(time.process_time() - began)

    trainer.model.by_route = timed_pass  # type: ignore[method-assign]

    create = trainer.create_optimizer

    def create_optimizer(model: Any = None) -> Any:
        optimizer = create(model)
        trainer._round_step.backward = timed
        return optimizer

    trainer.create_optimizer = create_optimizer  # type: ignore[method-assign]
    trainer.train()
    shares = [1 - inside / whole for whole, inside in clock.rounds]
    return {"tasks": count, "overhead": statistics.median(shares), "rounds": clock.rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    add_folder(parser)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    measured: list[dict[str, Any]] = []
    result = {
        "name": "trainer-61m-float32", "device": device(), "threads": 1, "hf_mtl": hf_mtl.__version__,
        "commit": commit(), "measured": measured,
    }  # fmt: skip
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(count, asked.rounds, Path(folder)))
        print(f"K = {count}: {measured[-1]['overhead']:.1%} of a round is not the pass", flush=True)
        write(asked.folder, "trainer-61m-float32", result)


if __name__ == "__main__":
    main()
