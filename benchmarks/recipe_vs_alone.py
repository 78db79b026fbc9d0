"""A recipe's tasks together, and each of them alone with plain peft and transformers.Trainer, on the same rows.

    python benchmarks/recipe_vs_alone.py nlu                 # 3 seeds; writes benchmarks/results/nlu.json
    python benchmarks/recipe_vs_alone.py nlu --seeds 0

Alone is what somebody does who knows peft: the stock `AutoModelFor...` class, the same adapter and settings, batches
padded to their longest row, the base's dropout off as here. A seed means the same on both sides, first weights and
order of rows, so that what differs is the training together, and not the draw. Both ways the figures come from the
same metrics on the same held-out rows. Each run is a process of its own; seconds are those of training.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from record import add_folder, commit, device, versions, write
from rich.console import Console
from rich.table import Table
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from hf_mtl import MultiTaskTrainer, RoutedModel, load_base
from hf_mtl.data import IGNORED, ImageSequence, Sequence
from hf_mtl.evaluation import TaskOutcomes, figures_of
from hf_mtl.head_shapes import HeadShape
from hf_mtl.models import load_processor
from hf_mtl.recipe import build, load_recipe
from hf_mtl.tasks import EncodedSplit, Kind, Outcome

ROOT = Path(__file__).resolve().parents[1]


def built(recipe: str, seed: int) -> MultiTaskTrainer:
    """The trainer of a recipe's own run."""
    path = ROOT / "recipes" / recipe / "recipe.yaml"
    settings = [
        f"output_dir=runs/recipe_vs_alone/{recipe}-{seed}",  # seeds may run side by side
        f"training.seed={seed}",
        "training.disable_tqdm=true",
        "training.logging_strategy='no'",
    ]
    run = build(load_recipe(path, settings))
    spec = run.recipe.model
    base, identity = load_base(run.source, dtype=spec.dtype, hub_id=spec.id or None)
    processor = load_processor(run.source)
    return MultiTaskTrainer(
        RoutedModel(base, identity=identity), run.args, run.suite, processing_class=processor
    )


def main_figures(trainer: MultiTaskTrainer, name: str, figures: dict[str, float]) -> dict[str, float]:
    """Of a task's figures, those that its metrics stand for."""
    return {
        key: figures[key] for key in (metric.main_key(figures) for metric in trainer.suite[name].measures)
    }


def joint(recipe: str, seed: int) -> dict[str, Any]:
    trainer = built(recipe, seed)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    evaluator = trainer._evaluator_for(None)
    figures = evaluator.run()
    tasks = {name: main_figures(trainer, name, own) for name, own in figures.items()}
    return {"tasks": tasks, "seconds": seconds}


def plain_row(kind: Kind, own: Sequence) -> dict[str, Any]:
    """A sequence as the stock class for its kind of task takes it."""
    row: dict[str, Any] = {}
    if kind.shape is HeadShape.SPAN:
        row |= {"start_positions": int(own.targets[0]), "end_positions": int(own.targets[1])}
    elif kind.shape is HeadShape.TOKEN:
        labels = [IGNORED] * len(own.input_ids)
        for place, label in zip(own.label_positions, own.label_ids, strict=True):
            labels[place] = label
        row["labels"] = labels
    else:
        row["labels"] = int(own.targets[0])
    if isinstance(own, ImageSequence):
        return row | {"pixel_values": own.pixel_values}
    row |= {"input_ids": own.input_ids, "attention_mask": [1] * len(own.input_ids)}
    return row | {"token_type_ids": own.token_types or [0] * len(own.input_ids)}


class InOrder(Trainer):
    """Trains on batches that are given, in their order.

    Args:
        batches: The batches.
        model: Of `Trainer`.
        args: Of `Trainer`.
        **options: Of `Trainer`.
    """

    def __init__(
        self, batches: list[list[dict[str, Any]]], model: Any, args: TrainingArguments, **options: Any
    ) -> None:
        self._batches = batches
        super().__init__(model, args, train_dataset=batches, **options)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """One batch at a time; the collator gets its rows."""
        return DataLoader(self._batches, batch_size=None, collate_fn=self.data_collator)  # type: ignore[arg-type]


