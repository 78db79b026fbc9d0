"""A finished run, opened again: to measure its adapters, or to let one of them answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from rich.console import Console
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import Chat, PromptCompletion
from hf_mtl.errors import CheckpointError, ConfigError, DataError, did_you_mean, listing
from hf_mtl.evaluation import Report, build_report, report_table, transfer
from hf_mtl.evaluation.page import TRANSFER
from hf_mtl.export import Manifest, load_suite
from hf_mtl.models import RoutedModel, generate, load_processor, load_tokenizer
from hf_mtl.recipe.declared import kind_of_spec, template_of
from hf_mtl.recipe.factory import build
from hf_mtl.recipe.loading import load_recipe, read_resolved
from hf_mtl.recipe.run import RECIPE_FILE, measure, model_info
from hf_mtl.tasks import Context, Declared, prompt_text
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
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self._source)

    @cached_property
    def model(self) -> RoutedModel:
        """The base with the adapters of all tasks, on the GPU if there is one."""
        spec = self.recipe.model
        model = load_suite(self.folder, base=self._source, dtype=spec.dtype, quantization=spec.quantization)
        return model.to("cuda") if torch.cuda.is_available() else model

    def evaluate(self, console: Console, *, transfers: bool = False) -> Report:
        """Measure all tasks on their `eval` rows; writes `evaluation.json` into the folder and shows the table.

        Args:
            console: Where the table is shown.
            transfers: Whether to measure each adapter on the other tasks' rows too, which writes `transfer.json`.

        Raises:
            ConfigError: The run's data files are gone, or it has none to measure on.
        """
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
        report.save(self.folder / EVALUATION_FILE)
        if transfers:
            with console.status("Evaluating each adapter on the other tasks' rows ..."):
                processor = load_processor(self._source)
                found = transfer(self.model, processor, run.suite, token_budget=run.args.token_budget)
            TRANSFER.write(self.folder, found)
        console.print(report_table(report))
        return report

    def prompts(self, task: str, rows: Sequence[Mapping[str, object]]) -> list[str]:
        """Return what the task's template makes of rows, up to the answer.

        Args:
            task: The task's name.
            rows: With the fields that the template's prompt names; those of the answer are not needed.

        Raises:
            DataError: A row lacks a field; it is named.
            ConfigError: The task has a head of its own and takes no prompts.
        """
        context = Context(Declared(template=self._template(task)), self._tokenizer)
        prompts = []
        for number, row in enumerate(rows, start=1):
            try:
                prompts.append(prompt_text(row, context))
            except DataError as error:
                raise DataError(f"task {task!r}, input row {number}: {error}") from error
        return prompts

    def predict(self, task: str, prompts: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """Return the answers of the task's adapter, decoded greedily, in the order of the prompts.

        Raises:
            ConfigError: The task has a head of its own and takes no prompts.
        """
        self._template(task)
        return generate(
            self.model, self._tokenizer, self._known(task), prompts, max_new_tokens=max_new_tokens
        )

    def _template(self, task: str) -> PromptCompletion | Chat:
        spec = self.recipe.tasks[self._known(task)]
        if spec.template is None:
            raise ConfigError(
                f"task {task!r} is of the kind {kind_of_spec(spec).name!r}, whose head takes no prompts; these are for "
                f"language models. Load {str(self.folder / self.manifest.tasks[task])!r} with plain peft, or measure "
                f"it with `hf-mtl evaluate`."
            )
        return template_of(spec.template)

    def _known(self, task: str) -> str:
        tasks = self.manifest.tasks
        if task not in tasks:
            raise ConfigError(
                f"{self.folder} has no task {task!r}.{did_you_mean(task, tasks)} Tasks: {listing(tasks)}."
            )
        return task
