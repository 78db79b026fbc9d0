"""The written versions fit pyproject.toml: a dependency that was changed without `make lock` is found here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = ("linux", "darwin", "win32")


def _declared(extras: set[str]) -> dict[str, Requirement]:
    """The direct dependencies, those of the extras among them."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in sorted(extras))]
    requirements = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(r.name): r for r in requirements if r.name != PROJECT["name"]}


def _pinned(name: str) -> dict[str, list[Requirement]]:
    """The versions that a file holds; a package may have several, each for other Pythons."""
    pins: dict[str, list[Requirement]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement = Requirement(line)
            pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def _version(requirement: Requirement) -> Version:
    (pin,) = requirement.specifier
    assert pin.operator == "==", requirement
    return Version(pin.version)


def test_the_lock_holds_every_dependency_of_every_extra() -> None:
    pins = _pinned("constraints.txt")
    for name, declared in _declared(set(PROJECT["optional-dependencies"])).items():
        assert name in pins, f"{name}: run `make lock`"
        for pin in pins[name]:
            assert declared.specifier.contains(_version(pin)), (
                f"{pin} does not fit {declared}: run `make lock`"
            )


def test_the_lock_holds_what_is_held() -> None:
    pins = _pinned("constraints.txt")
    held = _pinned("constraints/held.in")
    assert set(held) == {"torch", "transformers"}
    assert all(_version(pins[name][0]) == _version(one) for name, (one,) in held.items())


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_lock_has_one_version_for_each_python_and_system(python: str, system: str) -> None:
    place = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system}
    place |= {"platform_machine": "arm64" if system == "darwin" else "x86_64"}
    for name, pins in _pinned("constraints.txt").items():
        assert sum(pin.marker is None or pin.marker.evaluate(place) for pin in pins) <= 1, name


def test_the_lock_holds_the_gpu_libraries_of_pypis_torch() -> None:
    """pip needs them where torch's CPU build is not served under its plain version."""
    pins = _pinned("constraints.txt")
    assert "triton" in pins
    assert sum(name.startswith("nvidia-") for name in pins) >= 10
    assert all(pin.marker is not None for name in pins if name.startswith("nvidia-") for pin in pins[name])


def test_the_lowest_versions_are_the_lower_bounds() -> None:
    pins = _pinned("constraints/lowest.txt")
    assert "torch" not in pins  # said by TORCH
    for name, declared in _declared(
        {"4bit", "grad", "metrics", "plots", "quickstart", "test", "vision"}
    ).items():
        if name != "torch":
            (lowest,) = (Version(s.version) for s in declared.specifier if s.operator == ">=")
            assert min(_version(pin) for pin in pins[name]) == lowest, f"{declared}: run `make lock`"


@pytest.mark.parametrize("name", ["constraints.txt", "constraints/lowest.txt"])
def test_no_index_and_no_path_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"://|--(extra-)?index|--find-links|file:|/(opt|root|tmp|home)/", text) is None


def test_the_pythons_are_those_that_we_say() -> None:
    says = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert tuple(says) == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
