"""Text for 64 requests over 8 LoRAs: one mixed batch of ours, beside plain PEFT task by task and its mixed batches.

    python benchmarks/generation.py            # writes benchmarks/results/generation.json; some minutes
    python benchmarks/generation.py --quick    # 8 new tokens, one round, nothing written

SmolLM2-135M-Instruct with 8 LoRAs of rank 8 on all linear layers, 8 requests of each, greedy, no end token, so that
each writes the same number of tokens; prompts have 4 to 16 words. `set_adapter` runs each task's 8 requests as one
padded batch; `adapter_names` runs one batch of all 64 rows, padded, through PEFT's own mixed batches. Process CPU time
of everything from token ids to token ids, one thread, in one process, the ways taking turns, another one first in each
round; wall time is told beside it. The share of tokens that equal those of `set_adapter` is told too.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from peft import LoraConfig, PeftModel
from record import add_folder, commit, device, versions, write
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hf_mtl.export import save_suite
from hf_mtl.models import Decoder, GenerationRequest, GenerationSettings, RoutedModel, load_base

MODEL = Path.home() / ".cache" / "hf_mtl" / "assets" / "smollm2-135m-instruct"
TASKS, REQUESTS, RANK = 8, 8, 8
BARS = {
    "float32": {"set_adapter": 2.5, "adapter_names": 1.4},
    "bfloat16": {"set_adapter": 3.5, "adapter_names": 1.4},
}
TEXT = (
    "The committee met on a rainy morning to decide which of the proposals would be funded. Some members had read all "
    "of them, others only the summaries, and one had lost the papers on the train. They began with the question of "
    "whether a library belongs at the river, and came back to it again and again until the afternoon."
)

Tokens = list[tuple[int, ...]]
Prompts = list[tuple[str, tuple[int, ...]]]


def prompts(tokenizer: PreTrainedTokenizerBase) -> Prompts:
    """A task and a prompt for each request, 4 to 16 words, tasks in turn."""
    generator = torch.Generator().manual_seed(0)
    words = TEXT.split()
    rows = []
    for i in range(TASKS * REQUESTS):
        start = int(torch.randint(0, len(words), (), generator=generator))
        length = int(torch.randint(4, 17, (), generator=generator))
        chosen = (words * 2)[start : start + length]
        rows.append((f"task{i % TASKS}", tuple(tokenizer(" ".join(chosen))["input_ids"])))
    return rows


def routed_model(path: Path, dtype: torch.dtype) -> RoutedModel:
    base, _ = load_base(str(path), dtype=dtype)
    model = RoutedModel(base)
    for task in range(TASKS):
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
        model.add_adapter(f"task{task}", config, seed=task)
        generator = torch.Generator().manual_seed(task)
        for key, parameter in model.adapter_parameters(f"task{task}").items():
            if "lora_B" in key:  # large enough to be seen in the text
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.01)
    return model.eval()


def plain_model(base: PreTrainedModel, folder: Path) -> PeftModel:
    plain = PeftModel.from_pretrained(base, folder / "task0", adapter_name="task0")
    for task in range(1, TASKS):
        plain.load_adapter(folder / f"task{task}", adapter_name=f"task{task}")
    return plain.eval()


def padded(rows: list[tuple[int, ...]]) -> dict[str, torch.Tensor]:
    width = max(map(len, rows))
    return {
        "input_ids": torch.tensor([[0] * (width - len(row)) + list(row) for row in rows]),
        "attention_mask": torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
    }


def ways(
    routed: RoutedModel, plain: PeftModel, tokenizer: PreTrainedTokenizerBase, rows: Prompts, new: int
) -> dict[str, Callable[[], Tokens]]:
    """Each way of answering all requests, as a function that returns the answers in the requests' order."""
    options = {"max_new_tokens": new, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}

    def ours() -> Tokens:
        settings = GenerationSettings(max_new_tokens=new)
        requests = [GenerationRequest(route, ids, settings) for route, ids in rows]
        return [answer.token_ids for answer in Decoder(routed, tokenizer).generate(requests)]

    def set_adapter() -> Tokens:
        answers: dict[int, tuple[int, ...]] = {}
        for task in dict.fromkeys(route for route, _ in rows):
            own = [i for i, (route, _) in enumerate(rows) if route == task]
            plain.set_adapter(task)
            inputs = padded([rows[i][1] for i in own])
            output = plain.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :].tolist()
            answers |= {i: tuple(line) for i, line in zip(own, output, strict=True)}
        return [answers[i] for i in range(len(rows))]

    def adapter_names() -> Tokens:
        inputs = padded([ids for _, ids in rows])
        names = [route for route, _ in rows]
        output = plain.generate(**inputs, adapter_names=names, **options)
        return [tuple(line) for line in output[:, inputs["input_ids"].shape[1] :].tolist()]

    return {"ours": ours, "set_adapter": set_adapter, "adapter_names": adapter_names}


