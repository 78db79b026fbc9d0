"""One GPU: routed and packed beside one PEFT adapter packed and `set_adapter` per task; K = 1, 4, 16, 64; bf16.

    python benchmarks/gpu.py            # writes benchmarks/results/gpu.json, in under 8 minutes by its own clock

A Llama of SmolLM2-135M's shape with random weights, 16,384 tokens a round in sequences of 64 to 512 tokens. Medians of
interleaved runs, timed by device events; peak memory by `torch.cuda.max_memory_allocated`. Written without a GPU at
hand: this script has not been run yet, and no figure in this repository comes from it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from hf_mtl import RoutedModel, __version__
from hf_mtl.data import Chunk, Sequence, pack

RESULT = Path(__file__).resolve().parent / "results" / "gpu.json"
TOKENS, RUNS, SECONDS = 16_384, 7, 420
CONFIG = LlamaConfig(
    vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
    num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True,
)  # fmt: skip
LORA = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}


def base() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(CONFIG).to("cuda", torch.bfloat16)


def chunks(tasks: int) -> list[Chunk]:
    """Every task's sequences, `TOKENS` tokens in all."""
    generator, per_task = torch.Generator().manual_seed(0), TOKENS // tasks
    made = []
    for task in range(tasks):
        room, sequences = per_task, []
        while room:
            length = min(room, int(torch.randint(64, 513, (1,), generator=generator)))
            ids = torch.randint(0, CONFIG.vocab_size, (length,), generator=generator).tolist()
            sequences.append(Sequence.next_token(f"t{task}", ids, ids, row=len(sequences)))
            room -= length
        made.append(Chunk(f"t{task}", sequences))
    return made


def routed_step(model: RoutedModel, work: list[Chunk]) -> Callable[[], None]:
    batch = pack(work).to(torch.device("cuda"))

    def step() -> None:
        cross_entropy(model(batch).float(), batch.label_ids).backward()
        model.zero_grad(set_to_none=True)

    return step


def peft_step(model: PeftModel, work: list[Chunk], *, joint: bool) -> Callable[[], None]:
    """PEFT on packed sequences: one adapter for everything (`joint`), or `set_adapter` and a pass for each task."""
    groups = [work] if joint else [[chunk] for chunk in work]
    batches = [(group[0].route, pack(group).to(torch.device("cuda"))) for group in groups]

    def step() -> None:
        for name, batch in batches:
            if not joint:
                model.set_adapter(name)
            logits = model(
                input_ids=batch.input_ids[None],
                position_ids=batch.position_ids[None],
                logits_to_keep=batch.label_positions,
                use_cache=False,
            ).logits[0]
            cross_entropy(logits.float(), batch.label_ids).backward()
        model.zero_grad(set_to_none=True)

    return step


def milliseconds(step: Callable[[], None]) -> float:
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    step()
    stop.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(stop))


def compare(tasks: int) -> dict[str, dict[str, float]]:
    """Tokens a second and peak memory of each way, for `tasks` tasks."""
    work = chunks(tasks)
    routed = RoutedModel(base())
    for chunk in work:
        routed.add_adapter(chunk.route, LoraConfig(**LORA))
    several = get_peft_model(base(), LoraConfig(**LORA), adapter_name="t0")
    for chunk in work[1:]:
        several.add_adapter(chunk.route, LoraConfig(**LORA))
    one = get_peft_model(base(), LoraConfig(**LORA), adapter_name="t0")
    steps = {
        "routed": routed_step(routed.to("cuda").train(), work),
        "one_peft_adapter_packed": peft_step(one.train(), work, joint=True),
        "set_adapter_packed_per_task": peft_step(several.train(), work, joint=False),
    }
    resident, peaks = torch.cuda.memory_allocated(), {}
    for name, step in steps.items():
        torch.cuda.reset_peak_memory_stats()
        step()
        peaks[name] = (torch.cuda.max_memory_allocated() - resident) / 2**20
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(RUNS):
        for name, step in steps.items():
            times[name].append(milliseconds(step))
    return {
        name: {
            "tokens_per_second": round(TOKENS / statistics.median(values) * 1e3, 1),
            "activations_peak_mib": round(peaks[name], 1),
        }
        for name, values in times.items()
    }


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("This benchmark needs a CUDA device, and torch sees none.")
    started, results = time.monotonic(), {}
    for tasks in (1, 4, 16, 64):
        if time.monotonic() - started > SECONDS:
            print(f"K = {tasks} is left out: {SECONDS} s are over.")
            continue
        results[tasks] = compare(tasks)
        print(tasks, results[tasks], flush=True)
        torch.cuda.empty_cache()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    result = {
        "benchmark": "gpu",
        "unit": "forward and backward, bf16",
        "tokens": TOKENS,
        "runs": RUNS,
        "commit": commit.stdout.strip(),
        "device": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "hf_mtl": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "tasks": results,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
