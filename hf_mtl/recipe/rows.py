"""From a recipe's sources of rows to data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError
from hf_mtl.paths import exists, expanded
from hf_mtl.recipe.schema import ASSET_PREFIX, RowsSpec, TaskSpec
from hf_mtl.repo_ids import is_repo_id

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from hf_mtl.data import RowTable

__all__ = [
    "TaskRows",
    "is_at_hand",
    "is_to_be_fetched",
    "read_split",
    "rows_of",
    "rows_to_look_at",
    "rows_with_path",
    "source_rows",
    "split_problems",
]

_FRACTION_OF_STREAM = "eval_fraction cannot hold out a share of a stream; give eval its own rows."


@dataclass(frozen=True)
class TaskRows:
    """The rows of a task's splits.

    Args:
        train: To learn from.
        eval: To evaluate on.
        test: To measure on once.
    """

    train: Dataset | IterableDataset | None
    eval: Dataset | None
    test: Dataset | None


def rows_of(spec: TaskSpec) -> TaskRows:
    """Read the rows of a task.

    Raises:
        DataError: If a source cannot be read.
        ConfigError: If a selection does not go with it.
    """
    from hf_mtl.data import split_off

    train = None if spec.train is None else read_split(spec.train, spec.max_train_rows, spec)
    held_out = _stored(spec.eval, spec.max_eval_rows, spec, "eval")
    if spec.eval_fraction is not None and train is not None and held_out is None:
        assert spec.train is not None
        if spec.train.streaming:
            raise ConfigError(_FRACTION_OF_STREAM)
        train, held_out = split_off(train, spec.eval_fraction, seed=spec.train.seed)
    return TaskRows(train, held_out, _stored(spec.test, spec.max_eval_rows, spec, "test"))


def _stored(rows: RowsSpec | None, most: int | None, spec: TaskSpec, split: str) -> Dataset | None:
    from datasets import IterableDataset

    if rows is None:
        return None
    found = read_split(rows, most, spec)
    if isinstance(found, IterableDataset):
        raise ConfigError(_streamed(split))
    return found


def _streamed(split: str) -> str:
    return f"rows to measure on are read many times, so {split} cannot be streamed: leave streaming out."


def split_problems(spec: TaskSpec, own: TaskSpec) -> Iterator[tuple[str, str]]:
    """Splits that do not go together, each by its key, before any row is read.

    Args:
        spec: The task, with the defaults merged.
        own: What it says itself.
    """
    for split, rows in (("eval", spec.eval), ("test", spec.test)):
        if rows is not None and rows.streaming:
            yield split, _streamed(split)
    if own.eval_fraction is not None and own.eval is not None:
        text = "the task has eval rows already, so no share of train is held out; leave one of the two out."
        yield "eval_fraction", text
    elif (
        spec.eval_fraction is not None
        and spec.eval is None
        and spec.train is not None
        and spec.train.streaming
    ):
        yield "eval_fraction", _FRACTION_OF_STREAM


def read_split(rows: RowsSpec, most: int | None, spec: TaskSpec) -> Dataset | IterableDataset:
    """Read one split.

    Args:
        rows: Where it comes from, and what is drawn from it.
        most: Use the first so many rows.
        spec: The task, whose label column tells the classes of a few-shot draw.

    Raises:
        DataError: If it cannot be read.
    """
    from datasets import IterableDataset

    from hf_mtl.data import few_shot, max_examples
    from hf_mtl.recipe.declared import label_column

    found = source_rows(rows)
    if rows.few_shot is not None:
        column = label_column(spec)
        if column is None or isinstance(found, IterableDataset):
            raise ConfigError("few_shot needs stored rows, and a kind of task whose rows have one label.")
        found = few_shot(found, rows.few_shot, column, seed=rows.seed)
    if rows.max_examples is not None:
        found = max_examples(found, rows.max_examples, seed=None if rows.streaming else rows.seed)
    return found if most is None else max_examples(found, most)


def rows_to_look_at(rows: RowsSpec, most: int | None, spec: TaskSpec) -> Dataset | IterableDataset | RowTable:
    """As `read_split`; the whole of a plain file is read without `datasets`.

    Raises:
        DataError: If it cannot be read.
    """
    from hf_mtl.data import read_plain_rows

    path = Path(rows.source)
    whole = RowsSpec(source=rows.source, sample_by=rows.sample_by, seed=rows.seed)
    if (
        rows == whole
        and exists(rows.source)
        and path.is_file()
        and (found := read_plain_rows(path, sample_by=rows.sample_by)) is not None
    ):
        return found if most is None else found.first(most)
    return read_split(rows, most, spec)


def source_rows(rows: RowsSpec) -> Dataset | IterableDataset:
    """All rows of a source, before any are drawn.

    Raises:
        DataError: If it cannot be read.
    """
    from hf_mtl.data import load_rows

    return load_rows(
        rows.source,
        split=rows.split,
        name=rows.name,
        revision=rows.revision,
        streaming=rows.streaming,
        sample_by=rows.sample_by,
    )


def is_at_hand(rows: RowsSpec) -> bool:
    """Whether rows can be read without the network: they are here, or in a package that was fetched before."""
    from hf_mtl.data.assets import is_fetched

    if rows.source.startswith(ASSET_PREFIX):
        return is_fetched(rows.source.removeprefix(ASSET_PREFIX))
    return exists(rows.source)


def is_to_be_fetched(rows: RowsSpec) -> bool:
    """Whether rows are not here and may be elsewhere: on the Hub, or in a package of ours that was not fetched yet."""
    from hf_mtl.data.assets import ASSETS

    if rows.source.startswith(ASSET_PREFIX):
        asset = ASSETS.get(rows.source.removeprefix(ASSET_PREFIX))
        return asset is not None and asset.kind == "data" and not is_at_hand(rows)
    return is_repo_id(rows.source) and not _names_file(rows.source) and not is_at_hand(rows)


def _names_file(source: str) -> bool:
    return Path(source).suffix != "" or source.startswith((".", "/", "~"))


def rows_with_path(rows: RowsSpec, changed: Callable[[str], str]) -> RowsSpec:
    """The same with the path of a file or folder changed; Hub ids and assets stay as they are."""
    if rows.source.startswith(ASSET_PREFIX) or "://" in rows.source or not rows.source:
        return rows
    path = changed(str(expanded(rows.source)))
    looks_like_file = _names_file(rows.source) or exists(path)
    return rows.model_copy(update={"source": path}) if looks_like_file else rows
