"""What a task declares, settled against its kind and the features of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hf_mtl.data import Chat, PromptCompletion, RowTable, RowTemplate, pattern_fields
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.metrics import Metric, MetricLike, resolve
from hf_mtl.metrics import problems as metric_problems
from hf_mtl.setting_bounds import LABELS
from hf_mtl.tasks.formats import Rows, found_labels
from hf_mtl.tasks.kinds import Declared, Kind

__all__ = ["declare", "measures"]


def declare(
    kind: Kind,
    splits: Sequence[Rows],
    *,
    columns: Mapping[str, str],
    template: RowTemplate | None,
    labels: Sequence[str] | int | None,
    max_length: int | None,
    learned: Rows | None = None,
) -> tuple[Declared, list[str]]:
    """Settle a declaration: labels that are not given come from the rows' features, else from the rows to learn from.

    Args:
        kind: The task's kind.
        splits: Its rows.
        columns: By role, the column or the format string.
        template: How a row becomes text.
        labels: Names, or their number.
        max_length: Most tokens.
        learned: The rows whose labels are the task's; default: the first split.

    Returns:
        The declaration, and what is wrong with it.
    """
    missing = (package.problem(f"the kind {kind.name!r}") for package in kind.packages)
    problems = [problem for problem in missing if problem] or _unreadable(splits)
    problems += _column_problems(kind, splits, columns)
    if kind.roles and template is not None:
        problems.append(
            f"template is for kinds that the vocabulary head serves; a task of the kind {kind.name!r} names its parts "
            f"with columns={{...}}: {listing(kind.roles)}."
        )
    template = template or PromptCompletion("{prompt}", "{completion}")
    if not kind.roles:
        problems += _template_problems(template, splits)
    if labels is None:
        rows = learned if learned is not None or not splits else splits[0]
        labels = _feature_labels(kind, splits, columns, problems) or _labels_in(kind, rows, columns, problems)
    many = labels if isinstance(labels, int) else 0 if labels is None else len(labels)
    if many > LABELS.most:
        problems.append(f"labels: expected at most {LABELS.most:,} labels, found {many:,}.")
        labels = None
    numbers = isinstance(labels, int)
    names = tuple(map(str, range(labels))) if isinstance(labels, int) else labels
    return Declared(
        dict(columns), None if names is None else tuple(names), numbers, template, max_length
    ), problems


def _labels_in(
    kind: Kind, rows: Rows | None, columns: Mapping[str, str], problems: list[str]
) -> tuple[str, ...] | int | None:
    """The labels that the rows hold, for a kind that has labels."""
    role = kind.label_role
    if role is None:
        return None
    try:
        return found_labels(rows, columns.get(role, kind.roles[role].column), multi_label=kind.multi_label)
    except ConfigError as error:
        problems += error.problems
    return None


def measures(
    kind: Kind, declared: Declared, given: Sequence[MetricLike], *, quick: bool = False
) -> tuple[tuple[Metric, ...], list[str]]:
    """The metrics that were asked for, and what is wrong with them.

    Args:
        kind: The task's kind.
        declared: What the task declares.
        given: The metrics.
        quick: As in `hf_mtl.metrics.problems`.
    """
    metrics: list[Metric] = []
    problems: list[str] = []
    labels = None if declared.labels is None else len(declared.labels)
    for each in given:
        wrong = metric_problems(
            each, forms=kind.forms, labels=labels, multi_label=kind.multi_label, quick=quick
        )
        problems += wrong
        if not wrong:
            metric = resolve(each)
            form = metric.form or kind.forms[0]
            metrics.append(replace(metric, form=form))
            if form == "labels" and labels is None:
                problems.append(
                    f"the metric {metric.name!r} compares labels, and the task has none: give labels=[...], for a "
                    f"language model the values of the completion's one field, which are then ranked by likelihood."
                )
    return tuple(metrics), problems + same_keys(metrics)


def same_keys(metrics: Sequence[Metric]) -> list[str]:
    """Metrics whose figures would take each other's place."""
    mains: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.main or metric.keys:
            mains.setdefault(metric.main or metric.keys[0], []).append(metric.name)
    return [
        f"the metrics {' and '.join(map(repr, names))} all give the figure {key!r}; leave all but one out, or give the "
        f"others as callables that return keys of their own."
        for key, names in mains.items()
        if len(names) > 1
    ]


def _unreadable(splits: Sequence[Rows]) -> list[str]:
    """Stored rows with a column that takes a missing package to read, be it one that the task has no use for."""
    stored = [rows for rows in splits if not isinstance(rows, RowTable)]
    if not stored:
        return []
    from datasets import Dataset

    problems = []
    for rows in stored:
        # A transform of the user's own is run when it is due, and not to try it.
        if isinstance(rows, Dataset) and len(rows) and rows.format["type"] is None:
            try:
                rows[0]
            except ImportError as error:
                problems.append(f"the rows cannot be read: {error} Or leave the column out (remove_columns).")
    return list(dict.fromkeys(problems))


def _column_problems(kind: Kind, splits: Sequence[Rows], columns: Mapping[str, str]) -> list[str]:
    problems = [
        f"columns: a task of the kind {kind.name!r} has no part {role!r}; its parts are "
        f"{listing(kind.roles) or 'named by its template'}.{did_you_mean(role, kind.roles)}"
        for role in columns
        if role not in kind.roles
    ]
    for role, own in kind.roles.items():
        if not own.required and role not in columns:
            continue
        column = columns.get(role, own.column)
        try:
            names = pattern_fields(column) if own.template and "{" in column else (column,)
        except ConfigError as error:
            problems += error.problems
            continue
        problems += [
            f"{error} Name another with columns={{{role!r}: ...}}."
            for error in _missing(names, splits, f"the {role}")
        ]
    return problems


def _template_problems(template: RowTemplate, splits: Sequence[Rows]) -> list[str]:
    if not isinstance(template, PromptCompletion | Chat):
        return []
    return _missing(template.fields, splits, "the template")


def _missing(names: Sequence[str], splits: Sequence[Rows], whose: str) -> list[str]:
    """One message for each column that stored rows lack; streams may not know theirs."""
    found = {}
    for rows in splits:
        known = rows.column_names
        for name in names if known else ():
            if name not in known:
                hint = did_you_mean(name, known)
                found[name] = (
                    f"there is no column {name!r} for {whose}; the rows have {listing(known)}.{hint}"
                )
    return list(found.values())


def _feature_labels(
    kind: Kind, splits: Sequence[Rows], columns: Mapping[str, str], problems: list[str]
) -> tuple[str, ...] | None:
    """The names that the rows' own features say; None if they say none."""
    role = kind.label_role
    if role is None:
        return None
    declared = [rows.features for rows in splits if not isinstance(rows, RowTable) and rows.features]
    if not declared:
        return None
    from datasets import ClassLabel, LargeList, List

    column = columns.get(role, kind.roles[role].column)
    found = []
    for features in declared:
        feature = features.get(column)
        if isinstance(feature, List | LargeList):
            feature = feature.feature
        if isinstance(feature, ClassLabel):
            found.append(tuple(feature.names))
    if len(set(found)) > 1:
        problems.append(
            f"train and eval rows have different labels: {list(found[0])!r} and {list(found[1])!r}. Give both the same "
            f"ClassLabel feature, or declare labels=[...]."
        )
    return found[0] if found else None
