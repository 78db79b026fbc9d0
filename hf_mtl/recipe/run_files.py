"""What a run leaves in its folder: the adapters first, then all that describes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hf_mtl.errors import CheckpointError
from hf_mtl.evaluation import Report, can_draw, plot_losses
from hf_mtl.evaluation.page import (
    COSINES_FILE,
    INCIDENTS,
    LOG,
    MIXTURE,
    RELATIONS_FILE,
    REPORT_FILE,
    numbers_of,
)
from hf_mtl.evaluation.thinning import thin_log
from hf_mtl.export.cards import data_of
from hf_mtl.files import SeveralWrites, noting, remove_file
from hf_mtl.recipe.card_data import DATA, RunData, may_show_rows
from hf_mtl.recipe.card_facts import collect_facts
from hf_mtl.recipe.factory import Run
from hf_mtl.recipe.loading import RECIPE_FILE, save_recipe
from hf_mtl.training import MultiTaskTrainer
from hf_mtl.training.cards import draw_cards, environment
from hf_mtl.training.checkpoints import last_checkpoint

__all__ = ["LOSSES_FILE", "save_log", "save_run"]

LOSSES_FILE: Final = "loss_curve.png"


def save_run(run: Run, trainer: MultiTaskTrainer, report: Report) -> None:
    """Write what a run leaves in its folder; what cannot be written does not keep the rest from being written.

    Raises:
        WriteError: If a file cannot be written; it says what is whole.
    """
    folder = Path(run.recipe.output_dir)
    with noting(_without_adapters(folder)):
        trainer.save_model(str(folder), _internal_call=True)  # it is pushed once, with the cards
    writes = SeveralWrites()
    with writes.one(folder / RECIPE_FILE):
        save_recipe(run.recipe, folder / RECIPE_FILE)
    with writes.one(folder / REPORT_FILE):
        report.save(folder / REPORT_FILE)
    _save_records(run, trainer, report, writes)
    described = not writes.errors  # cards are made of these files
    with writes.one(folder / LOSSES_FILE):
        if can_draw():
            plot_losses(trainer.state.log_history, run.suite.names, folder / LOSSES_FILE)
        else:
            remove_file(folder / LOSSES_FILE)  # of an earlier run
    if described:
        with writes.one():
            draw_cards(collect_facts(folder), folder, whole=False)  # the picture of all tasks is there
    writes.check(_without_the_rest(folder, described=described))


def save_log(folder: Path, trainer: MultiTaskTrainer) -> None:
    """Write the log of a run and what went wrong in it.

    Raises:
        WriteError: If one of them cannot be written; the other is.
    """
    writes = SeveralWrites()
    with writes.one(folder / LOG.name):
        # Entry by entry: of many tasks and rounds the log alone fills the memory.
        log = thin_log(trainer.state.log_history)
        LOG.write(folder, (numbers for entry in log for numbers in numbers_of([entry])))
    with writes.one(folder / INCIDENTS.name):
        INCIDENTS.write(folder, trainer.containment.incidents)
    writes.check()


def _save_records(run: Run, trainer: MultiTaskTrainer, report: Report, writes: SeveralWrites) -> None:
    folder = Path(run.recipe.output_dir)
    with writes.one():
        save_log(folder, trainer)
    with writes.one(folder / MIXTURE.name):
        MIXTURE.write(folder, trainer.plan.log.summary()["tasks"])
    if run.args.gradient_cosines and trainer.owners.users:
        with writes.one(folder / COSINES_FILE):
            trainer.cosines.relations().save(folder / COSINES_FILE)
    if trainer.relations is not None:
        with writes.one(folder / RELATIONS_FILE):
            trainer.relations.save(folder / RELATIONS_FILE)
    with writes.one(folder / DATA.name):
        DATA.write(folder, _data(run, trainer, {own.task: own.skipped for own in report.results}))


def _data(
    run: Run, trainer: MultiTaskTrainer, skipped: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> RunData:
    """What the cards say of the rows, which are not known later."""
    splits, tasks = trainer.splits(), run.recipe.tasks
    return RunData(
        {
            name: data_of(
                trainer.suite[name],
                splits[name],
                run.tests.get(name),
                shown=may_show_rows(tasks[name]),
                skipped=skipped[name],
            )
            for name in tasks
        },
        environment(str(trainer.args.device)),
    )


def _without_adapters(folder: Path) -> str:
    again = _again(folder)
    return again or f"There is no checkpoint in {folder} to make the adapters from without training again."


def _without_the_rest(folder: Path, *, described: bool) -> str:
    whole = f"The adapters of this run are whole in {folder}, and its results stand above."
    if described:
        return f"{whole} hf_mtl.recipe.make_cards({str(folder)!r}) makes the cards again."
    cards = "The cards were left out, for they show what is missing."
    return " ".join(part for part in (whole, cards, _again(folder)) if part)


def _again(folder: Path) -> str | None:
    try:
        last = last_checkpoint(folder)
    except CheckpointError:
        return None
    return (
        None if last is None else f"{last} is whole: `hf-mtl train RECIPE --resume last` goes on from there."
    )
