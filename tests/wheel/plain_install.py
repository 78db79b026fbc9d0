"""The wheel in an environment of its own, without extras, and with the versions that this environment has."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """\
model: {{id: someone/tiny-llama, source: {model}, dtype: float32}}
output_dir: runs/tiny
defaults: {{adapter: {{r: 4, lora_alpha: 8, target_modules: all-linear}}, max_length: 64}}
tasks:
  words:
    train: words.jsonl
    eval: words.jsonl
    template: {{prompt: "{{text}} is", completion: " {{label}}"}}
    labels: [negative, positive]
    metrics: [exact_match, accuracy]
  past tense:
    train: verbs.jsonl
    eval: verbs.jsonl
    template: {{prompt: "{{lemma}}:", completion: " {{past}}"}}
training: {{max_steps: 3, per_device_train_batch_size: 3, learning_rate: 1e-2, logging_steps: 1, use_cpu: true}}
"""
_OURS = ("PYTHONPATH", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_TOKEN", "HF_HOME")


@dataclass(frozen=True)
class Built:
    """What a release would publish.

    Args:
        wheel: Made from the checkout.
        sdist: Made from the checkout.
        again: The wheel that is made from the sdist.
    """

    wheel: Path
    sdist: Path
    again: Path


def build_in(folder: Path) -> Built:
    """Build both with the backend itself, in an environment of its own, and the wheel once more from the sdist."""
    python = new_environment(folder / "builder")
    backend = "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'])"
    wanted = succeed([python, "-c", backend], ROOT).split()
    succeed([python, "-m", "pip", "install", "--quiet", *wanted], ROOT)
    succeed([python, "-m", "hatchling", "build", "--directory", folder / "dist"], ROOT)
    (wheel,), (sdist,) = (list((folder / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    # Unpacked far from the checkout, whose files it must not need.
    succeed(["tar", "--extract", "--file", sdist, "--directory", folder / "builder"], folder)
    (source,) = (folder / "builder").glob("hf_mtl-*")
    succeed([python, "-m", "hatchling", "build", "-t", "wheel", "--directory", folder / "again"], source)
    (again,) = (folder / "again").glob("*.whl")
    return Built(wheel, sdist, again)


def new_environment(folder: Path) -> Path:
    """An empty environment; returns its interpreter."""
    succeed([sys.executable, "-m", "venv", folder], folder.parent)
    return folder / "bin" / "python"


def install_in(folder: Path, wheel: Path) -> Path:
    """Install a wheel without extras into an empty environment; returns its interpreter."""
    versions = folder.with_name("versions.txt")
    versions.write_text("\n".join(_versions()) + "\n", encoding="utf-8")
    python = new_environment(folder)
    succeed([python, "-m", "pip", "install", "--quiet", "--constraint", versions, wheel], folder.parent)
    return python


def _versions() -> list[str]:
    """Of everything that is installed where the tests run; without a build's own mark, such as +cpu."""
    found = {
        own.metadata["Name"]: own.version.partition("+")[0] for own in importlib.metadata.distributions()
    }
    return sorted(f"{name}=={version}" for name, version in found.items() if name != "hf-mtl")


def succeed(command: list[str | Path], cwd: Path) -> str:
    """Run a command that must not fail; returns what it prints."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables, without those by which the checkout or a cache would be found."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    quiet = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "TERM": "dumb", "COLUMNS": "120"}
    return kept | quiet | dict(changes or {})


@dataclass(frozen=True)
class PlainInstall:
    """The installed program.

    Args:
        python: The interpreter of its environment.
        home: For caches.
        hub: The address of a Hub; others are not reached.
        token: What the Hub knows the user by.
    """

    python: Path
    home: Path
    hub: str
    token: str

    def run(self, *arguments: str | Path, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`hf-mtl` with these arguments."""
        return self._run([self.python.with_name("hf-mtl"), *arguments], cwd, stdin)

    def script(self, script: Path, *arguments: str | Path, cwd: Path) -> str:
        """Run a script, which must not fail; returns what it prints."""
        done = self._run([self.python, "-I", "-X", "utf8", script, *arguments], cwd, "")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _run(self, command: list[str | Path], cwd: Path, stdin: str) -> subprocess.CompletedProcess[str]:
        changes = {
            "HF_ENDPOINT": self.hub, "HF_TOKEN": self.token, "HF_HOME": str(self.home), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "HF_MTL_CACHE": str(self.home / "assets"),
        }  # fmt: skip
        return subprocess.run(
            [str(part) for part in command], cwd=cwd, env=clean_environment(changes), input=stdin,
            capture_output=True, text=True, check=False, encoding="utf-8",
        )  # fmt: skip
