"""Where a task's rows come from, as its card says it: never a path of the machine that trained."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.data import ASSET_PREFIX, ASSETS
from hf_mtl.export.cards import RowsFacts, TaskData
from hf_mtl.recipe.schema import RowsSpec, TaskSpec

__all__ = ["rows_facts"]


def rows_facts(spec: TaskSpec, data: TaskData) -> tuple[RowsFacts, ...]:
    """A task's splits.

    Args:
        spec: What the recipe says of the task, with paths made absolute.
        data: What is in them, where it is known.
    """
    written = {"train": spec.train, "eval": spec.eval, "test": spec.test}
    found = [_rows(split, rows, spec, data) for split, rows in written.items() if rows is not None]
    if spec.eval is None and spec.eval_fraction is not None and spec.train is not None:
        share = f"{spec.eval_fraction:g} of the train rows, held out"
        found.insert(1, _rows("eval", spec.train, spec, data, drawn=share))
    return tuple(found)


def _rows(
    split: str, rows: RowsSpec, spec: TaskSpec, data: TaskData, *, drawn: str | None = None
) -> RowsFacts:
    drawn = drawn or _drawn(rows, spec.max_train_rows if split == "train" else spec.max_eval_rows)
    if rows.source.startswith(ASSET_PREFIX):
        asset = ASSETS[rows.source.removeprefix(ASSET_PREFIX)]
        return RowsFacts(
            split=split,
            source=asset.origin,
            hub_id=None if asset.nearest else asset.hub_id,
            nearest=asset.hub_id if asset.nearest else None,
            hub_split=rows.split,
            licence=asset.licence,
            note=asset.note,
            drawn=drawn,
            numbers=data.numbers.get(split),
            skipped=data.skipped.get(split, {}),
        )
    local = Path(rows.source).is_absolute()
    return RowsFacts(
        split=split,
        source=Path(rows.source).name if local else rows.source,
        hub_id=None if local else rows.source,
        config=rows.name,
        hub_split=rows.split,
        revision=rows.revision,
        licence=spec.card.rows_license,
        drawn=drawn,
        numbers=data.numbers.get(split),
        skipped=data.skipped.get(split, {}),
    )


def _drawn(rows: RowsSpec, most: int | None) -> str | None:
    """Which rows of a source were used, in words; None for all."""
    parts = []
    if rows.few_shot is not None:
        parts.append(f"{rows.few_shot:,} rows of each class, drawn with seed {rows.seed}")
    if rows.max_examples is not None:
        how = "the first" if rows.streaming else f"drawn with seed {rows.seed}"
        parts.append(f"{rows.max_examples:,} rows, {how}")
    if most is not None:
        parts.append(f"at most the first {most:,} rows")
    if rows.streaming:
        parts.append("read as a stream")
    return ", ".join(parts) or None
