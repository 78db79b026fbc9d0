"""A recipe from start to end: evaluate, train, evaluate again, save, report."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import peft
import torch
import transformers
from datasets import Dataset
from rich.console import Console

from hf_mtl import __version__
from hf_mtl.data import ASSET_PREFIX, count_reasons, resolve_asset
from hf_mtl.errors import ConfigError, TrainingError, WriteError
from hf_mtl.evaluation import (
    NO_PICTURES,
    Report,
    build_report,
    can_draw,
    data_table,
    report_table,
)
from hf_mtl.evaluation.page import (
    REPORT_FILE,
)
from hf_mtl.export import MANIFEST_FILE, Manifest, load_suite
from hf_mtl.files import check_folder
from hf_mtl.models import RoutedModel, load_base, load_processor
from hf_mtl.recipe.factory import Run, build
from hf_mtl.recipe.run_files import LOSSES_FILE, save_log, save_run
from hf_mtl.recipe.schema import Recipe
from hf_mtl.terminal import Terminal, plain, say
from hf_mtl.training import MultiTaskTrainer, ProgressDisplay
from hf_mtl.training.checkpoints import asked_checkpoint
from hf_mtl.training.isolation import isolation_note
from hf_mtl.versions import plain_prefix_problem

__all__ = [
    "LOSSES_FILE",
    "REPORT_FILE",
    "measure",
    "model_info",
    "run_recipe",
    "say_what_is_left_out",
    "train_recipe",
]

MOST_FOLDERS = 8  # named at the end; more of them would push the results off the screen


def run_recipe(
    recipe: Recipe, console: Console | None = None, *, resume: str | None = None, measure_before: bool = True
) -> Report:
    """Run a recipe.

    Its `output_dir` then holds one PEFT folder per task with its model card, the manifest, the recipe with all defaults
    filled in, the report, a picture of the losses, and what `hf-mtl report` shows beside them: the log, what each task
    had of the run, and what went wrong.

    Args:
        recipe: A recipe as `load_recipe` gives it.
        console: Where progress and result are shown; None is the standard output.
        resume: The folder of a checkpoint to go on from, or `last` for the last whole one in `output_dir`.
        measure_before: Whether the tasks are measured before training too.

    Raises:
        WriteError: A file cannot be written; it says what is whole. The table of results has been shown.
    """
    console = console or Terminal()
    say_what_is_left_out(console)
    return train_recipe(recipe, console, resume=resume, measure_before=measure_before)


def say_what_is_left_out(console: Console) -> None:
    """Name, before the work, the part of a run for which a package is missing."""
    if not can_draw():
        say(console, NO_PICTURES)


def train_recipe(
    recipe: Recipe, console: Console, *, resume: str | None = None, measure_before: bool = True
) -> Report:
    """Run a recipe as `run_recipe` does; what is left out has been said."""
    if all(spec.train is None for spec in recipe.tasks.values()):
        raise ConfigError("no task has rows to learn from: give at least one task its train file.")
    asked = True if resume == "last" else resume
    asked_checkpoint(Path(recipe.output_dir), asked)  # before rows and weights are read
    check_folder(Path(recipe.output_dir), named_by="output_dir")
    run = build(recipe)
    display = ProgressDisplay(run.suite.names, console)
    trainer = _trainer(run, display)
    say(console, _header(trainer))
    console.print(data_table(trainer.suite, trainer.splits()))
    trainer.check_start(asked)
    before = measure(trainer, console, "before training") if measure_before else {}
    try:
        trainer.train(resume_from_checkpoint=asked)
    except TrainingError:
        if trainer.is_world_process_zero():  # so that `hf-mtl report` shows what went wrong
            with suppress(WriteError):  # the error that ends the run is the one to show
                save_log(Path(recipe.output_dir), trainer)
        raise
    finally:
        display.close()
    after = measure(trainer, console, "after training")
    report = build_report(
        run.suite, before, after, trainer.state.log_history, trainer.task_seconds(), model_info(trainer)
    )
    with console.status("Writing some answers ..."):
        report = report.with_generated(trainer.check_generation())
    if run.tests:
        with console.status("Measuring on the test rows ..."):
            report = report.with_tests(trainer.evaluate(run.tests, metric_key_prefix="test", intervals=True))
    report = report.with_skipped(trainer.skipped_rows(run.tests))
    if trainer.is_world_process_zero():
        _show_figures(report, console)  # first, so that they are not lost if a file cannot be written
        save_run(run, trainer, report)
        _show_files(run, trainer, console)
        if run.args.push_to_hub:
            trainer.push_to_hub(create_cards=False)  # those of the recipe are there, with their pictures
    return report


def _trainer(run: Run, display: ProgressDisplay) -> MultiTaskTrainer:
    return MultiTaskTrainer(
        _model(run),
        run.args,
        run.suite,
        processing_class=load_processor(run.source),
        callbacks=[display],
    )


def _model(run: Run) -> RoutedModel:
    """The base, with the adapters of a finished run where the recipe names one."""
    spec = run.recipe.model
    if spec.adapters is not None:
        return load_suite(
            spec.adapters,
            base=run.source,
            dtype=spec.dtype,
            quantization=spec.quantization,
            allow_pickle=spec.allow_pickle,
        )
    base, identity = load_base(
        run.source,
        dtype=spec.dtype,
        hub_id=spec.id or None,
        quantization=spec.quantization,
        allow_pickle=spec.allow_pickle,
    )
    return RoutedModel(base, identity=identity)


def measure(trainer: MultiTaskTrainer, console: Console, when: str) -> dict[str, float]:
    """Return the figures of all tasks that have rows to measure on."""
    if all(task.eval is None for task in trainer.suite.values()):
        return {}
    with console.status(plain(f"Evaluating {when} ...")):
        return trainer.evaluate(intervals=True)


def model_info(trainer: MultiTaskTrainer) -> dict[str, str | int | float | None]:
    """Return what a report says about the model."""
    identity = trainer.model.identity
    return {
        "base": identity.hub_id or identity.source,
        "fingerprint": identity.fingerprint,
        "note": identity.note,
        "dtype": str(trainer.model.base.dtype).removeprefix("torch."),
        "device": str(trainer.args.device),
        "trainable_parameters": sum(_sizes(trainer).values()),
        "hf_mtl": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "isolation": isolation_note(trainer.isolation),
    }


def _sizes(trainer: MultiTaskTrainer) -> dict[str, int]:
    """The number of trained parameters by owner: a task, or the adapter that several share."""
    return {
        owner: sum(parameter.numel() for parameter in own.values())
        for owner, own in trainer.owners.parameters.items()
    }


def _size_text(trainer: MultiTaskTrainer) -> str:
    sizes = _sizes(trainer)
    own = sorted({sizes.get(name, 0) for name in trainer.suite})
    text = f"{own[0]:,}" if len(own) == 1 else f"{own[0]:,} to {own[-1]:,}"
    shared = sum(size for owner, size in sizes.items() if owner in trainer.owners.users)
    more = f" and {shared:,} shared ones ({trainer.sharing.name})" if shared else ""
    return f"{text} trainable parameters per task{more}"


def _header(trainer: MultiTaskTrainer) -> str:
    info = model_info(trainer)
    train, measured = (
        sum(len(rows) for rows in splits if isinstance(rows, Dataset))
        for splits in zip(*((task.train, task.eval) for task in trainer.suite.values()), strict=True)
    )
    tasks = "1 task" if len(trainer.suite) == 1 else f"{len(trainer.suite)} tasks"
    facts = (
        f"{train:,} rows to learn from",
        f"{measured:,} to measure on",
        _size_text(trainer),
    )
    note = f"\n{info['note']}" if info["note"] else ""
    return f"{info['base']} in {info['dtype']} on {info['device']}: {tasks}, {', '.join(facts)}{note}"


def _show_figures(report: Report, console: Console) -> None:
    console.print(report_table(report))
    for result in report.results:
        for split, reasons in result.skipped.items():
            say(console, f"{result.task}, {split}: rows skipped: {count_reasons(reasons)}")
        if result.generated is not None and result.generated.problem is not None:
            say(console, f"{result.task}: {result.generated.problem}")


def _show_files(run: Run, trainer: MultiTaskTrainer, console: Console) -> None:
    folder = Path(run.recipe.output_dir)
    manifest = Manifest.load(folder)
    if len(manifest.tasks) > MOST_FOLDERS:
        say(console, f"adapters: {len(manifest.tasks)} folders in {folder}, listed in its {MANIFEST_FILE}")
    for name, place in manifest.tasks.items() if len(manifest.tasks) <= MOST_FOLDERS else ():
        say(console, f"{name}: {folder / place}")
    losses = f"  losses: {folder / LOSSES_FILE}" if (folder / LOSSES_FILE).exists() else ""
    say(console, f"report: {folder / REPORT_FILE}{losses}")
    name, place = next(iter(manifest.tasks.items()))
    auto, head = trainer.model.auto_class(name), manifest.heads.get(name)
    outputs = "" if head is None else f", num_labels={head.spec.outputs}"
    say(console, "\nLoad an adapter with plain peft:")
    say(console, f"  from peft import PeftModel; from transformers import {auto}")
    say(console, f"  base = {auto}.from_pretrained({_loads_from(manifest)!r}{outputs})")
    say(console, f"  model = PeftModel.from_pretrained(base, {(folder / place).as_posix()!r})")
    problem = plain_prefix_problem() if trainer.model.virtual_tokens(name) else None
    if problem is not None:
        say(console, f"Not in this environment: {problem}")


def _loads_from(manifest: Manifest) -> str | None:
    """What transformers finds the base by: its Hub id, or the folder that it was loaded from."""
    source = manifest.base.hub_id or manifest.base.source or ""
    if source.startswith(ASSET_PREFIX):
        return str(resolve_asset(source.removeprefix(ASSET_PREFIX)))
    return source or None
