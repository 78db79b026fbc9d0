"""A task's rows from wherever they are: a file, a folder, the Hub, or a package.

>>> load_rows("reviews.jsonl", split="train[:1000]")                            # doctest: +SKIP
>>> load_rows("stanfordnlp/sst2", split="validation")                           # doctest: +SKIP
>>> load_rows("nyu-mll/glue", name="mrpc", split="train", streaming=True)       # doctest: +SKIP
>>> load_rows("asset:conll2003", split="test")                                  # doctest: +SKIP
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from datasets import (
    Dataset,
    DatasetDict,
    IterableDataset,
    IterableDatasetDict,
    ReadInstruction,
    concatenate_datasets,
    load_from_disk,
)
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from hf_mtl.data.assets import ASSET_PREFIX, ASSETS, resolve_asset
from hf_mtl.data.download import shown
from hf_mtl.data.file_formats import FORMATS
from hf_mtl.data.files import read_rows, stream_rows
from hf_mtl.data.row_cache import writing_cache
from hf_mtl.data.strange_sets import open_builder, read_set
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.hub_host import token_stays
from hf_mtl.paths import is_folder, names_in
from hf_mtl.repo_ids import is_repo_id

__all__ = ["load_rows"]

_SAVED: Final = ("dataset_dict.json", "state.json")
_ADDRESS: Final = re.compile(r"[A-Za-z][\w+.-]+://")
_FORMS: Final = (
    f"a file ({', '.join(FORMATS)}), a folder that save_to_disk wrote, a Hub id (owner/name) or asset:NAME"
)


def load_rows(
    source: str | Path,
    *,
    split: str | None = None,
    name: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    sample_by: str | None = None,
) -> Dataset | IterableDataset:
    """Load the rows of one split.

    Args:
        source: A file (`read_rows` says of which formats); a folder that `save_to_disk` of `datasets` wrote, or one
            that is laid out as a data set on the Hub; a Hub id; or `asset:NAME` (`hf_mtl.data.ASSETS`). What exists
            here goes before the Hub. No code of a data set is ever run.
        split: One of the source's splits, or a part in the notation of `datasets`: `train[:1000]`, `train[10%:]`,
            `train+validation`. A file has the one split `train`. Default: the only split that there is.
        name: Which of the data set's configurations, on the Hub or in a folder laid out so.
        revision: The branch, tag or commit on the Hub.
        streaming: Read row by row and keep nothing on the disk; parts of a split cannot be streamed.
        sample_by: What a row of a plain text file is, see `read_rows`.

    Returns:
        The rows; an `IterableDataset` when `streaming`.

    Raises:
        DataError: If there is no such source, or it cannot be reached or read.
        ConfigError: If the split or the configuration is not there (those that are get listed), or an argument does
            not go with the source.
    """
    text = str(source)
    if text.startswith(ASSET_PREFIX):
        _refuse(text, name=name, revision=revision)
        _refuse_sample(text, sample_by)
        return _from_disk(_data_asset(text.removeprefix(ASSET_PREFIX)), text, split, streaming)
    if _ADDRESS.match(text):
        raise ConfigError(
            f"the source of rows {shown(text)} is an address, and those are not read; download the file first. "
            f"Expected {_FORMS}."
        )
    path = _path(text)
    if path.is_dir():
        _refuse(text, revision=revision)
        _refuse_sample(text, sample_by)
        if any((path / file).is_file() for file in _SAVED):
            _refuse(text, name=name)
            return _from_disk(path, text, split, streaming)
        path = (
            path if path.name not in ("", "..") else path.resolve()
        )  # `datasets` asks for the folder's name
        return _from_hub(str(path), text, split=split, name=name, revision=None, streaming=streaming)
    if path.is_file() or _looks_like_a_path(source):
        _refuse(text, name=name, revision=revision)
        return _from_file(path, split, streaming, sample_by)
    _refuse_sample(text, sample_by)
    if not is_repo_id(text):
        raise ConfigError(f"the source of rows {text!r} is not understood; expected {_FORMS}.")
    return _from_hub(text, text, split=split, name=name, revision=revision, streaming=streaming)


def _path(text: str) -> Path:
    try:
        path = Path(text).expanduser()
        path.lstat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, no such user
        raise DataError(
            f"the source of rows {text!r:.120} cannot be looked up: {error!s:.120}. Expected {_FORMS}."
        ) from error
    return path


def _looks_like_a_path(source: str | Path) -> bool:
    path = Path(source)
    if (
        isinstance(source, Path)
        or source.startswith(("/", ".", "~"))
        or source.count("/") > 1
        or "\\" in source
    ):
        return True
    # An ending of a known format, or any behind a folder that is here, is no Hub id's.
    beside_something = path.parent != Path() and is_folder(path.parent)
    return path.suffix.lower() in FORMATS or (path.suffix != "" and beside_something)


def _refuse(source: str, **arguments: str | None) -> None:
    """An argument that the source has no use for would be ignored silently."""
    if given := [name for name, value in arguments.items() if value is not None]:
        raise ConfigError(
            f"{source!r} has no {' and no '.join(given)}: that belongs to a data set on the Hub."
        )


def _refuse_sample(source: str, sample_by: str | None) -> None:
    if sample_by is not None:
        raise ConfigError(
            f"{source!r} is no plain text file, and sample_by={sample_by!r} belongs to one (.txt)."
        )


def _data_asset(name: str) -> Path:
    data = [known for known, asset in ASSETS.items() if asset.kind == "data"]
    if name in ASSETS and name not in data:
        raise ConfigError(f"the asset {name!r} is a model; those with rows are {listing(data)}.")
    return resolve_asset(name)


def _from_file(
    path: Path, split: str | None, streaming: bool, sample_by: str | None
) -> Dataset | IterableDataset:
    if not streaming:
        return _chosen(DatasetDict({"train": read_rows(path, sample_by=sample_by)}), str(path), split)
    rows = stream_rows(path, sample_by=sample_by)
    return _chosen_stream(IterableDatasetDict({"train": rows}), str(path), split)


def _from_disk(folder: Path, shown: str, split: str | None, streaming: bool) -> Dataset | IterableDataset:
    try:
        found = load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{shown}: the saved data set cannot be read: {error}. Write it again with save_to_disk."
        ) from error
    splits = found if isinstance(found, DatasetDict) else DatasetDict({str(found.split or "train"): found})
    rows = _chosen(splits, shown, split)
    return rows.to_iterable_dataset() if streaming else rows


def _from_hub(
    path: str, shown: str, *, split: str | None, name: str | None, revision: str | None, streaming: bool
) -> Dataset | IterableDataset:
    """A data set in the Hub's layout, there or in a folder: which files belong to which split, `datasets` finds out."""
    try:
        # For a stream the splits are chosen here: only whole ones can be streamed, and this says so better.
        with token_stays(), writing_cache():
            found = read_set(open_builder(path, name, revision), split=split, streaming=streaming)
    except DatasetNotFoundError as error:
        raise DataError(f"{_not_found(shown)} {error}") from error
    except ConnectionError as error:
        raise DataError(_unreachable(shown)) from error
    except (DatasetGenerationError, FileNotFoundError) as error:
        raise DataError(f"{shown}: the data set cannot be read: {error.__cause__ or error}") from error
    except RuntimeError as error:
        # What `datasets` says of a data set that is a Python script.
        raise DataError(
            f"{shown}: {error}. No code of a data set is run; many have a copy as Parquet files: try "
            "revision='refs/convert/parquet'."
        ) from error
    except ValueError as error:
        # Of a missing or unknown configuration or split, and of its notation: the message lists what there is.
        raise ConfigError(f"{shown}, name={name!r}, split={split!r}: {_in_one_line(str(error))}") from error
    if isinstance(found, IterableDatasetDict):
        return _chosen_stream(found, shown, split)
    return _chosen(found, shown, None) if isinstance(found, DatasetDict) else found


