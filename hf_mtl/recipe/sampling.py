"""Some rows of each split of a recipe, read by the very path of training, without the base's weights.

for task in sampled_tasks(recipe, open_base(recipe)):
    for split in task.splits:
        for number, row in spread(split, first=20, spread_over=30):
            task.encoder.examples(row)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, IterableDataset
from huggingface_hub import try_to_load_from_cache

from hf_mtl.data import Row, with_raw_images
from hf_mtl.data.assets import is_fetched
from hf_mtl.errors import ConfigError
from hf_mtl.models import ConfiguredBase
from hf_mtl.recipe.factory import build_task
from hf_mtl.recipe.rows import is_at_hand, read_split
from hf_mtl.recipe.schema import ASSET_PREFIX, Recipe, RowsSpec, TaskSpec
from hf_mtl.tasks import RowEncoder

__all__ = ["SampledSplit", "SampledTask", "away", "open_base", "sampled_tasks", "spread"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class SampledSplit:
    """The rows of one split.

    Args:
        name: `train`, `eval` or `test`.
        rows: The rows.
        spec: Where they come from.
    """

    name: str
    rows: Dataset | IterableDataset
    spec: RowsSpec

    def place(self, number: int) -> str:
        """Where a row is found: the file and the row's number there, as far as they are known."""
        drawn = self.spec.few_shot is not None or self.spec.max_examples is not None
        if drawn and not self.spec.streaming:
            return f"row {number} of the rows drawn from {self.spec.source}"
        return f"row {number} of {self.spec.source}"


@dataclass(frozen=True)
class SampledTask:
    """A task with the splits that can be read.

    Args:
        name: The task's name.
        encoder: Makes sequences of its rows, as in training.
        splits: Its splits.
    """

    name: str
    encoder: RowEncoder
    splits: tuple[SampledSplit, ...]


def away(recipe: Recipe) -> str | None:
    """Why the base's tokenizer cannot be read without a download; None if it can."""
    source = _source(recipe)
    if source.startswith(ASSET_PREFIX):
        fetched = is_fetched(source.removeprefix(ASSET_PREFIX))
        return None if fetched else f"{source} is not fetched (`hf-mtl recipes fetch` gets it)"
    if Path(source).expanduser().is_dir():
        return None
    cached = ("config.json", *_TOKENIZER_FILES)
    found = [isinstance(try_to_load_from_cache(source, file), str) for file in cached]
    return None if found[0] and any(found[1:]) else f"the tokenizer of {source} is on the Hub"


def open_base(recipe: Recipe) -> ConfiguredBase:
    """Load the configuration and the tokenizer of a recipe's base; what is not on this machine is downloaded.

    Raises:
        ConfigError: If there are none.
    """
    return ConfiguredBase.load(_source(recipe))


def sampled_tasks(recipe: Recipe, base: ConfiguredBase, *, fetch: bool = False) -> Iterator[SampledTask]:
    """The tasks of a recipe that `load_recipe` has checked, as far as there are rows of them.

    Args:
        recipe: The recipe.
        base: Its base.
        fetch: Whether rows that are not on this machine are downloaded; else such splits are left out.

    Raises:
        ConfigError: If a task cannot be trained on the base; all such tasks are named.
        DataError: If rows cannot be read.
    """
    problems: list[str] = []
    for name, spec in recipe.tasks.items():
        try:
            task = _sampled(name, spec, base, fetch=fetch)
        except ConfigError as error:
            problems += [f"task {name!r}: {problem}" for problem in error.problems]
        else:
            if task is not None:
                yield task
    if problems:
        raise ConfigError(problems)


def _sampled(name: str, spec: TaskSpec, base: ConfiguredBase, *, fetch: bool) -> SampledTask | None:
    written = {
        "train": (spec.train, spec.max_train_rows),
        "eval": (spec.eval, spec.max_eval_rows),
        "test": (spec.test, spec.max_eval_rows),
    }
    splits = [
        SampledSplit(split, read_split(rows, most, spec), rows)
        for split, (rows, most) in written.items()
        if rows is not None and (fetch or is_at_hand(rows))
    ]
    if not splits:
        return None
    rows = {split.name: split.rows for split in splits}
    held_out = rows.get("eval")
    task = build_task(
        name,
        spec,
        train=rows.get("train"),
        eval=held_out if isinstance(held_out, Dataset) else None,
    )
    if problems := base.problems(task.own_kind):
        raise ConfigError(problems)
    settings = {} if task.adapter is None else vars(task.adapter)
    virtual = int(settings.get("num_virtual_tokens") or 0)
    return SampledTask(
        name, RowEncoder(task, base.context(task.declared, virtual=virtual), virtual), tuple(splits)
    )


def spread(rows: Dataset | IterableDataset, *, first: int, more: int = 0) -> Iterator[tuple[int, Row]]:
    """The first rows, and others at equal distances over the rest; of a stream the first ones only.

    Args:
        rows: The rows.
        first: How many from the start.
        more: How many from the rest.
    """
    rows = with_raw_images(rows)
    if isinstance(rows, IterableDataset):
        yield from enumerate(rows.take(first))
        return
    rest = range(min(first, len(rows)), len(rows))
    others = sorted({rest[len(rest) * i // more] for i in range(more)}) if rest else []
    for number in [*range(min(first, len(rows))), *others]:
        yield number, rows[number]


def _source(recipe: Recipe) -> str:
    return recipe.model.source or recipe.model.id
