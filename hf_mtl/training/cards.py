"""What model cards show of a run, from the trainer itself."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from datasets import Dataset, IterableDataset

from hf_mtl import __version__
from hf_mtl.data import ASSET_PREFIX, ASSETS
from hf_mtl.evaluation import NO_PICTURES, TaskResult, build_report, can_draw, plot_losses
from hf_mtl.export import Manifest
from hf_mtl.export.cards import (
    FACTS_FILE,
    LOSS_CURVE_FILE,
    BaseFacts,
    Figure,
    Places,
    RowsFacts,
    Setting,
    SuiteFacts,
    TaskFacts,
    data_of,
    saved_task,
    write_cards,
)
from hf_mtl.files import SeveralWrites, make_folder, remove_file
from hf_mtl.notices import logger_of
from hf_mtl.paths import expanded
from hf_mtl.tasks import Task, TaskForm, sharing_of
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.card_settings import run_settings, task_settings
from hf_mtl.training.isolation import isolation_note
from hf_mtl.training.settings import TaskSettings

if TYPE_CHECKING:
    from hf_mtl.training.looping import LoopingTrainer

__all__ = [
    "base_facts",
    "draw_cards",
    "environment",
    "figures_of_task",
    "say_if_without_pictures",
    "trainer_facts",
]

logger = logger_of(__name__)

_ROWS_OF_A_STEP = ("batch_size", "gradient_accumulation_steps")
_VERSIONS = (
    "torch", "transformers", "peft", "accelerate", "datasets", "huggingface_hub", "tokenizers", "safetensors",
)  # fmt: skip


def trainer_facts(trainer: LoopingTrainer, folder: Path, *, license: str | None = None) -> SuiteFacts:
    """What is known of a trainer's run.

    Args:
        trainer: Its last evaluation gives the figures.
        folder: Where it has saved its adapters.
        license: The adapters' licence.
    """
    say_if_without_pictures()
    manifest = Manifest.load(folder)
    history = trainer.state.log_history
    after = next((entry for entry in reversed(history) if "eval_runtime" in entry), {})
    report = build_report(trainer.suite, {}, after, history, trainer.task_seconds(), {})
    splits, skipped = trainer.splits(), trainer.skipped_rows()
    tasks = []
    for result in report.results:
        task = trainer.suite[result.task]
        form = TaskForm.of(task, ends=trainer.model.ends.get(task.name, ()))
        facts = saved_task(folder, manifest, task.name, form)
        numbers = data_of(task, splits[task.name], shown=False)
        sources = {"train": task.train, "eval": task.eval}
        tasks.append(
            replace(
                facts,
                settings=_settings(task, trainer.task_settings.get(task.name)),
                rows=tuple(
                    RowsFacts(
                        split,
                        _source(rows),
                        numbers=numbers.numbers.get(split),
                        skipped=skipped.get(task.name, {}).get(split, {}),
                    )
                    for split, rows in sources.items()
                    if rows is not None
                ),
                image_mode=numbers.image_mode,
                image_size=numbers.image_size,
                figures=figures_of_task(result),
                evaluated_rows=result.rows,
                chosen_by=_chosen_by(task, trainer.args),
                losses=tuple((step, loss) for step, loss in result.losses if math.isfinite(loss)),
                tokens=trainer.meter.tokens.get(task.name),
                seconds=result.seconds,
                licence=license,
            )
        )
    unset, args = vars(MultiTaskTrainingArguments("unset")), vars(trainer.args)
    names = [own.name for own in dataclasses.fields(trainer.args)]
    arguments = {name: args[name] for name in names if args[name] != unset[name]}
    return SuiteFacts(
        name=folder.resolve().name,
        base=base_facts(manifest, dtype=str(trainer.model.base.dtype).removeprefix("torch.")),
        tasks=tuple(tasks),
        sharing=sharing_of(trainer.args.sharing).name,
        objective=trainer.shared_objective.name,
        settings=run_settings({**arguments, "sharing": None, "objective": None}),
        environment=environment(str(trainer.args.device)),
        isolation=isolation_note(trainer.isolation),
    )


def draw_cards(facts: SuiteFacts, folder: Path, *, whole: bool = True) -> list[Path]:
    """Write cards, the JSON file that they are rendered from, and a picture of each task's losses.

    Without matplotlib the cards show no losses, and pictures of an earlier run are removed.

    Args:
        facts: What they show.
        folder: Where to; each adapter's card goes into its folder there.
        whole: Whether to draw the losses of all tasks too.

    Returns:
        The cards.

    Raises:
        WriteError: If a file could not be written; all the others are.
    """
    make_folder(folder)
    writes = SeveralWrites()
    if not can_draw():
        facts = replace(facts, tasks=tuple(replace(task, losses=()) for task in facts.tasks))
    facts.save(folder / FACTS_FILE)
    for task in facts.tasks:
        if task.folder is not None:
            with writes.one():
                make_folder(folder / task.folder)
                _draw([task], folder / task.folder / LOSS_CURVE_FILE)
    if whole:
        with writes.one():
            _draw(facts.tasks, folder / LOSS_CURVE_FILE)
    # A base that only this machine has: until the adapters are pushed, their card says where they are here too.
    here = Places(folder.resolve().as_posix()) if facts.base.folder is not None else None
    with writes.one():
        cards = write_cards(folder, here)
    writes.check()
    return cards


def say_if_without_pictures() -> None:
    """Tell in the log that cards will have no pictures here, for those who draw them on their own and not in a run."""
    if not can_draw():
        logger.warning(NO_PICTURES)


def _draw(tasks: Sequence[TaskFacts], path: Path) -> None:
    """Draw the losses of those tasks that have a curve; where none has one, there is no picture either."""
    tasks = [task for task in tasks if len(task.losses) > 1]
    if not tasks:
        remove_file(path)
        return
    names = [task.name for task in tasks]
    points = [
        {"step": step, "loss": loss, f"{task.name}/loss": loss}
        for task in tasks
        for step, loss in task.losses
    ]
    plot_losses(points, names, path)


def _settings(task: Task, settings: TaskSettings | None) -> tuple[Setting, ...]:
    """What the task says itself; the rows of a step as they came to be, with accumulation and all processes."""
    own = {name: value for name, value in vars(task).items() if name not in _ROWS_OF_A_STEP}
    rows = () if settings is None else (Setting("rows of an optimizer step", str(settings.batch_size)),)
    return (*rows, *task_settings(own))


def _source(rows: Dataset | IterableDataset) -> str:
    """What the rows were called where they came from; never a path."""
    return rows.info.dataset_name or rows.info.builder_name or "rows made in Python"


def _chosen_by(task: Task, args: MultiTaskTrainingArguments) -> str | None:
    if task.metric_for_best_model is not None or not args.load_best_model_at_end:
        return task.metric_for_best_model
    return args.metric_for_best_model or "loss"


def base_facts(manifest: Manifest, *, dtype: str | None, quantization: str | None = None) -> BaseFacts:
    """The base of a saved suite, and the asset that it is, if it is one."""
    base, source = manifest.base, manifest.base.source or ""
    asset = source.removeprefix(ASSET_PREFIX) if source.startswith(ASSET_PREFIX) else None
    known = next(
        (own for name, own in ASSETS.items() if name == asset or (own.hub_id and own.hub_id == base.hub_id)),
        None,
    )
    return BaseFacts(
        hub_id=base.hub_id,
        asset=asset,
        folder=str(expanded(source).resolve()) if source and not (asset or base.hub_id) else None,
        note=base.note,
        licence=None if known is None else known.licence,
        dtype=dtype,
        quantization=quantization,
        fingerprint=base.fingerprint,
    )


def environment(device: str) -> dict[str, str]:
    """Versions and device; nothing that tells whose machine it is."""
    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    cuda, threads = torch.device(device).type == "cuda", torch.get_num_threads()
    on_cpu = f"{platform.machine()} CPU, {threads} thread{'' if threads == 1 else 's'}"
    hardware = torch.cuda.get_device_name(device) if cuda else on_cpu
    told = {"hf_mtl": __version__, "python": platform.python_version(), **versions}
    return {**told, "hardware": hardware, "device": device}


def figures_of_task(
    result: TaskResult,
    *,
    alone: Mapping[str, float] = MappingProxyType({}),
    over_seeds: Callable[[str], Mapping[str, str]] = lambda metric: {},
) -> tuple[Figure, ...]:
    """A task's figures, the main one first.

    Args:
        result: What was measured.
        alone: By metric, what the task gave when it was trained alone.
        over_seeds: Gives for a metric the means over seeds, by way of training.
    """
    return tuple(
        Figure(
            metric=score.metric,
            value=score.after,
            low=score.low,
            high=score.high,
            before=score.before,
            constant=score.constant,
            alone=alone.get(score.metric),
            test=result.test.get(score.metric),
            over_seeds=over_seeds(score.metric),
        )
        for score in result.scores
    )
