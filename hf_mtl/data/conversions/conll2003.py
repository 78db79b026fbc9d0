"""CoNLL-2003: the words of Reuters' news with named entities, parts of speech and chunks, as on the Hub.

E. F. Tjong Kim Sang and F. De Meulder, "Introduction to the CoNLL-2003 Shared Task", CoNLL 2003. Tags are IOB2: every
entity starts with `B-`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from datasets import ClassLabel, Features, List, Value

from hf_mtl.data.conversions.splits import save_splits
from hf_mtl.errors import DataError

__all__ = ["convert_conll2003"]

_FILES: Final = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
_DOCUMENT: Final = "-DOCSTART-"
_POS: Final = (
    "\" '' # $ ( ) , . : `` CC CD DT EX FW IN JJ JJR JJS LS MD NN NNP NNPS NNS NN|SYM PDT POS PRP PRP$ RB RBR RBS "
    "RP SYM TO UH VB VBD VBG VBN VBP VBZ WDT WP WP$ WRB"
)
_CHUNKS: Final = ("ADJP", "ADVP", "CONJP", "INTJ", "LST", "NP", "PP", "PRT", "SBAR", "UCP", "VP")
_ENTITIES: Final = ("PER", "ORG", "LOC", "MISC")


def _iob2(kinds: tuple[str, ...]) -> list[str]:
    return ["O", *(f"{position}-{kind}" for kind in kinds for position in "BI")]


_FEATURES: Final = Features(
    {
        "id": Value("string"),
        "tokens": List(Value("string")),
        "pos_tags": List(ClassLabel(names=_POS.split())),
        "chunk_tags": List(ClassLabel(names=_iob2(_CHUNKS))),
        "ner_tags": List(ClassLabel(names=_iob2(_ENTITIES))),
    }
)


def convert_conll2003(source: Path, folder: Path) -> None:
    """Read the three files, one word a line, and save the splits train, validation and test in the files' order."""
    splits = {split: list(_sentences(source / name)) for split, name in _FILES.items()}
    save_splits(splits, _FEATURES, folder)


def _sentences(file: Path) -> Iterator[dict[str, object]]:
    blocks = file.read_text(encoding="utf-8").split("\n\n")
    sentences = [block.split("\n") for block in blocks if block.strip() and not block.startswith(_DOCUMENT)]
    for number, lines in enumerate(sentences):
        tokens, pos, chunks, entities = zip(*(line.split(" ") for line in lines if line), strict=True)
        _check_iob2(entities, file, number)
        yield {
            "id": str(number),
            "tokens": tokens,
            "pos_tags": pos,
            "chunk_tags": chunks,
            "ner_tags": entities,
        }


def _check_iob2(tags: tuple[str, ...], file: Path, number: int) -> None:
    """An older edition of the corpus starts entities with `I-`; it would silently give other spans."""
    for before, tag in zip(("O", *tags), tags, strict=False):
        if tag.startswith("I-") and before[2:] != tag[2:]:
            raise DataError(
                f"{file.name}, sentence {number}: {tag!r} follows {before!r}; expected IOB2, where an entity "
                f"starts with 'B-'."
            )
