"""WordNet's definitions with the category of their sense: which of 45 lexicographer files a synset stands in.

C. Fellbaum (editor), "WordNet: An Electronic Lexical Database", MIT Press, 1998.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from datasets import ClassLabel, Features, Value

from hf_mtl.data.conversions.splits import order_key, save_splits

__all__ = ["convert_supersenses"]

# In the order of WordNet's numbers.
_CATEGORIES: Final = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
    "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social "
    "verb.stative verb.weather adj.ppl"
)
_TEST_ROWS: Final = 5000
_FEATURES: Final = Features(
    {"text": Value("string"), "word": Value("string"), "label": ClassLabel(names=_CATEGORIES.split())}
)


def convert_supersenses(source: Path, folder: Path) -> None:
    """Read the four data files and save train and test; of equal definitions the first is kept, so none is in both."""
    rows: dict[str, dict[str, object]] = {}
    for kind in ("noun", "verb", "adj", "adv"):
        for row in _synsets(source / f"data.{kind}"):
            rows.setdefault(str(row["text"]), row)
    scattered = [rows[text] for text in sorted(rows, key=order_key)]
    save_splits({"train": scattered[_TEST_ROWS:], "test": scattered[:_TEST_ROWS]}, _FEATURES, folder)


def _synsets(file: Path) -> Iterator[dict[str, object]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence, at the head of the file
            continue
        head, _, gloss = line.partition(" | ")
        _, category, _, _, word, *_ = head.split(" ")
        definition = gloss.partition('; "')[0].strip()  # what follows are examples of use
        yield {"text": definition, "word": word.replace("_", " "), "label": int(category)}
