"""Rows from wherever they are: every kind of source, splits and their parts, and what is said of mistakes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import MappingProxyType

import datasets
import pytest
from datasets import Dataset, DatasetDict, IterableDataset

from hf_mtl.data import ASSETS, assets, load_rows
from hf_mtl.errors import ConfigError, DataError

ROWS = Dataset.from_dict({"n": list(range(10))})
TEN = "".join(f'{{"n": {n}}}\n' for n in range(10))


def numbers(rows: Dataset | IterableDataset) -> list[int]:
    return [row["n"] for row in rows]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    splits = {"train": ROWS, "validation": ROWS.select(range(4)), "test": ROWS.select(range(3))}
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def hub_layout(tmp_path: Path) -> Path:
    """A folder as it lies on the Hub, with two configurations."""
    folder = tmp_path / "repository"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        (folder / name / "train.jsonl").write_text(TEN)
        (folder / name / "test.jsonl").write_text('{"n": 77}\n')
    configs = "- config_name: one\n  data_dir: one\n- config_name: two\n  data_dir: two\n"
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    return folder


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_every_format(tmp_path: Path, ending: str, streaming: bool) -> None:
    file = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        ROWS.to_parquet(file)
    else:
        text = {"jsonl": TEN, "json": f"[{TEN.strip().replace(chr(10), ',')}]"}
        file.write_text(text.get(ending, "n\tx\n" if ending == "tsv" else "n,x\n"))
        if ending in ("csv", "tsv"):
            comma = "\t" if ending == "tsv" else ","
            file.write_text(f"n{comma}x\n" + "".join(f"{n}{comma}x\n" for n in range(10)))
    rows = load_rows(file, streaming=streaming)
    assert isinstance(rows, IterableDataset if streaming else Dataset)
    assert numbers(rows) == list(range(10))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", range(10)),
        ("train[:3]", range(3)),
        ("train[80%:]", [8, 9]),
        ("train[-2:]+train[:1]", [8, 9, 0]),
    ],
)
def test_parts_of_a_file(tmp_path: Path, split: str, expected: list[int]) -> None:
    (tmp_path / "rows.jsonl").write_text(TEN)
    assert numbers(load_rows(str(tmp_path / "rows.jsonl"), split=split)) == list(expected)


def test_a_relative_path_is_found_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text(TEN)
    monkeypatch.chdir(tmp_path)
    assert len(load_rows("data/rows.jsonl")) == 10


@pytest.mark.parametrize("source", ["revews.jsonl", "data/revews.jsonl", "./revews.jsonl"])
def test_a_typo_in_a_path_is_not_sought_on_the_hub(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    for folder in (tmp_path, tmp_path / "data"):
        (folder / "reviews.jsonl").write_text(TEN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        load_rows(source)
    assert "There is no data file" in str(caught.value)
    assert "Files beside it: 'reviews.jsonl'. Did you mean 'reviews.jsonl'?" in str(caught.value)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder '.*nowhere' either"):
        load_rows(tmp_path / "nowhere" / "rows.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.xls", "a\n", "unknown format '.xls' (save the sheet as CSV); readable are '.arrow', '.bio',"),
        ("rows.jsonl", "", "the file holds no rows"),
        ("rows.csv", "", "the file holds no rows"),
        ("rows.parquet", "", "the file holds no rows"),
        ("rows.parquet", "no parquet", "cannot be read as parquet"),
        ("rows.json", '[{"n": 1}', "rows.json, line 1: not valid JSON"),
        ("rows.jsonl", '{"n": 1}\n{"n": \n', "line 2: not valid JSON"),
        (
            "rows.csv",
            "a,b\n1,2\n3,4,5\n",
            "line 3: the row has 3 fields separated by commas, the header has 2",
        ),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        load_rows(tmp_path / name)
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


# --- splits -----------------------------------------------------------------------------------------------


def test_saved_splits(saved: Path) -> None:
    assert numbers(load_rows(saved, split="test")) == [0, 1, 2]
    assert numbers(load_rows(saved, split="train[1:3]+test[:1]")) == [1, 2, 0]
    stream = load_rows(str(saved), split="validation", streaming=True)
    assert isinstance(stream, IterableDataset)
    assert numbers(stream) == [0, 1, 2, 3]


def test_a_saved_data_set_without_splits(tmp_path: Path) -> None:
    ROWS.save_to_disk(tmp_path / "rows")
    assert numbers(load_rows(tmp_path / "rows")) == list(range(10))
    assert numbers(load_rows(tmp_path / "rows", split="train[:2]")) == [0, 1]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("split", "message"),
    [
        (None, r"has the splits 'test', 'train', 'validation'; choose one, such as split='train'"),
        (
            "tset",
            r"has no split 'tset'; its splits are 'test', 'train', 'validation'\. Did you mean 'test'\?",
        ),
        ("train+dev[:2]", r"has no split 'dev'"),
        ("train[a]", r"'train\[a\]' is not understood.*'test \(3 rows\)'"),
        ("train[10:]", r"the split 'train\[10:\]' holds no rows"),
    ],
)
def test_splits_that_are_not_there(saved: Path, split: str | None, message: str, streaming: bool) -> None:
    with pytest.raises(ConfigError, match=message):
        load_rows(saved, split=split, streaming=streaming)


def test_a_part_of_a_file_cannot_be_streamed(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(TEN)
    with pytest.raises(ConfigError, match=r"'train\[:2\]' cannot be streamed.*hf_mtl\.data\.max_examples"):
        load_rows(tmp_path / "rows.jsonl", split="train[:2]", streaming=True)


def test_a_damaged_folder_is_named(saved: Path) -> None:
    (saved / "train" / "state.json").unlink()
    with pytest.raises(DataError, match=r"saved: the saved data set cannot be read.*Write it again"):
        load_rows(saved, split="train")


# --- the Hub ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
def test_configurations(hub_layout: Path, streaming: bool) -> None:
    assert numbers(load_rows(hub_layout, name="two", split="test", streaming=streaming)) == [77]
    with pytest.raises(ConfigError) as caught:
        load_rows(hub_layout, streaming=streaming)
    assert str(caught.value) == (
        f"{hub_layout}, name=None, split=None: Config name is missing. Please pick one among the available "
        "configs: ['one', 'two']"
    )
    with pytest.raises(ConfigError, match=r"'three' not found\. Available: \['one', 'two'\]"):
        load_rows(hub_layout, name="three", streaming=streaming)
    with pytest.raises(ConfigError, match=r"'test', 'train'|\['train', 'test'\]"):
        load_rows(hub_layout, name="one", split="dev", streaming=streaming)
    with pytest.raises(ConfigError, match="has the splits 'test', 'train'; choose one"):
        load_rows(hub_layout, name="one", streaming=streaming)


def test_parts_of_a_split_of_a_configuration(hub_layout: Path) -> None:
    assert numbers(load_rows(hub_layout, name="one", split="train[:2]")) == [0, 1]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_hub_id_while_the_hub_is_switched_off(monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError) as caught:
        load_rows("nobody-at-all/no-such-set", split="train", streaming=streaming)
    assert str(caught.value).startswith(
        "the Hugging Face Hub could not be reached for the data set 'nobody-at-all/no-such-set'. HF_HUB_OFFLINE or "
        "HF_DATASETS_OFFLINE forbids it and the cache does not hold the data set: unset it once; or give a file ("
    )


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'owner/rows' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    monkeypatch.setattr("hf_mtl.data.strange_sets.load_dataset_builder", refused)
    with pytest.raises(
        DataError, match=r"'owner/rows'\. Check the network and the proxy, or set HF_HUB_OFFLINE=1"
    ):
        load_rows("owner/rows")


def test_a_folder_of_a_like_name_is_suggested(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"Did you mean 'saved'\?"):
        load_rows("savd")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        load_rows(tmp_path)


# --- assets and arguments ---------------------------------------------------------------------------------


def test_an_asset(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache already holds it, as after its first use."""
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "assets").mkdir(parents=True)
    saved.rename(tmp_path / "cache" / "assets" / "tiny")
    (tmp_path / "cache" / "assets" / "tiny" / assets.BASE_FILE).write_text('{"format_version": 1}')
    tiny = dataclasses.replace(ASSETS["conll2003"])
    for module in ("assets", "sources"):
        monkeypatch.setattr(f"hf_mtl.data.{module}.ASSETS", MappingProxyType({"tiny": tiny}))
    assert numbers(load_rows("asset:tiny", split="train[2:4]")) == [2, 3]
    assert numbers(load_rows("asset:tiny", split="test", streaming=True)) == [0, 1, 2]
    with pytest.raises(
        ConfigError, match="asset:tiny has the splits 'test', 'train', 'validation'; choose one"
    ):
        load_rows("asset:tiny")


def test_assets_without_rows() -> None:
    with pytest.raises(ConfigError, match=r"'minilm' is a model; those with rows are 'conll2003', 'digits'"):
        load_rows("asset:minilm")
    with pytest.raises(ConfigError, match=r"no asset is called 'conll2004'.*Did you mean 'conll2003'\?"):
        load_rows("asset:conll2004")


def test_arguments_of_the_hub_do_not_go_with_files(tmp_path: Path, saved: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(TEN)
    with pytest.raises(ConfigError, match=r"rows.jsonl' has no name and no revision: that belongs to"):
        load_rows(tmp_path / "rows.jsonl", name="a", revision="main")
    with pytest.raises(ConfigError, match="has no name"):
        load_rows(saved, name="a", split="train")
    with pytest.raises(ConfigError, match="has no revision"):
        load_rows("asset:conll2003", revision="main")


def test_what_is_no_source() -> None:
    with pytest.raises(ConfigError, match=r"'owner name' is not understood; expected a file \(.jsonl"):
        load_rows("owner name")
