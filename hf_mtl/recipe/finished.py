"""A finished run, opened again: to measure its adapters, or to let them answer."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console

from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.evaluation import Report, build_report, report_table, transfer
from hf_mtl.evaluation.page import TRANSFER
from hf_mtl.export import Manifest, load_suite
from hf_mtl.files import check_target, noting
from hf_mtl.inference import MultiTaskPipeline
from hf_mtl.models import RoutedModel, load_processor
from hf_mtl.models.saved import MANIFEST_FILE
from hf_mtl.recipe.factory import build
from hf_mtl.recipe.loading import RECIPE_FILE, load_recipe, read_resolved
from hf_mtl.recipe.run import measure, model_info
from hf_mtl.training import MultiTaskTrainer, ProgressDisplay

__all__ = ["EVALUATION_FILE", "FinishedRun", "run_folder"]

EVALUATION_FILE = "evaluation.json"


def run_folder(run_or_recipe: Path) -> Path:
    """Return the folder of a run, given that folder or the recipe that was run."""
    if run_or_recipe.is_dir():
        return run_or_recipe
    return Path(read_resolved(run_or_recipe).output_dir)


class FinishedRun:
    """What `run_recipe` left in a folder.

    Args:
        folder: The recipe's `output_dir`.

    Raises:
        CheckpointError: The folder holds no finished run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = Manifest.load(folder)
        if not (folder / RECIPE_FILE).is_file():
            raise CheckpointError(
                f"{folder} holds no {RECIPE_FILE}; expected a folder that `hf-mtl train` wrote."
            )
        self.recipe = read_resolved(folder / RECIPE_FILE)
        self._source = self.recipe.model.source or self.recipe.model.id

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest and of all the weights that it names: the same where the answers are the same."""
        digest = hashlib.sha256()
        folders = sorted(set(self.manifest.tasks.values()))
        weights = [file for place in folders for file in sorted((self.folder / place).glob("*.safetensors"))]
        for file in (self.folder / MANIFEST_FILE, *weights):
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        return digest.hexdigest()

    @cached_property
    def pipeline(self) -> MultiTaskPipeline:
        """All tasks' adapters, ready to answer."""
        return MultiTaskPipeline(self.model, load_processor(self._source), self.manifest.forms)

    @cached_property
    def model(self) -> RoutedModel:
        """The base with the adapters of all tasks, on the GPU if there is one."""
        spec = self.recipe.model
        model = load_suite(
            self.folder,
            base=self._source,
            dtype=spec.dtype,
            quantization=spec.quantization,
            allow_pickle=spec.allow_pickle,
        )
        return model.to("cuda") if torch.cuda.is_available() else model

    def evaluate(self, console: Console, *, transfers: bool = False) -> Report:
        """Measure all tasks on their `eval` rows; shows the table and writes `evaluation.json` into the folder.

        Args:
            console: Where the table is shown.
            transfers: Whether to measure each adapter on the other tasks' rows too, which writes `transfer.json`.

        Raises:
            ConfigError: The run's data files are gone, or it has none to measure on.
        WriteError: A file cannot be written; the table has been shown.
        """
        check_target(self.folder / EVALUATION_FILE, named_by="evaluate")
        run = build(load_recipe(self.folder / RECIPE_FILE))
        trainer = MultiTaskTrainer(
            self.model,
            run.args,
            run.suite,
            processing_class=load_processor(self._source),
            callbacks=[ProgressDisplay(run.suite.names, console)],
        )
        figures = measure(trainer, console, self.folder.name)
        if not figures:
            raise ConfigError(
                f"no task of {self.folder} has eval rows; give them in {self.folder / RECIPE_FILE}."
            )
        report = build_report(run.suite, {}, figures, [], {}, model_info(trainer))
        console.print(report_table(report))
        with noting("The adapters of the run, and the figures above, are as they were."):
            report.save(self.folder / EVALUATION_FILE)
        if transfers:
            with console.status("Evaluating each adapter on the other tasks' rows ..."):
                processor = load_processor(self._source)
                found = transfer(self.model, processor, run.suite, token_budget=run.args.token_budget)
            with noting(f"{self.folder / EVALUATION_FILE} is written."):
                TRANSFER.write(self.folder, found)
        return report
