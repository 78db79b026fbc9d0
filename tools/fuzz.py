"""Look for bytes on which a reader of strangers' files fails, guided by coverage: `make fuzz SECONDS=600`.

One process for each target, one after the other. What a target is, and which answers are right, is in
`tests/fuzzing/targets.py`. An input that fails, hangs or takes too much memory is kept in the folder of findings, and
belongs into a test: into the table of bad inputs, or as an `@example` beside the target.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGETS = (
    "recipe", "override", "manifest", "adapter_config", "header", "whole_header", "json_lines", "json_document",
    "conll", "delimited", "template", "jinja_template", "source",
)  # fmt: skip
MEGABYTES = 4096  # of a process, of which the imports take some hundreds
HANG = 20  # seconds for one input
LONGEST = 4096  # bytes of an input


def main(arguments: Sequence[str]) -> int:
    """Fuzz the targets that are asked for; returns 1 if one of them found something."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="default: all")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--findings", type=Path, default=ROOT / "build" / "fuzzing")
    options = parser.parse_args(arguments)
    failed = [
        name for name in options.targets or TARGETS if not _fuzz(name, options.seconds, options.findings)
    ]
    return 1 if failed else 0


def _fuzz(name: str, seconds: int, findings: Path) -> bool:
    """Run one target in a process of its own, and print what it did; returns whether it found nothing."""
    kept, corpus = findings / name, findings / "corpus" / name
    kept.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "tools.fuzz_target", name, str(corpus), f"-max_total_time={seconds}",
        f"-artifact_prefix={kept}{os.sep}", f"-rss_limit_mb={MEGABYTES}", f"-timeout={HANG}", f"-max_len={LONGEST}",
        "-print_final_stats=1",
    ]  # fmt: skip
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            command, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=said, stderr=said
        )
        said.seek(0)
        lines = said.read().splitlines()
    print(f"{name}: {_summary(lines)}; {'nothing found' if done.returncode == 0 else 'FOUND:'}")  # noqa: T201
    if done.returncode != 0:
        print("\n".join(lines[-40:]))  # noqa: T201
    return done.returncode == 0


def _summary(lines: list[str]) -> str:
    """The runs, their rate and the coverage, from what libFuzzer printed last."""
    text = "\n".join(lines)
    found = [
        re.findall(form, text, re.MULTILINE) for form in (r"^#(\d+)\s", r"exec/s: (\d+)", r"\bcov: (\d+)")
    ]
    runs, rate, edges = (values[-1] if values else "?" for values in found)
    return f"{runs} runs, {rate} a second, {edges} edges covered"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
