"""One recipe in several ways, over seeds. A run is kept by what it was made of, so a comparison can go on.

The tasks alone are trained in one run too, with private adapters: isolation makes that the same as one run for each.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hf_mtl import __version__
from hf_mtl.errors import ConfigError
from hf_mtl.evaluation import ALONE, COMPARISON_FILE, Comparison, Report, Variant, comparison_table
from hf_mtl.evaluation.page import REPORT_FILE, SINGLE
from hf_mtl.files import SeveralWrites, make_folder, noting
from hf_mtl.recipe.loading import load_recipe
from hf_mtl.recipe.run import say_what_is_left_out, train_recipe
from hf_mtl.recipe.schema import Recipe
from hf_mtl.recipe.variants import overrides_of, variants_of
from hf_mtl.terminal import Terminal, plain, say
from hf_mtl.training.checkpoints import last_checkpoint

__all__ = ["Compared", "compare_recipe"]

_VERSIONS = ("torch", "transformers", "peft")


@dataclass(frozen=True)
class Compared:
    """A run of one variant with one seed.

    Args:
        variant: The variant's name.
        settings: What it changes in the recipe.
        seed: The seed.
        recipe: The recipe that comes of it.
    """

    variant: str
    settings: Mapping[str, object]
    seed: int
    recipe: Recipe

    @property
    def folder(self) -> Path:
        """Where the run is, or is to be."""
        return Path(self.recipe.output_dir)


def compare_recipe(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    output_dir: str | None = None,
    smoke: bool = False,
    console: Console | None = None,
) -> Comparison:
    """Train a recipe's variants over seeds, those runs that are not there yet, and compare them.

    The folder then holds `comparison.json` and, under `runs`, each run as `hf-mtl train` leaves it.

    Args:
        path: The recipe, with `variants`: by name, what each changes (dotted keys and their values). Always there are
            `alone` (private adapters) and, if the recipe itself shares, `joint` (as it stands).
        overrides: As in `load_recipe`, for all variants.
        seeds: The seeds; one that is named twice counts once.
        output_dir: Where everything goes; default the recipe's, with `-compare` behind it.
        smoke: As in `load_recipe`.
        console: Where progress and result are shown.

    Raises:
        ConfigError: The recipe or a variant is wrong; all of them are read before the first is trained.
        WriteError: A file cannot be written; it says which runs are whole.
    """
    console = console or Terminal()
    seeds = tuple(dict.fromkeys(seeds))
    base = load_recipe(path, overrides, smoke=smoke)
    folder = Path(output_dir or f"{base.output_dir}-compare")
    runs = list(_runs(path, base, overrides, seeds, folder, smoke=smoke))
    reports: dict[tuple[str, int], Report] = {}
    say_what_is_left_out(console)
    make_folder(folder)
    for number, run in enumerate(runs, start=1):
        console.rule(plain(f"{run.variant}, seed {run.seed} ({number} of {len(runs)})"))
        with noting(
            f"{number - 1} of {len(runs)} runs are whole in {folder / 'runs'}; the same command goes on."
        ):
            reports[run.variant, run.seed] = _report(run, console)
    comparison = _comparison(path.parent.name or path.stem, runs, reports, seeds)
    console.print(comparison_table(comparison))
    writes = SeveralWrites()
    with writes.one(folder / COMPARISON_FILE):
        comparison.save(folder / COMPARISON_FILE)
    for run in runs:  # so that the page of each run shows it against the tasks alone
        with writes.one():
            SINGLE.write(run.folder, _figures(reports[ALONE, run.seed]))
    writes.check(
        f"All runs are whole in {folder / 'runs'}: the same command writes the rest without training again."
    )
    say(console, f"comparison: {folder / COMPARISON_FILE}")
    return comparison


def _runs(
    path: Path, base: Recipe, overrides: Sequence[str], seeds: Sequence[int], folder: Path, *, smoke: bool
) -> Iterable[Compared]:
    if not seeds:
        raise ConfigError("a comparison needs at least one seed.")
    for name, settings in variants_of(base).items():
        own = [*overrides, *overrides_of(settings)]
        for seed in seeds:
            recipe = load_recipe(path, [*own, f"training.seed={seed}"], smoke=smoke)
            place = folder / "runs" / f"{content_key(recipe)[:16]}"
            yield Compared(
                name, settings, seed, recipe.model_copy(update={"output_dir": str(place), "variants": {}})
            )


def content_key(recipe: Recipe) -> str:
    """What a run is made of, as a hash: its recipe, the files that this names, and the versions of what computes it."""
    content = recipe.model_dump(mode="json", exclude={"output_dir", "variants"})
    for task in (content["defaults"], *content["tasks"].values()):
        del task["card"]  # what a card says changes nothing of a run
    versions = {"hf_mtl": __version__} | {name: importlib.metadata.version(name) for name in _VERSIONS}
    files = {str(file): _digest(file) for file in sorted(_files(recipe))}
    text = json.dumps([content, versions, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _files(recipe: Recipe) -> set[Path]:
    """The files and folders of this machine that a recipe names: rows, weights, relations."""
    every = (rows for task in recipe.tasks.values() for rows in (task.train, task.eval, task.test))
    named = {rows.source for rows in every if rows is not None} | {recipe.model.source, recipe.model.adapters}
    for spec in (recipe.sharing, recipe.objective):
        relations = spec.get("relations") if isinstance(spec, dict) else None
        named |= {relations} if isinstance(relations, str) else set()
    found = [Path(name) for name in named if name]
    return {
        file for path in found for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    }


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _report(run: Compared, console: Console) -> Report:
    """The report of a run, which is trained, or trained on from its last checkpoint, if it is not there."""
    file = run.folder / REPORT_FILE
    if file.is_file():
        return Report.load(file)
    resume = "last" if last_checkpoint(run.folder) else None
    return train_recipe(run.recipe, console, resume=resume, measure_before=False)


def _figures(report: Report) -> dict[str, dict[str, float]]:
    """By task and metric, the figures after training; the loss only where there is nothing else."""
    figures = {}
    for result in report.results:
        own = {score.metric: score.after for score in result.scores if score.after is not None}
        figures[result.task] = {key: value for key, value in own.items() if key != "loss"} or own
    return figures


def _comparison(
    name: str, runs: Sequence[Compared], reports: Mapping[tuple[str, int], Report], seeds: tuple[int, ...]
) -> Comparison:
    variants = []
    for variant, settings in {run.variant: run.settings for run in runs}.items():
        own = [reports[variant, seed] for seed in seeds]
        figures = [_figures(report) for report in own]
        scores = {
            task: {metric: tuple(each[task][metric] for each in figures) for metric in metrics}
            for task, metrics in figures[0].items()
        }
        parameters = own[0].model["trainable_parameters"]
        seconds = tuple(sum(result.seconds or 0.0 for result in report.results) for report in own)
        variants.append(Variant(variant, settings, int(parameters or 0), seconds, scores))
    first = reports[ALONE, seeds[0]]
    greater = {
        result.task: {
            score.metric: score.greater_is_better
            for score in result.scores
            if score.metric in variants[0].scores[result.task]
        }
        for result in first.results
    }
    return Comparison(name, seeds, tuple(variants), greater)
