"""Big inputs: many inputs to answer, many tasks, a million rows, ten thousand rounds, a long log.

    python benchmarks/big.py predict      # 1,000 and 100,000 inputs through `hf-mtl predict`
    python benchmarks/big.py tasks        # recipes of 64 and 300 tasks: checked, built, a trainer constructed
    python benchmarks/big.py rows         # the check of a million short rows: JSON lines, CSV, Parquet
    python benchmarks/big.py rounds       # 10,000 rounds: seconds, memory, open files and files, at 1,000 and at 10,000
    python benchmarks/big.py log          # 300 tasks x 10,000 entries: a trainer's state, the record, the page

Each writes `results/big-<what>.json`. The base is a tiny random Llama, so that what is measured is this library.
Seconds are of CPU time of one thread unless they say wall; memory is the largest resident size of the process, in MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from record import add_folder, commit, device, versions, write
from worker import forget_peak, memory

Figures = dict[str, Any]  # Any: plain JSON
LABELS = ("negative", "positive")


def save_base(folder: Path, layers: int = 2) -> Path:
    """Write a tiny random Llama with a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(["<|end|>", *alphabet])}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", pad_token="<|end|>")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_recipe(folder: Path, base: Path, tasks: int, *, training: str, rows: int = 60) -> Path:
    """Write a recipe of so many tasks, each with a file of its own."""
    lines = [
        f"model: {{id: someone/tiny, source: {base}, dtype: float32}}",
        f"output_dir: {folder / 'run'}",
        "defaults: {adapter: {r: 2, target_modules: all-linear}, max_length: 64}",
        f"training: {{per_device_train_batch_size: 2, use_cpu: true, seed: 0, {training}}}",
        "tasks:",
    ]
    for task in range(tasks):
        texts = [{"text": f"word {task} {row}", "label": LABELS[row % 2]} for row in range(rows)]
        text = "".join(json.dumps(row) + "\n" for row in texts)
        (folder / f"{task}.jsonl").write_text(text, encoding="utf-8")
        columns = "columns: {text: text, label: label}, labels: [negative, positive]"
        lines.append(f"  task {task}: {{train: {task}.jsonl, kind: text-classification, {columns}}}")
    (folder / "recipe.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "recipe.yaml"


@contextmanager
def lap(figures: Figures, name: str) -> Iterator[None]:
    """Note the seconds of CPU time of a part."""
    started = time.process_time()
    yield
    figures[name] = round(time.process_time() - started, 2)


def program(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `hf-mtl` in a folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "hf_mtl", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def peak_of(process: int) -> float:
    """The largest resident size of another process so far."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def measure_predict(folder: Path, counts: list[int]) -> Figures:
    """Answer so many inputs; the first answer is timed from the start of the process."""
    save_recipe(folder, save_base(folder / "base"), 1, training="max_steps: 1")
    program(folder, "train", "recipe.yaml").communicate()
    figures: Figures = {}
    for count in counts:
        rows = "".join(json.dumps({"text": f"word {row}"}) + "\n" for row in range(count))
        (folder / "rows.jsonl").write_text(rows, encoding="utf-8")
        started = time.perf_counter()
        process = program(folder, "predict", "run", "--task", "task 0", "--input", "rows.jsonl")
        assert process.stdout is not None
        first = last = answers = 0.0
        peak = 0.0
        for answers, _ in enumerate(process.stdout, start=1):
            last = time.perf_counter() - started
            first = first or last
            if answers % 1000 == 0:
                peak = max(peak, peak_of(process.pid))
        assert process.wait() == 0 and answers == count
        figures[str(count)] = {
            "first_answer_wall_seconds": round(first, 2),
            "last_answer_wall_seconds": round(last, 2),
            "peak_mib": round(peak, 1),
        }
    return figures


def measure_tasks(folder: Path, counts: list[int]) -> Figures:
    """Check recipes, build them, construct a trainer."""
    from hf_mtl.models import RoutedModel, load_base, load_processor
    from hf_mtl.recipe import build, check_rows, load_recipe
    from hf_mtl.training import MultiTaskTrainer

    figures: Figures = {}
    base = save_base(folder / "base", layers=30)
    for count in counts:
        own: Figures = {}
        (folder / str(count)).mkdir()
        path = save_recipe(folder / str(count), base, count, training="max_steps: 2")
        with lap(own, "load_recipe"):
            recipe = load_recipe(path)
        with lap(own, "check_rows"):
            assert not check_rows(recipe).problems
        with lap(own, "build"):
            run = build(recipe)
        with lap(own, "construct"):
            loaded, identity = load_base(run.source, dtype="float32", hub_id="someone/tiny")
            model = RoutedModel(loaded, identity=identity)
            MultiTaskTrainer(model, run.args, run.suite, processing_class=load_processor(run.source))
        figures[str(count)] = own
    return figures


def measure_rows(folder: Path, counts: list[int]) -> Figures:
    """Read and check a table as `validate` does, each format in a process of its own."""
    figures: Figures = {}
    for count in counts:
        for suffix in ("jsonl", "csv", "parquet"):
            _table(folder / f"rows.{suffix}", count)
            code = (
                "import resource, sys, time\n"
                "from pathlib import Path\n"
                "from hf_mtl.recipe.rows import rows_to_look_at\n"
                "from hf_mtl.recipe.schema import RowsSpec, TaskSpec\n"
                "import datasets\n"
                "before, t = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()\n"
                "rows = rows_to_look_at(RowsSpec(source=sys.argv[1]), None, TaskSpec())\n"
                "print(len(rows), time.process_time() - t, before / 1024,\n"
                "      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
            )
            environment = {**os.environ, "HF_DATASETS_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
            done = subprocess.run(
                [sys.executable, "-c", code, str(folder / f"rows.{suffix}")],
                capture_output=True, text=True, env=environment, check=True,
            )  # fmt: skip
            rows, seconds, before, peak = map(float, done.stdout.split())
            assert rows == count
            figures[f"{suffix} {count}"] = {
                "seconds": round(seconds, 1), "before_mib": round(before), "peak_mib": round(peak),
            }  # fmt: skip
    return figures


def _table(file: Path, count: int) -> None:
    rows = ((f"word {row}", LABELS[row % 2]) for row in range(count))
    if file.suffix == ".parquet":
        from datasets import Dataset

        columns = dict(zip(("text", "label"), map(list, zip(*rows, strict=True)), strict=True))
        Dataset.from_dict(columns).to_parquet(file)
        return
    with file.open("w", encoding="utf-8") as target:
        if file.suffix == ".csv":
            target.write("text,label\n")
            target.writelines(f"{text},{label}\n" for text, label in rows)
        else:
            target.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


def measure_rounds(folder: Path, counts: list[int]) -> Figures:
    """Train, and look at the process at some rounds."""
    from transformers import TrainerCallback

    from hf_mtl.models import RoutedModel, load_base, load_processor
    from hf_mtl.recipe import build, load_recipe
    from hf_mtl.training import MultiTaskTrainer

    last = max(counts)
    saves = f"save_steps: {min(counts)}, save_total_limit: 2"
    training = f"max_steps: {last}, logging_steps: 10, {saves}, disable_tqdm: true"
    run = build(load_recipe(save_recipe(folder, save_base(folder / "base"), 2, training=training)))
    figures: Figures = {}

    class Look(TrainerCallback):
        since = time.process_time()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % min(counts):
                return
            now = time.process_time()
            output = Path(args.output_dir)
            figures[str(state.global_step)] = {
                "seconds_per_round": round((now - Look.since) / min(counts), 5),
                "resident_mib": round(memory("VmRSS"), 1),
                "open_files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
                "files": sum(path.is_file() for path in output.rglob("*")),
                "megabytes": round(sum(p.stat().st_size for p in output.rglob("*") if p.is_file()) / 1e6, 2),
            }
            Look.since = now

    loaded, identity = load_base(run.source, dtype="float32", hub_id="someone/tiny")
    trainer = MultiTaskTrainer(
        RoutedModel(loaded, identity=identity),
        run.args,
        run.suite,
        processing_class=load_processor(run.source),
        callbacks=[Look()],
    )
    trainer.train()
    return figures


def long_log(tasks: int, entries: int) -> list[dict[str, float]]:
    """What a run of so many tasks logs, in the form of `trainer.state.log_history`."""
    import math
    import sys as system

    names = {
        (task, figure): system.intern(f"task {task}/{figure}")
        for task in range(tasks)
        for figure in ("loss", "tokens", "learning_rate", "grad_norm")
    }
    log = []
    for entry in range(1, entries + 1):
        own: dict[str, float] = {"loss": 1.0, "step": entry * 10, "epoch": entry / 100}
        for task in range(tasks):
            own[names[task, "loss"]] = 2 / math.sqrt(entry) + (task * 7919 + entry * 104729) % 997 / 5000
            own[names[task, "tokens"]] = entry * 64
            own[names[task, "learning_rate"]] = 1e-3 * (1 - entry / (entries + 1))
            own[names[task, "grad_norm"]] = 1 + (task + entry) % 13 / 10
        log.append(own | {"tokens_per_second": 1e4, "padding": 0.0, "memory_mib": 900.0})
    return log


def measure_log(folder: Path, counts: list[int]) -> Figures:
    """Write the state of a trainer, the record of a run and its page with a long log."""
    from transformers import TrainerState

    from hf_mtl.evaluation.page import collect_story, write_page
    from hf_mtl.evaluation.page.records import LOG, numbers_of
    from hf_mtl.evaluation.plots import plot_losses
    from hf_mtl.evaluation.report import Report, TaskResult, losses_by_task
    from hf_mtl.evaluation.thinning import thin_log
    from hf_mtl.training.state_file import save_state

    figures: Figures = {}
    tasks = 300
    for entries in counts:
        own: Figures = {}
        output = folder / str(entries)
        (output / "page").mkdir(parents=True)
        names = [f"task {task}" for task in range(tasks)]
        log = long_log(tasks, entries)
        own["log_resident_mib"] = round(memory("VmRSS"))
        forget_peak()
        with lap(own, "report_seconds"):
            losses = losses_by_task(log, names)
            results = tuple(
                TaskResult(task=n, rows=1, seconds=1.0, scores=(), losses=losses[n]) for n in names
            )
            Report(results=results, model={}).save(output / "report.json")
        with lap(own, "log_json_seconds"):
            LOG.write(output, (numbers for entry in thin_log(log) for numbers in numbers_of([entry])))
        with lap(own, "losses_png_seconds"):
            plot_losses(log, names, output / "losses.png")
        with lap(own, "trainer_state_seconds"):
            save_state(TrainerState(log_history=log), output / "trainer_state.json")
        del log
        with lap(own, "page_seconds"):
            write_page(collect_story(output), output / "page")
        own["peak_mib"] = round(memory("VmHWM"))
        own["megabytes"] = {
            str(path.relative_to(output)): round(path.stat().st_size / 1e6, 1)
            for path in sorted(output.rglob("*"))
            if path.is_file()
        }
        figures[str(entries)] = own
    return figures


MEASURES: dict[str, tuple[Callable[[Path, list[int]], Figures], list[int]]] = {
    "predict": (measure_predict, [1_000, 100_000]),
    "tasks": (measure_tasks, [64, 300]),
    "rows": (measure_rows, [100_000, 1_000_000]),
    "rounds": (measure_rounds, [1_000, 10_000]),
    "log": (measure_log, [1_000, 10_000]),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--counts", type=int, nargs="+", help="instead of the usual numbers")
    add_folder(parser)
    asked = parser.parse_args()
    measure, usual = MEASURES[asked.what]
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), asked.counts or usual)
    result = {
        "name": f"big-{asked.what}",
        "device": device(),
        "commit": commit(),
        "versions": versions("datasets"),
        "load_before_and_after": [round(load[0], 1), round(os.getloadavg()[0], 1)],
        "figures": figures,
    }
    write(asked.folder, f"big-{asked.what}", result)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
