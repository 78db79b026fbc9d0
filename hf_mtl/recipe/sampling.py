"""Some rows of each split of a recipe, read by the very path of training, without the base's weights.

for task in sampled_tasks(recipe, open_base(recipe)):
    for split in task.splits:
        for number, row in spread(split, first=20, spread_over=30):
            task.encoder.examples(row)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_mtl.data import Row, RowTable
from hf_mtl.data.assets import is_fetched
from hf_mtl.errors import ConfigError
from hf_mtl.models import ConfiguredBase
from hf_mtl.paths import expanded, is_folder
from hf_mtl.recipe.rows import is_at_hand, rows_to_look_at
from hf_mtl.recipe.schema import ASSET_PREFIX, Recipe, RowsSpec, TaskSpec
from hf_mtl.recipe.task_building import build_task
from hf_mtl.tasks import RowEncoder

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

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
    rows: Dataset | IterableDataset | RowTable
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
    if is_folder(expanded(source)):
        return None
    from huggingface_hub import try_to_load_from_cache

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
        SampledSplit(split, rows_to_look_at(rows, most, spec), rows)
        for split, (rows, most) in written.items()
        if rows is not None and (fetch or is_at_hand(rows))
    ]
    if not splits:
        return None
    rows = {split.name: split.rows for split in splits}
    # The adapter has been checked with the recipe, and only its virtual tokens have to do with rows.
    task = build_task(
        name,
        spec.model_copy(update={"adapter": {}}),
        train=rows.get("train"),
        eval=_stored(rows.get("eval")),
    )
    if problems := base.problems(task.own_kind):
        raise ConfigError(problems)
    number = spec.adapter.get("num_virtual_tokens")
    virtual = number if isinstance(number, int) else 0
    return SampledTask(
        name, RowEncoder(task, base.context(task.declared, virtual=virtual), virtual), tuple(splits)
    )


def _stored(rows: Dataset | IterableDataset | RowTable | None) -> Dataset | RowTable | None:
    if rows is None or isinstance(rows, RowTable):
        return rows
    from datasets import Dataset

    return rows if isinstance(rows, Dataset) else None


def spread(
    rows: Dataset | IterableDataset | RowTable, *, first: int, more: int = 0
) -> Iterator[tuple[int, Row]]:
    """The first rows, and others at equal distances over the rest; of a stream the first ones only.

    Args:
        rows: The rows.
        first: How many from the start.
        more: How many from the rest.
    """
    if not isinstance(rows, RowTable):
        from datasets import IterableDataset

        from hf_mtl.data import with_raw_images

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
