"""One target under atheris, which `tools.fuzz` starts: `python -m tools.fuzz_target NAME CORPUS [options]`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

# What is instrumented: our code, and the parsers that are written in Python.
OURS = ["hf_mtl", "yaml", "jinja2", "json"]


def main() -> None:
    """Fuzz until libFuzzer has enough."""
    name, corpus = sys.argv[1], Path(sys.argv[2])
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with atheris.instrument_imports(include=OURS):
        from fuzzing.targets import TARGETS, check, lay_out
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        dictionary = folder / "words.dict"
        dictionary.write_text(
            "".join(f'"{_escaped(word)}"\n' for word in target.words if word), encoding="ascii"
        )
        lay_out(folder)
        os.chdir(folder)
        with atheris.instrument_imports(include=OURS):
            target.read(target.seeds[0], folder)  # imports what it needs
        atheris.Setup(
            [sys.argv[0], *sys.argv[2:], f"-dict={dictionary}"], lambda raw: check(target.read, raw, folder)
        )
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
