"""Where figures go, and what they were measured with. Nothing of it may fail after a measurement.

Results are written whenever there are new figures, so that a run that is cut off leaves what it had. They need no git
and no particular system: what cannot be known is `"unknown"`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch

import hf_mtl

__all__ = ["HERE", "RESULTS", "add_folder", "commit", "device", "versions", "write"]

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
UNKNOWN = "unknown"


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The option that says where figures go; tell it before measuring, so that it fails early."""
    parser.add_argument(
        "--folder",
        type=_folder,
        default=RESULTS,
        help="where the JSON is written; default benchmarks/results",
    )


def _folder(text: str) -> Path:
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be made: {error}") from error
    return folder


def write(folder: Path, name: str, result: Mapping[str, object]) -> None:
    """Write `<name>.json`; a reader sees the old figures or the new ones, never a part."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".{name}.json"
    new.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    new.replace(folder / f"{name}.json")


def commit(root: Path = HERE.parent) -> str:
    """The commit that is measured, and whether the library differs from it; `"unknown"` without git."""
    head = _git(root, "rev-parse", "--short", "HEAD")
    if not head:
        return UNKNOWN
    return head + (" with changes" if _git(root, "status", "--porcelain", "--", "hf_mtl") else "")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:  # there is no git
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def device() -> str:
    """The processor, and what torch uses of it."""
    file = Path("/proc/cpuinfo")  # Linux alone has it
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    amx = ", AMX" if any("amx_bf16" in line for line in lines) else ""
    name = names[0] if names else platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}{amx})"


def versions(*others: str) -> dict[str, str]:
    """The versions of what is measured, by package; of `others` too."""
    told = {"hf_mtl": hf_mtl.__version__}
    for name in ("torch", "transformers", "peft", *others):
        try:
            told[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            told[name] = UNKNOWN
    return told
