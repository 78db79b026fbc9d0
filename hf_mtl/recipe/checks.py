"""What a schema cannot see: that files exist and hold the template's fields, that names are known, that parts fit.

The libraries that know the valid names (datasets, peft, transformers) are imported when a recipe is checked, not with
this module.
"""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.metrics import METRICS
from hf_mtl.recipe.document import Document, KeyPath
from hf_mtl.recipe.schema import ASSET_PREFIX, Recipe, TaskSpec, TemplateSpec, merged_task

if TYPE_CHECKING:
    from datasets import Dataset

    from hf_mtl.data import Chat, PromptCompletion

__all__ = ["check", "first_rows", "template_of"]

_HUB_ID = re.compile(r"^(?:[\w.-]+/)?[\w.-]+$")


def check(recipe: Recipe, document: Document) -> list[str]:
    """Return everything that is wrong with a recipe of the right form.

    Args:
        recipe: The recipe, its defaults not merged yet.
        document: Where it was read from; its folder is what paths are relative to.
    """
    problems = [*_model_problems(recipe, document), *_training_problems(recipe, document)]
    if not recipe.output_dir and document.value(("output_dir",)) is None:
        problems.append(
            document.problem((), "output_dir is missing: the folder to write to, such as runs/my-tasks.")
        )
    if not document.value(("tasks",)):
        problems.append(
            document.problem((), "tasks is missing: name at least one task, with train and template.")
        )
    for name, task in recipe.tasks.items():
        problems += _Task(name, task, recipe.defaults, document).problems()
    return problems


def template_of(template: TemplateSpec) -> PromptCompletion | Chat:
    """Return the template that a recipe describes.

    Raises:
        ConfigError: It is neither prompt and completion nor a column of messages, or a text is no format string.
    """
    from hf_mtl.data import Chat, PromptCompletion

    if template.messages is not None and template.prompt is None and template.completion is None:
        return Chat(template.messages)
    if template.messages is None and template.prompt is not None and template.completion is not None:
        return PromptCompletion(template.prompt, template.completion)
    raise ConfigError(
        "expected either prompt and completion, or messages (the column of a chat), "
        f"found {listing(name for name, value in template if value is not None) or 'nothing'}."
    )


def first_rows(path: str | Path, most: int | None) -> Dataset:
    """Return the first `most` rows of a file, or all of them."""
    from hf_mtl.data import read_rows

    rows = read_rows(path)
    return rows if most is None else rows.select(range(min(most, len(rows))))


def _model_problems(recipe: Recipe, document: Document) -> list[str]:
    model, problems = recipe.model, []
    folder = document.path.parent
    written = document.value(("model", "id"))
    if not written:
        text = "id is missing: the base model's Hub id, such as HuggingFaceTB/SmolLM2-135M-Instruct."
        problems.append(document.problem(("model",), text))
    elif model.id and not _HUB_ID.match(model.id):
        text = f"expected a Hub id (owner/name), found {model.id!r}. A folder goes into model.source."
        problems.append(document.problem(("model", "id"), text))
    if model.source is not None and (text := _source_problem(model.source, model.id, folder)):
        problems.append(document.problem(("model", "source"), text))
    return problems


def _source_problem(source: str, hub_id: str, folder: Path) -> str:
    from hf_mtl.data.assets import ASSETS

    name = source.removeprefix(ASSET_PREFIX)
    if name == source:
        return "" if (folder / source).is_dir() else f"there is no folder {str(folder / source)!r}."
    if name not in ASSETS:
        return f"unknown asset {name!r}.{did_you_mean(name, ASSETS)} Valid: {listing(ASSETS)}."
    if hub_id and ASSETS[name].hub_id != hub_id:
        return f"{name!r} is a copy of {ASSETS[name].hub_id!r}, but model.id is {hub_id!r}."
    return ""


def _training_problems(recipe: Recipe, document: Document) -> list[str]:
    from hf_mtl.recipe.arguments import argument_problems

    problems: list[str] = []
    argument_problems(
        recipe.training,
        lambda name, text: problems.append(document.problem(("training", *([name] if name else [])), text)),
    )
    return problems


