"""One GPU: routed and packed beside one PEFT adapter packed and `set_adapter` per task; K = 1, 4, 16, 64; bf16.

    python benchmarks/gpu.py                             # some minutes; writes benchmarks/results/gpu.json
    python benchmarks/gpu.py --folder "$OUT" --seconds 300
    python benchmarks/gpu.py --device cpu --quick --folder /tmp/figures    # the whole script on a tiny model

A Llama of SmolLM2-135M's shape with random weights, 16,384 tokens a round in sequences of 64 to 512 tokens. Medians of
interleaved runs, timed by device events; peak memory by `torch.cuda.max_memory_allocated`. The file is written anew
after each K. No figure in this repository comes from it yet: so far it has run on CPUs only.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from record import add_folder, commit, device, versions, write
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from hf_mtl import RoutedModel
from hf_mtl.data import Chunk, Sequence, pack

SMOLLM2: dict[str, Any] = {
    "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
TINY: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True,
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What is measured, and where.

    Args:
        device: `"cuda"` or `"cpu"`.
        shape: Of the base.
        tasks: Numbers of adapters.
        tokens: Of a round.
        runs: Measured rounds of each way.
    """

    device: str
    shape: dict[str, Any]
    tasks: tuple[int, ...]
    tokens: int
    runs: int

    def base(self) -> LlamaForCausalLM:
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**self.shape))
        torch.nn.Module.to(model, self.device, torch.bfloat16)
        return model

    def chunks(self, tasks: int) -> list[Chunk]:
        """Every task's sequences, `tokens` in all."""
        generator, per_task = torch.Generator().manual_seed(0), self.tokens // tasks
        made = []
        for task in range(tasks):
            room = per_task
            sequences: list[Sequence] = []
            while room:
                length = min(room, int(torch.randint(64, 513, (1,), generator=generator)))
                ids = torch.randint(0, self.shape["vocab_size"], (length,), generator=generator).tolist()
                sequences.append(Sequence.next_token(f"t{task}", ids, ids, row=len(sequences)))
                room -= length
            made.append(Chunk(f"t{task}", sequences))
        return made


def lora() -> LoraConfig:
    return LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")


def routed_step(model: RoutedModel, work: list[Chunk]) -> Callable[[], None]:
    batch = pack(work).to(model.device)

    def step() -> None:
        cross_entropy(model(batch).float(), batch.label_ids).backward()
        model.zero_grad(set_to_none=True)

    return step


def peft_step(model: PeftModel, work: list[Chunk], *, joint: bool) -> Callable[[], None]:
    """PEFT on packed sequences: one adapter for everything (`joint`), or `set_adapter` and a pass for each task."""
    groups = [work] if joint else [[chunk] for chunk in work]
    batches = [(group[0].route, pack(group).to(model.device)) for group in groups]

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


def milliseconds(step: Callable[[], None], where: str) -> float:
    """By the device's own events; on a CPU by the clock."""
    if where == "cpu":
        began = time.perf_counter()
        step()
        return (time.perf_counter() - began) * 1e3
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    step()
    stop.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(stop))


def peak_mib(step: Callable[[], None], where: str) -> float | None:
    """What a round adds to the memory of the device; None on a CPU, where torch does not count it."""
    if where == "cpu":
        step()
        return None
    resident = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    return round((torch.cuda.max_memory_allocated() - resident) / 2**20, 1)


def ways(setting: Setting, tasks: int) -> dict[str, Callable[[], None]]:
    """A round of each way, for `tasks` tasks."""
    work = setting.chunks(tasks)
    routed = RoutedModel(setting.base())
    for chunk in work:
        routed.add_adapter(chunk.route, lora())
    several = get_peft_model(setting.base(), lora(), adapter_name="t0")
    for chunk in work[1:]:
        several.add_adapter(chunk.route, lora())
    one = get_peft_model(setting.base(), lora(), adapter_name="t0")
    return {
        "routed": routed_step(routed.train(), work),
        "one_peft_adapter_packed": peft_step(one.train(), work, joint=True),
        "set_adapter_packed_per_task": peft_step(several.train(), work, joint=False),
    }


def compare(setting: Setting, tasks: int) -> dict[str, dict[str, Any]]:
    """Tokens a second and peak memory of each way."""
    steps = ways(setting, tasks)
    peaks = {name: peak_mib(step, setting.device) for name, step in steps.items()}  # warms up, too
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(setting.runs):
        for name, step in steps.items():
            times[name].append(milliseconds(step, setting.device))
    return {
        name: {
            "tokens_per_second": round(setting.tokens / statistics.median(values) * 1e3, 1),
            "milliseconds": [round(value, 3) for value in values],
            "activations_peak_mib": peaks[name],
        }
        for name, values in times.items()
    }


def environment(setting: Setting) -> dict[str, Any]:
    cuda = setting.device == "cuda"
    return {
        "benchmark": "gpu",
        "unit": "forward and backward, bf16",
        "shape": setting.shape,
        "tokens": setting.tokens,
        "runs": setting.runs,
        "commit": commit(),
        "device": torch.cuda.get_device_name() if cuda else device(),
        "capability": list(torch.cuda.get_device_capability()) if cuda else None,
        "cuda": torch.version.cuda if cuda else None,
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="a tiny model, K = 1 and 2, one run")
    parser.add_argument("--seconds", type=float, default=420, help="after these no further K is begun")
    add_folder(parser)
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device; --device cpu runs the same on the processor")
    if asked.quick:
        setting = Setting(asked.device, TINY, (1, 2), 256, 1)
    else:
        setting = Setting(asked.device, SMOLLM2, (1, 4, 16, 64), 16_384, 7)
    started = time.monotonic()
    result = environment(setting) | {"tasks": {}, "left_out": []}
    for tasks in setting.tasks:
        if time.monotonic() - started > asked.seconds:
            result["left_out"].append(tasks)
        else:
            result["tasks"][tasks] = compare(setting, tasks)
            print(tasks, result["tasks"][tasks], flush=True)
        write(asked.folder, "gpu", result)
        if asked.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
