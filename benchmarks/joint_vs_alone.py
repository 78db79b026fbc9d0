"""The quickstart's joint adapters beside the same adapters trained alone with plain peft and transformers.Trainer.

    python benchmarks/joint_vs_alone.py            # writes benchmarks/results/joint_vs_alone.json

Same base, same initial weights, same rows in the same batches, same steps and schedule; 300 held-out rows a
task. The figures should agree but for rounding: private adapters share nothing (README, "What joint training
changes").
"""

from __future__ import annotations

import argparse
import copy
from itertools import chain
from pathlib import Path
from typing import Any

import peft
import torch
from datasets import Dataset
from record import add_folder, commit, device, versions, write
from rich.console import Console
from rich.table import Table
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from hf_mtl import MultiTaskTrainer, RoutedModel, load_base
from hf_mtl.data import RowTokens
from hf_mtl.models import load_processor
from hf_mtl.recipe import build, load_recipe
from hf_mtl.training.sources import StoredRows

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "quickstart" / "recipe.yaml"
ROWS = 300


class InOrder(Trainer):
    """The stock Trainer, reading its rows in the order in which they lie."""

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        rows: Any = train_dataset if train_dataset is not None else self.train_dataset
        return SequentialSampler(rows)


def padded(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """The collation of an ordinary causal-lm fine-tuning: padded to the longest row, padding masked."""
    width = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "labels": -100, "attention_mask": 0}
    full = [row | {"attention_mask": [1] * len(row["input_ids"])} for row in rows]
    return {
        name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in full])
        for name, value in fill.items()
    }


def train_alone(
    joint: MultiTaskTrainer, name: str, start: dict[str, torch.Tensor], source: str, dtype: str
) -> dict[str, torch.Tensor]:
    """Train one adapter with plain peft on the batches that the joint run gave its task; return its weights."""
    stored, settings = joint.sources[name], joint.task_settings[name]
    assert isinstance(stored, StoredRows)
    batches = [[sequence.row for sequence in stored.batch(step)] for step in range(settings.steps)]
    assert {len(batch) for batch in batches} == {settings.batch_size}
    declared, tokenizer = stored.split.encoder.task.declared, stored.split.encoder.context.tokenizer
    tokens = RowTokens(declared.template, tokenizer)
    rows = []
    for number in chain(*batches):
        [row] = tokens.encode(stored.split.source[number], max_length=declared.max_length)
        rows.append({"input_ids": row.input_ids, "labels": row.labels})
    base, _ = load_base(source, dtype=dtype)
    model = peft.get_peft_model(base, copy.deepcopy(joint.model.adapter_configs[name]))
    parameters = {key.replace(".default.", "."): p for key, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(start[key])
    arguments = TrainingArguments(
        "runs/alone",
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    )
    trainer = InOrder(model, arguments, data_collator=padded, train_dataset=Dataset.from_list(rows))
    trainer.train()
    return {key: parameter.detach() for key, parameter in parameters.items()}


def main() -> None:
    console = Console()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("settings", nargs="*", help="of the recipe, as KEY=VALUE")
    add_folder(parser)
    asked = parser.parse_args()
    overrides = [f"defaults.max_eval_rows={ROWS}", "training.disable_tqdm=true", *asked.settings]
    run = build(load_recipe(RECIPE, overrides))
    dtype = run.recipe.model.dtype
    base, identity = load_base(run.source, dtype=dtype, hub_id=run.recipe.model.id)
    joint = MultiTaskTrainer(
        RoutedModel(base, identity=identity), run.args, run.suite, processing_class=load_processor(run.source)
    )
    start = {
        n: {k: p.detach().clone() for k, p in joint.model.adapter_parameters(n).items()} for n in run.suite
    }
    joint.train()
    together = joint.evaluate()
    tasks: dict[str, Any] = {}
    result = {
        "rows_per_task": ROWS,
        "steps": run.args.max_steps,
        "dtype": str(dtype),
        "tasks": tasks,
        "versions": versions(),
        "device": f"{device()}, {torch.get_num_threads()} threads",
        "commit": commit(),
    }
    for name in run.suite:
        alone = train_alone(joint, name, start[name], run.source, dtype)
        parameters = joint.model.adapter_parameters(name)
        difference = max(
            float((alone[k] - p.detach()).norm() / p.detach().norm()) for k, p in parameters.items()
        )
        with torch.no_grad():
            for key, parameter in parameters.items():
                parameter.copy_(alone[key])
        tasks[name] = {"largest_weight_difference": difference}
        write(asked.folder, "joint_vs_alone", result)
    apart = joint.evaluate()
    for name, task in run.suite.items():
        for metric in task.metrics or ():
            key = f"eval_{name}/{metric}"
            tasks[name][str(metric)] = {"joint": together[key], "alone": apart[key]}
    write(asked.folder, "joint_vs_alone", result)
    show(result, console)


def show(result: dict[str, Any], console: Console) -> None:
    table = Table("task", "metric", "joint", "alone", "difference", "largest weight difference")
    for name, task in result["tasks"].items():
        for metric in ("exact_match", "accuracy"):
            if metric in task:
                joint, alone = task[metric]["joint"], task[metric]["alone"]
                weights = f"{task['largest_weight_difference']:.1e}"
                table.add_row(name, metric, f"{joint:.3f}", f"{alone:.3f}", f"{joint - alone:+.3f}", weights)
    console.print(table)


if __name__ == "__main__":
    main()