def _in_one_line(message: str) -> str:
    """The message without the example of `datasets`, which calls another function than the user did."""
    return " ".join(message.partition("Example of usage")[0].split())


def _unreachable(hub_id: str) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "") in ("", "0") and os.environ.get("HF_DATASETS_OFFLINE", "") in (
        "",
        "0",
    ):
        why = "Check the network and the proxy, or set HF_HUB_OFFLINE=1 to use what is in the cache"
    else:
        why = "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE forbids it and the cache does not hold the data set: unset it once"
    return (
        f"the Hugging Face Hub could not be reached for the data set {hub_id!r}. {why}; or give {_FORMS}."
        f"{_beside(hub_id)}"
    )


def _not_found(hub_id: str) -> str:
    return (
        f"there is no data set {hub_id!r}, neither here nor on the Hub, or you may not read it (log in with `hf auth "
        f"login`).{_beside(hub_id)}"
    )


def _beside(text: str) -> str:
    """What is here under a name like it: a Hub id and a relative path look alike."""
    path = Path(text)
    return did_you_mean(path.name, names_in(path.parent))


def _chosen(splits: DatasetDict, shown: str, split: str | None) -> Dataset:
    if split is None:
        return splits[_only(list(splits), shown)]
    _check_names(split, list(splits), shown)
    try:
        parts = ReadInstruction.from_spec(split).to_absolute({key: len(rows) for key, rows in splits.items()})
    except (ValueError, AssertionError) as error:
        raise ConfigError(
            f"{shown}: the split {split!r} is not understood: {error}. Expected a name, or a part such as "
            "train[:1000] or train[10%:20%]; the splits are "
            f"{listing(f'{key} ({len(rows)} rows)' for key, rows in splits.items())}."
        ) from error
    parts = [part for part in parts if part.from_ < part.to]
    if not parts:
        raise ConfigError(f"{shown}: the split {split!r} holds no rows.")
    made = [splits[part.splitname].select(range(part.from_, part.to)) for part in parts]
    return made[0] if len(made) == 1 else concatenate_datasets(made)


def _chosen_stream(splits: IterableDatasetDict, shown: str, split: str | None) -> IterableDataset:
    if split is None:
        return splits[_only(list(splits), shown)]
    _check_names(split, list(splits), shown)
    if split not in splits:
        raise ConfigError(
            f"{shown}: the split {split!r} cannot be streamed, only whole splits can: {listing(splits)}. Take a number "
            "of rows instead (hf_mtl.data.max_examples), or do not stream."
        )
    return splits[split]


def _only(names: list[str], shown: str) -> str:
    if len(names) > 1:
        raise ConfigError(f"{shown} has the splits {listing(names)}; choose one, such as split={names[0]!r}.")
    return names[0]


def _check_names(split: str, names: list[str], shown: str) -> None:
    for part in split.split("+"):
        asked = part.partition("[")[0].strip()
        if asked not in names:
            raise ConfigError(
                f"{shown} has no split {asked!r}; its splits are {listing(names)}.{did_you_mean(asked, names)}"
            )