def agreement(ours: Tokens, theirs: Tokens) -> float:
    """The share of tokens before the first that differs, over all requests."""
    same = 0
    for a, b in zip(ours, theirs, strict=True):
        same += next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))
    return round(same / sum(map(len, theirs)), 4)


class Comparison:
    """The ways of one dtype and what they have cost so far."""

    def __init__(self, path: Path, dtype: str, new: int) -> None:
        self.dtype, self.new = dtype, new
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.eos_token = None
        routed = routed_model(path, getattr(torch, dtype))
        assert routed.base.generation_config is not None
        routed.base.generation_config.eos_token_id = None
        with TemporaryDirectory() as folder:
            save_suite(routed, Path(folder), processor=None)
            base = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
            plain = plain_model(base, Path(folder))
        self.rows = prompts(tokenizer)
        self.ways = ways(routed, plain, tokenizer, self.rows, new)
        self.seconds: dict[str, list[float]] = {name: [] for name in self.ways}
        self.wall: dict[str, list[float]] = {name: [] for name in self.ways}
        self.wrote: dict[str, Tokens] = {}
        for way in ways(routed, plain, tokenizer, self.rows[:TASKS], 2).values():
            way()  # warms up

    def play(self, turn: int) -> None:
        """One round."""
        names = list(self.ways)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            gc.collect()
            started, clock = time.process_time(), time.perf_counter()
            self.wrote[name] = self.ways[name]()
            self.seconds[name].append(round(time.process_time() - started, 3))
            self.wall[name].append(round(time.perf_counter() - clock, 3))
            print(self.dtype, name, self.seconds[name][-1], self.wall[name][-1], flush=True)

    def profile(self, folder: Path) -> None:
        """Write a table of each way's operations."""
        for name, way in self.ways.items():
            with profile(activities=[ProfilerActivity.CPU]) as run:
                way()
            table = run.key_averages().table(sort_by="self_cpu_time_total", row_limit=25)
            (folder / f"{name}-{self.dtype}.txt").write_text(table, encoding="utf-8")

    def row(self) -> dict[str, object]:
        """The figures so far."""
        pairs = {name: zip(own, self.seconds["ours"], strict=True) for name, own in self.seconds.items()}
        return {
            "dtype": self.dtype,
            "rounds": len(self.seconds["ours"]),
            "cpu_seconds": self.seconds,
            "wall_seconds": self.wall,
            "tokens_per_cpu_second": {
                name: round(len(self.rows) * self.new / statistics.median(own), 1)
                for name, own in self.seconds.items()
            },
            "times_slower_than_ours": {
                name: round(statistics.median(theirs / ours for theirs, ours in pair), 3)
                for name, pair in pairs.items()
                if name != "ours"
            },
            "bars": BARS[self.dtype],
            "tokens_equal_to_set_adapter": {
                name: agreement(own, self.wrote["set_adapter"]) for name, own in self.wrote.items()
            },
            "prompt_tokens": sum(len(ids) for _, ids in self.rows),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="8 new tokens, one round, nothing written")
    parser.add_argument("--model", type=Path, default=MODEL, help="a folder with the base")
    parser.add_argument("--dtype", choices=list(BARS), nargs="*", default=list(BARS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", default="nothing", help="what else runs on the machine, for the record")
    parser.add_argument("--profile", type=Path, help="a folder for a table of each way's operations")
    add_folder(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    new, rounds = (8, 1) if options.quick else (32, options.rounds)
    comparisons = [Comparison(options.model, dtype, new) for dtype in options.dtype]
    for turn in range(rounds):
        for comparison in comparisons:
            comparison.play(turn)
        result = {**environment(options, new), "rows": [comparison.row() for comparison in comparisons]}
        if not options.quick:  # after each round: a later one may be cut off
            write(options.folder, "generation", result)
    print(json.dumps(result, indent=1))
    for comparison in comparisons if options.profile else ():
        comparison.profile(options.profile)


def environment(options: argparse.Namespace, new: int) -> dict[str, object]:
    """What the figures were measured with."""
    return {
        "benchmark": "generation",
        "unit": "seconds for all requests; ratios are of process CPU time",
        "model": options.model.name,
        "requests": TASKS * REQUESTS,
        "adapters": TASKS,
        "rank": RANK,
        "new_tokens": new,
        "beside": options.beside,
        "commit": commit(),
        **versions(),
        "python": platform.python_version(),
        "device": device(),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