def collated(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Padded to the longest row."""
    batch = {}
    for name in rows[0]:
        values = [torch.as_tensor(row[name]) for row in rows]
        fill = IGNORED if name == "labels" else 0
        ragged = values[0].ndim == 1
        batch[name] = (
            pad_sequence(values, batch_first=True, padding_value=fill) if ragged else torch.stack(values)
        )
    return batch


def alone(recipe: str, seed: int, name: str) -> dict[str, Any]:
    trainer = built(recipe, seed)
    settings = trainer.task_settings[name]
    auto = getattr(transformers, trainer.model.auto_class(name))
    head = trainer.model.route_head(name)
    assert head is not None
    source = trainer.model.base.name_or_path
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    torch.manual_seed(seed)
    plain = auto.from_pretrained(source, num_labels=head.outputs, dtype=torch.float32, **off)
    config = copy.deepcopy(trainer.model.adapter_configs[name])
    model = peft.get_peft_model(plain, config)
    first = {key: own.detach().clone() for key, own in trainer.model.adapter_parameters(name).items()}
    odd = peft.set_peft_model_state_dict(model, first).unexpected_keys  # type: ignore[attr-defined]  # torch's own tuple
    assert not odd, odd
    rows, evaluated = trainer.sources[name], trainer._evaluator_for(None)
    kind = trainer.suite[name].own_kind
    batches = [[plain_row(kind, own) for own in rows.batch(step)] for step in range(settings.steps)]
    arguments = TrainingArguments(
        f"/tmp/alone-{name}-{seed}",
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=32,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup(),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        seed=seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    )
    stock = InOrder(batches, model, arguments, data_collator=collated)
    started = time.perf_counter()
    stock.train()
    seconds = time.perf_counter() - started
    split = evaluated.splits[name]
    figures = figures_of(outcomes_of(model.eval(), split, evaluated.contexts[name]), trainer.model)
    return {"tasks": {name: main_figures(trainer, name, figures)}, "seconds": seconds}


@torch.no_grad()
def outcomes_of(model: torch.nn.Module, split: EncodedSplit, context: Any) -> TaskOutcomes:
    """What a plain model gives for every sequence of a split, one by one."""
    task = split.encoder.task
    found: dict[int, list[Outcome]] = {}
    for line in range(len(split)):
        own = split.sequence(line)
        row = plain_row(task.own_kind, own)
        inputs = {
            k: torch.as_tensor(v)[None] for k, v in row.items() if "label" not in k and "positions" not in k
        }
        output = model(**inputs)
        if task.own_kind.shape is HeadShape.SPAN:
            logits = torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1)
        elif task.own_kind.shape is HeadShape.TOKEN:
            logits = output.logits[0, own.label_positions]
        else:
            logits = output.logits
        kept = task.own_kind.output((own,), (logits,), context)
        found.setdefault(own.row, []).append(Outcome(0.0, own.share, kept))
    return TaskOutcomes(task, context, split.source, found)


def one_run(arguments: list[str]) -> dict[str, Any]:
    """One run in a process of its own; what it gave is kept, so that a benchmark that was stopped goes on."""
    kept = (
        ROOT
        / "runs"
        / "recipe_vs_alone"
        / commit().replace(" ", "-")
        / ("-".join(arguments).replace("--", "") + ".json")
    )
    if kept.is_file():
        before: dict[str, Any] = json.loads(kept.read_text())
        return before
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


def summary(values: list[float]) -> dict[str, Any]:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "standard_error": error, "seeds": values}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)  # joint SEED, or alone SEED TASK
    add_folder(parser)
    options = parser.parse_args()
    if options.one:
        way, seed, *task = options.one
        found = (
            joint(options.recipe, int(seed)) if way == "joint" else alone(options.recipe, int(seed), *task)
        )
        print(json.dumps(found))
        return
    together = [one_run([options.recipe, "--one", "joint", str(seed)]) for seed in options.seeds]
    names = list(together[0]["tasks"])
    apart = {
        name: [one_run([options.recipe, "--one", "alone", str(seed), name]) for seed in options.seeds]
        for name in names
    }
    tasks: dict[str, Any] = {}
    for name in names:
        for key in together[0]["tasks"][name]:
            tasks.setdefault(name, {})[key] = {
                "joint": summary([own["tasks"][name][key] for own in together]),
                "alone": summary([own["tasks"][name][key] for own in apart[name]]),
            }
    result = {
        "recipe": options.recipe,
        "seeds": options.seeds,
        "tasks": tasks,
        "seconds_joint": [own["seconds"] for own in together],
        "seconds_alone": {name: [own["seconds"] for own in runs] for name, runs in apart.items()},
        "versions": versions(),
        "device": f"{device()}, {torch.get_num_threads()} threads",
        "commit": commit(),
    }
    write(options.folder, options.recipe, result)
    show(result)


def show(result: dict[str, Any]) -> None:
    table = Table("task", "metric", "joint", "alone, plain peft")
    for name, metrics in result["tasks"].items():
        for key, ways in metrics.items():
            cells = (
                f"{own['mean']:.4f} ± {own['standard_error']:.4f}" for own in (ways["joint"], ways["alone"])
            )
            table.add_row(name, key, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
