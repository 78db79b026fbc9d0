"""What a schema cannot see of a task: that its rows are there and have the columns, that kind, labels and metrics fit.

The libraries that know the valid names (datasets, peft, transformers) are imported when a recipe is checked, not with
this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError, DataError, listing
from hf_mtl.printable import is_name
from hf_mtl.recipe.document import Document, KeyPath
from hf_mtl.recipe.plain_settings import is_plain_lora
from hf_mtl.recipe.schema import Recipe, TaskSpec, merged_task
from hf_mtl.setting_names import name_problems

if TYPE_CHECKING:
    from hf_mtl.tasks import Declared, Kind
    from hf_mtl.tasks.formats import Rows

__all__ = ["TaskChecks"]


class TaskChecks:
    """The checks of one task; a field that came from the defaults is reported where it stands there."""

    def __init__(
        self, name: str, own: TaskSpec, recipe: Recipe, document: Document, *, encoder_decoder: bool
    ) -> None:
        self.name = name
        self.own = own
        self.merged = merged_task(own, recipe.defaults)
        self.training = recipe.training
        self.document = document
        self.encoder_decoder = encoder_decoder
        self.found: list[str] = []
        self.recognised = True

    def problems(self) -> list[str]:
        """Everything that is wrong, with its place."""
        if not is_name(self.name):
            self._report("a task's name must be printable text that is not blank.")
        self._recognise()
        self._check_kind(self._rows())
        self._check_names()
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

    def _recognise(self) -> None:
        """Fill in what the task leaves open, where the rows that say it are at hand."""
        from hf_mtl.recipe.recognised import is_open, recognised
        from hf_mtl.recipe.rows import is_to_be_fetched, rows_with_path, source_rows

        task, folder = self.merged, self.document.path.parent
        spec = task.train or task.eval
        if spec is None or not spec.source:
            return
        own = rows_with_path(spec, lambda path: str(folder / path))
        if is_to_be_fetched(own):
            return
        try:
            if is_open(task):
                rows = source_rows(own)
                self.merged = recognised(self.name, task, rows, encoder_decoder=self.encoder_decoder)
        except DataError:
            return  # `_rows` reads them again, and says what is wrong with them
        except ConfigError as error:
            for problem in error.problems:
                self._report(problem, *(["kind"] if self._is_written("kind") else []))
            self.recognised = False

    def _rows(self) -> dict[str, Rows]:
        """Return the rows of the splits that can be read without fetching anything."""
        from hf_mtl.recipe.rows import is_to_be_fetched, rows_to_look_at, rows_with_path, split_problems

        if not self._is_written("train") and not self._is_written("eval"):
            self._report("train and eval are missing: give the rows to learn from, or to measure on.")
        task, folder = self.merged, self.document.path.parent
        for key, text in split_problems(task, self.own):
            self._report(text, key)
        written = {
            "train": (task.train, task.max_train_rows),
            "eval": (task.eval, task.max_eval_rows),
            "test": (task.test, task.max_eval_rows),
        }
        rows = {}
        for split, (spec, most) in written.items():
            if spec is None:
                continue
            if not spec.source:
                self._report("source is missing: a file, a folder, a Hub id or asset:NAME.", split)
                continue
            own = rows_with_path(spec, lambda path: str(folder / path))
            if is_to_be_fetched(own):
                continue
            try:
                rows[split] = rows_to_look_at(own, most, task)
            except (DataError, ConfigError) as error:
                self._report(str(error), split)
        return rows

    def _check_kind(self, rows: dict[str, Rows]) -> None:
        from hf_mtl.recipe.declared import kind_of_spec

        if not self.recognised:
            return
        try:
            kind = kind_of_spec(self.merged)
        except ConfigError as error:
            return self._report(str(error), "kind")
        if not kind.roles and self.merged.template is None:
            if rows and not self._is_written("template"):
                form = '{prompt: "... {column} ...", completion: " {column}"}, or {messages: column}'
                self._report(f"template is missing: {form}.")
            return
        self._check_declaration(kind, rows)

    def _check_declaration(self, kind: Kind, rows: dict[str, Rows]) -> None:
        from hf_mtl.recipe.declared import template_of
        from hf_mtl.tasks import declare

        task = self.merged
        try:
            template = None if task.template is None else template_of(task.template)
        except ConfigError as error:
            return self._report(str(error), "template")
        declared, problems = declare(
            kind,
            list(rows.values()),
            columns=task.columns,
            template=template,
            labels=task.labels,
            max_length=task.max_length,
        )
        # Labels may come with rows that are yet to be fetched.
        awaited = task.labels is None and kind.label_role is not None and len(rows) < self._splits()
        if not problems and not awaited:
            problems = [*kind.problems(declared)]
        problems += kind.option_problems()
        for problem in problems:
            self._report(problem, self._place(problem))
        self._check_metrics(kind, None if declared.labels is None else len(declared.labels), awaited=awaited)
        if not problems and declared.labels is not None and not kind.roles:
            self._check_completions(declared.labels, rows)
        if not problems and not awaited:
            self._check_best(kind, declared, rows.get("eval", rows.get("train")))

    def _splits(self) -> int:
        return sum(rows is not None for rows in (self.merged.train, self.merged.eval, self.merged.test))

    @staticmethod
    def _place(problem: str) -> str:
        """The key that a problem of a declaration is about."""
        if "for the template" in problem:
            return "template"
        if problem.startswith(("there is no column", "columns")):
            return "columns"
        return next((key for key in ("labels", "template") if problem.startswith(key)), "kind")

    def _check_metrics(self, kind: Kind, labels: int | None, *, awaited: bool) -> None:
        from hf_mtl.metrics import problems, resolve
        from hf_mtl.recipe.declared import metrics_of
        from hf_mtl.tasks.declaring import same_keys

        try:
            metrics = metrics_of(self.merged) or ()
        except ConfigError as error:
            return self._report(str(error), "metrics")
        measured = []
        for metric in metrics:
            wrong = problems(
                metric, forms=kind.forms, labels=labels, multi_label=kind.multi_label, quick=True
            )
            if not wrong and resolve(metric).form == "labels" and labels is None and not awaited:
                wrong = [
                    f"the metric {metric!r} ranks the task's labels, and labels are missing: add labels: [...]."
                ]
            measured += [] if wrong else [resolve(metric)]
            for problem in wrong:
                self._report(problem, "metrics")
        for problem in same_keys(measured):
            self._report(problem, "metrics")

    def _check_best(self, kind: Kind, declared: Declared, rows: Rows | None) -> None:
        """Whether evaluations give the figure that the best weights go by, and there are any to wait for."""
        from hf_mtl.metrics import resolve
        from hf_mtl.recipe.declared import metrics_of
        from hf_mtl.tasks.best_figure import Evaluations, best_problems, figure_problem

        task, usual = self.merged, self.training.get("metric_for_best_model")
        if (task.metric_for_best_model, task.early_stopping_patience, usual) == (None, None, None):
            return
        try:
            named = metrics_of(task)
            given = kind.usual_metrics(declared, rows) if named is None and rows is not None else named
            metrics = [resolve(metric) for metric in given or ()]
        except ConfigError:
            return  # reported as wrong metrics
        measured = task.train is not None and (task.eval is not None or task.eval_fraction is not None)
        during = Evaluations(str(self.training.get("eval_strategy", "no")), measured, more=given is None)
        for field, problem in best_problems(task, metrics, during).items():
            self._report(problem, field)
        measured = measured and during.strategy != "no"
        if task.metric_for_best_model is not None or not isinstance(usual, str) or not measured:
            return
        if (lacking := figure_problem(usual, metrics, more=during.more)) is not None:
            place = ("training", "metric_for_best_model")
            self.found.append(self.document.problem(place, f"task {self.name!r}: {lacking}"))

    def _check_completions(self, labels: tuple[str, ...], rows: dict[str, Rows]) -> None:
        """The completion's one field holds labels only, unless rows with others are skipped."""
        from hf_mtl.data import pattern_fields

        template = self.merged.template
        if template is None or template.completion is None or self.merged.on_bad_row == "skip":
            return
        field = pattern_fields(template.completion, template.engine)[0]
        for split, table in rows.items():
            if unknown := sorted(_values(table, field) - set(labels)):
                text = f"rows of {split} have other values in {field!r}"
                self._report(f"{text}: {listing(unknown[:10])}. Labels: {listing(labels)}.", "labels")

    def _check_names(self) -> None:
        for field, problem in name_problems(vars(self.merged)).items():
            self._report(problem, field)

    def _check_adapter(self) -> None:
        if is_plain_lora(self.merged.adapter):
            return
        from hf_mtl.recipe.peft_configs import adapter_problems

        def report(name: str, text: str) -> None:
            self._report(text, "adapter", *([name] if name else []))

        adapter_problems(self.merged.adapter, report)


def _values(rows: Rows, column: str) -> set[str]:
    """The different values of a column as texts; none of a stream, or of a column that is missing."""
    from hf_mtl.data import RowTable

    if isinstance(rows, RowTable):
        return set(map(str, rows.column(column))) if column in rows.column_names else set()
    from datasets import Dataset

    return set(map(str, rows[column])) if isinstance(rows, Dataset) and column in rows.column_names else set()
