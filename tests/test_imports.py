"""What a user meets first: a package that imports at once, whose public names exist and are explained."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import hf_mtl

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets", "pandas", "matplotlib", "bitsandbytes")
MAX_SECONDS = 0.5

MEASURE = """
import sys, time
start = time.process_time()
import hf_mtl
print(time.process_time() - start, *(name for name in sys.argv[1:] if name in sys.modules))
"""


def import_alone() -> tuple[float, list[str]]:
    """Import the package in a process of its own; return the seconds and which heavy packages came along."""
    command = [sys.executable, "-c", MEASURE, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    seconds, *loaded = done.stdout.split()
    return float(seconds), loaded


def test_import_is_light() -> None:
    runs = [import_alone() for _ in range(3)]
    assert runs[0][1] == [], (
        "import these inside the function that needs them, or resolve the name on first use"
    )
    # The best of three: a busy machine makes single runs slow.
    assert min(seconds for seconds, _ in runs) < MAX_SECONDS


@pytest.mark.parametrize("name", hf_mtl.__all__)
def test_public_name_exists_and_is_explained(name: str) -> None:
    value = getattr(hf_mtl, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        # Not inspect.getdoc, which would return the parent's docstring.
        assert (value.__doc__ or "").strip(), f"hf_mtl.{name} needs a docstring"
        assert not (value.__doc__ or "").startswith(f"{name}("), (
            f"hf_mtl.{name} has only a generated docstring"
        )


def test_public_names_are_listed() -> None:
    assert sorted(hf_mtl.__all__) == sorted(set(hf_mtl.__all__))
    assert set(hf_mtl.__all__) <= set(dir(hf_mtl))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "hf_mtl").rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_names_of_a_package_are_no_modules(path: Path) -> None:
    """Also those that are loaded at first use: no module of the package takes a name's place."""
    package = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
    for module in path.parent.glob("*.py"):
        if module.stem not in ("__init__", "__main__"):
            importlib.import_module(f"{package.__name__}.{module.stem}")
    assert not [name for name in package.__all__ if isinstance(getattr(package, name), ModuleType)]


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="Taks"):
        hf_mtl.Taks  # noqa: B018


def test_package_is_typed() -> None:
    assert (Path(inspect.getfile(hf_mtl)).parent / "py.typed").exists()
