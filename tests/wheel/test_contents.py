"""What is in the wheel, and that the sdist makes the same one."""

from __future__ import annotations

import email
import tarfile
import zipfile
from pathlib import Path

import pytest
from plain_install import ROOT, Built

import hf_mtl

pytestmark = [pytest.mark.slow, pytest.mark.wheel, pytest.mark.timeout(1800)]


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _tracked(folder: Path) -> set[str]:
    """All files of a folder of the checkout but caches."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in files}


def test_the_wheel_has_the_package_and_the_recipes_and_nothing_else(built: Built) -> None:
    found = {name for name in _contents(built.wheel) if ".dist-info/" not in name}
    package = {f"hf_mtl/{name}" for name in _tracked(ROOT / "hf_mtl")}
    recipes = {f"hf_mtl/_recipes/{name}" for name in _tracked(ROOT / "recipes")}
    assert found == package | recipes
    assert {"hf_mtl/py.typed", "hf_mtl/_recipes/quickstart/recipe.yaml"} <= found


def test_its_metadata(built: Built) -> None:
    contents = _contents(built.wheel)
    (name,) = (name for name in contents if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(contents[name])
    assert (metadata["Name"], metadata["Version"]) == ("hf-mtl", hf_mtl.__version__)
    assert built.wheel.name.startswith(f"hf_mtl-{hf_mtl.__version__}-py3-none-any")
    assert contents[name.replace("METADATA", "licenses/LICENSE")] == (ROOT / "LICENSE").read_bytes()
    script = contents[name.replace("METADATA", "entry_points.txt")].decode()
    assert script.split() == ["[console_scripts]", "hf-mtl", "=", "hf_mtl.cli:main"]


def test_the_sdist_makes_the_same_wheel(built: Built) -> None:
    assert _contents(built.again) == _contents(built.wheel)


def test_the_sdist_has_what_its_tests_need(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "Makefile", "tests/conftest.py", "recipes/basic.py"} <= found