class _Task:
    """The checks of one task; a field that came from the defaults is reported where it stands there."""

    def __init__(self, name: str, own: TaskSpec, defaults: TaskSpec, document: Document) -> None:
        self.name = name
        self.own = own
        self.merged = merged_task(own, defaults)
        self.document = document
        self.found: list[str] = []

    def problems(self) -> list[str]:
        if not self.name.strip() or not self.name.isprintable():
            self._report("a task's name must be printable text that is not blank.")
        rows = self._rows()
        self._check_template(rows)
        self._check_metrics()
        self._check_labels(rows)
        self._check_schedule()
        self._check_optimizer()
        self._check_adapter()
        return self.found

    def _report(self, text: str, *path: str) -> None:
        place: KeyPath = ("tasks", self.name, *path)
        if (
            path
            and self.document.value(place) is None
            and self.document.value(("defaults", *path)) is not None
        ):
            place = ("defaults", *path)
        problem = self.document.problem(place, text)
        if problem not in self.found:
            self.found.append(problem)

    def _is_written(self, field: str) -> bool:
        """Whether the recipe gives the field, be it with a value that the schema refused."""
        places: tuple[KeyPath, ...] = (("tasks", self.name, field), ("defaults", field))
        return any(self.document.value(place) is not None for place in places)

    def _rows(self) -> dict[str, Dataset]:
        """Return the rows of the splits whose files can be read."""
        if not self._is_written("train") and not self._is_written("eval"):
            self._report(
                "train and eval are missing: give the file of the rows to learn from, or to measure on."
            )
        task = self.merged
        written = {"train": (task.train, task.max_train_rows), "eval": (task.eval, task.max_eval_rows)}
        rows = {}
        for split, (path, most) in written.items():
            if path is None:
                continue
            try:
                rows[split] = first_rows(self.document.path.parent / path, most)
            except DataError as error:
                self._report(str(error), split)
        return rows

    def _check_template(self, rows: dict[str, Dataset]) -> None:
        if self.merged.template is None:
            if not self._is_written("template"):
                form = '{prompt: "... {column} ...", completion: " {column}"}, or {messages: column}'
                self._report(f"template is missing: {form}.")
            return
        try:
            fields = template_of(self.merged.template).fields
        except ConfigError as error:
            self._report(str(error), "template")
            return
        for split, table in rows.items():
            for field in fields:
                if field not in table.column_names:
                    hint = did_you_mean(field, table.column_names)
                    columns = listing(table.column_names)
                    self._report(
                        f"no column {field!r} in the rows of {split}.{hint} Columns: {columns}.", "template"
                    )

    def _check_metrics(self) -> None:
        for name in self.merged.metrics:
            if name not in METRICS:
                hint = did_you_mean(name, METRICS)
                self._report(f"unknown metric {name!r}.{hint} Valid: {listing(METRICS)}.", "metrics")
        if "accuracy" in self.merged.metrics and not self._is_written("labels"):
            self._report(
                "the metric 'accuracy' ranks the task's labels, and labels are missing: add labels: [...].",
                "metrics",
            )

    def _check_labels(self, rows: dict[str, Dataset]) -> None:
        labels, template = self.merged.labels, self.merged.template
        if labels is None:
            return
        if len(set(labels)) < max(2, len(labels)):
            self._report(f"expected two or more different labels, found {list(labels)}.", "labels")
        fields = (
            _fields(template.completion) if template is not None and template.completion is not None else []
        )
        if len(fields) != 1:
            text = "labels are the values of the completion's one field"
            self._report(f"{text}, found {listing(fields) or 'none'}.", "labels")
            return
        for split, table in rows.items():
            values = set(table[fields[0]]) if fields[0] in table.column_names else ()
            if unknown := sorted({str(value) for value in values} - set(labels)):
                text = f"rows of {split} have other values in {fields[0]!r}"
                self._report(f"{text}: {listing(unknown[:10])}. Labels: {listing(labels)}.", "labels")

    def _check_schedule(self) -> None:
        from transformers import SchedulerType

        name, names = self.merged.lr_scheduler_type, [kind.value for kind in SchedulerType]
        if name is not None and name not in names:
            text = f"unknown schedule {name!r}.{did_you_mean(name, names)} Valid: {listing(names)}."
            self._report(text, "lr_scheduler_type")

    def _check_optimizer(self) -> None:
        from hf_mtl.training.arguments import ELEMENTWISE_OPTIMIZERS as NAMES

        name = self.merged.optim
        if name is not None and name not in NAMES:
            text = f"unknown or unsupported optimizer {name!r}.{did_you_mean(name, NAMES)} Valid: {listing(NAMES)}."
            self._report(text, "optim")

    def _check_adapter(self) -> None:
        from hf_mtl.recipe.peft_configs import adapter_problems

        def report(name: str, text: str) -> None:
            self._report(text, "adapter", *([name] if name else []))

        adapter_problems(self.merged.adapter, report)


def _fields(pattern: str) -> list[str]:
    try:
        return [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
    except ValueError:
        return []
