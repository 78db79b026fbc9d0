"""Checkpoints to resume from that are damaged, foreign, or of another run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_inputs.case import Case, Change, all_of, cli, removed, replaced, untouched, written

__all__ = ["CASES"]

LAST = "run/checkpoint-1"
RESUME = "train recipe.yaml --output-dir run --resume run/checkpoint-1"
CHECK = "validate recipe.yaml --resume run/checkpoint-1"


def resume(name: str, spoil: Change, *words: str, verb: str = RESUME) -> Case:
    """A resume from a checkpoint that is spoiled, or with a recipe that is another."""
    return cli(name, verb, *words, spoil=spoil, needs=("run",))


def index(name: str, change: Callable[[dict[str, Any]], object], *words: str) -> Case:  # Any: plain JSON
    """The index says something else, and its digest is right."""

    return resume(name, lambda folder: _rewrite(folder, change), "checkpoint-1", *words)


def given(name: str, change: Callable[[dict[str, Any]], object], *words: str) -> Case:  # Any: plain JSON
    """What the run was given says something else, and all digests are right."""

    def spoil(folder: Path) -> None:
        file = folder / LAST / "run.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
        raw = file.read_bytes()
        entry = {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        _rewrite(folder, lambda index: index["files"].update({"run.json": entry}))

    return resume(name, spoil, "checkpoint-1", *words)


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:  # Any: plain JSON
    """Change the index, and its digest with it."""
    file = folder / LAST / "checkpoint.json"
    content = json.loads(file.read_text())
    content.pop("sha256")
    change(content)
    text = json.dumps(content, sort_keys=True)
    file.write_text(json.dumps({**content, "sha256": hashlib.sha256(text.encode()).hexdigest()}))


def _flip(name: str) -> Change:
    def change(folder: Path) -> None:
        file = folder / LAST / name
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)

    return change


def _cut(name: str) -> Change:
    def change(folder: Path) -> None:
        file = folder / LAST / name
        file.write_bytes(file.read_bytes()[:-1])

    return change


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / LAST).glob("*.safetensors"))


def _each(spoil: Callable[[Path], object]) -> Change:
    """Spoil the first file of tensors."""
    return lambda folder: spoil(_files(folder)[0])


def _swapped(folder: Path) -> None:
    first, second = _files(folder)[:2]
    first_bytes = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_bytes)


def _mixed(folder: Path) -> None:
    """Files of two rounds in one folder."""
    name = _files(folder)[0].name
    shutil.copy(folder / "run/checkpoint-2" / name, folder / LAST / name)


def _linked(folder: Path) -> None:
    shutil.rmtree(folder / LAST)
    (folder / LAST).symlink_to("checkpoint-1")


def _no_checkpoints(folder: Path) -> None:
    for path in (folder / "run").glob("checkpoint-*"):
        shutil.rmtree(path)


def _stock(folder: Path) -> None:
    """A checkpoint of a stock Trainer."""
    shutil.rmtree(folder / LAST)
    written(f"{LAST}/trainer_state.json", '{"global_step": 1, "log_history": []}')(folder)
    written(f"{LAST}/optimizer.pt", b"\x80\x04N.")(folder)


INDEX = f"{LAST}/checkpoint.json"
CASES = (
    resume("no index", removed(INDEX), "checkpoint-1"),
    resume("index is empty", written(INDEX, ""), "checkpoint-1"),
    resume("index is cut", written(INDEX, '{"format": "hf_mtl'), "checkpoint-1"),
    resume("index is a list", written(INDEX, "[]"), "checkpoint-1"),
    resume("index is binary", written(INDEX, bytes(range(256))), "checkpoint-1"),
    resume("index of 100,000 levels", written(INDEX, "[" * 100_000), "checkpoint-1"),
    resume("index with a number of 5000 digits", written(INDEX, '{"format_version": ' + "1" * 5000 + "}"), "checkpoint-1"),
    resume("index is a folder", all_of(removed(INDEX), written(INDEX + "/x", "")), "checkpoint-1"),
    resume("index changed by hand", replaced('"format_version": 3', '"format_version": 2', INDEX), "checkpoint-1"),
    index("index of the future", lambda c: c.update(format_version=99), "99", "Upgrade"),
    index("index of an old version", lambda c: c.update(format_version=1), "1"),
    index("index version is a text", lambda c: c.update(format_version="three")),
    index("index of another program", lambda c: c.update(format="other checkpoint")),
    index("index without files", lambda c: c.update(files={})),
    index("index whose files are a list", lambda c: c.update(files=[1])),
    index("index that leads out", lambda c: c["files"].update({"../../secret": {"size": 1, "sha256": "0" * 64}}), "outside"),
    index("index with an absolute path", lambda c: c["files"].update({"/etc/passwd": {"size": 1, "sha256": "0" * 64}}), "outside"),
    index("index with a file that is not there", lambda c: c["files"].update({"more.json": {"size": 1, "sha256": "0" * 64}}), "more.json"),
    index("index with a size below zero", lambda c: next(iter(c["files"].values())).update(size=-1)),
    index("index with a digest of letters", lambda c: next(iter(c["files"].values())).update(sha256="xyz")),
    given("given no base", lambda c: c.pop("base"), "run.json"),
    given("given tasks as a list", lambda c: c.update(tasks=[1]), "run.json"),
    given("given arguments as a text", lambda c: c.update(arguments="x"), "run.json"),
    given("given adapters that are null", lambda c: c.update(adapters={"words": None}), "run.json"),
    given("given another quantization", lambda c: c.update(quantization="8 bits"), "quantization"),
    resume("a file is missing", _each(Path.unlink), "checkpoint-1", "found none"),
    resume("a file is empty", _each(lambda file: file.write_bytes(b"")), "checkpoint-1"),
    resume("a file is cut", lambda folder: _cut(_files(folder)[0].name)(folder), "checkpoint-1"),
    resume("a bit is flipped", lambda folder: _flip(_files(folder)[0].name)(folder), "checkpoint-1"),
    resume("two files are swapped", _swapped, "checkpoint-1"),
    resume("files of two rounds", _mixed, "checkpoint-1"),
    resume("a file is a pickle", _each(lambda file: file.write_bytes(b"\x80\x04N.")), "checkpoint-1"),
    resume("a link to itself", _linked, "checkpoint-1"),
    resume("of a stock Trainer", _stock, "checkpoint-1"),
    resume("the folder is a file", all_of(removed(LAST), written(LAST, "x")), "checkpoint-1"),
    resume("a round that is not there", untouched, "checkpoint-7", verb="train recipe.yaml --output-dir run --resume run/checkpoint-7"),
    resume("the last of none", _no_checkpoints, "run", verb="train recipe.yaml --output-dir run --resume last"),
    resume("with another rank", replaced("{r: 4,", "{r: 8,"), "words"),
    resume("with another scale", replaced("lora_alpha: 8", "lora_alpha: 16"), "words", "lora_alpha is 16, and was 8"),
    resume("with another template", replaced("{text} is", "{text} was"), "words"),
    resume("with other labels", replaced("[negative, positive]", "[positive, negative]"), "words"),
    resume("with fewer rows", written("verbs.jsonl", '{"lemma": "go", "past": "went"}\n'), "past tense"),
    resume("with another seed", replaced("max_steps: 2", "max_steps: 2, seed: 7"), "seed"),
    resume("with another dtype", replaced("dtype: float32", "dtype: bfloat16"), "dtype"),
    resume("with another seed, checked", replaced("max_steps: 2", "max_steps: 2, seed: 7"), "checkpoint-1", "seed is 7", verb=CHECK),
    resume("with another rank, checked", replaced("{r: 4,", "{r: 8,"), "checkpoint-1", "'words'", "lora_A", verb=CHECK),
    resume("with other labels, checked", replaced("[negative, positive]", "[positive, negative]"), "checkpoint-1", "words", verb=CHECK),
    resume("with fewer rows, checked", written("verbs.jsonl", '{"lemma": "go", "past": "went"}\n'), "past tense", "rows changed", verb=CHECK),
    resume("a bit is flipped, checked", lambda folder: _flip(_files(folder)[0].name)(folder), "checkpoint-1", verb=CHECK),
    resume("with another kind of adapter", replaced("{r: 4, lora_alpha: 8, target_modules: all-linear}", "{peft_type: PREFIX_TUNING, num_virtual_tokens: 4}"), "words"),
    resume("with another sharing", replaced("defaults:", "sharing: shared\ndefaults:"), "shar"),
)  # fmt: skip
