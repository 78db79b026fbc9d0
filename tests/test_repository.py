"""The files around the package agree with it: one version, workflows that call what there is, one set of linters."""

from __future__ import annotations

import itertools
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import hf_mtl

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def _yaml(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict), path
    return content


def _jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = _yaml(workflow)["jobs"]
    return jobs


def _runs(job: dict[str, Any]) -> list[str]:
    """The commands of a job, once for each of its matrix."""
    matrix = {**job.get("strategy", {}).get("matrix", {})}
    excluded = matrix.pop("exclude", [])
    commands = [step["run"] for step in job.get("steps", ()) if "run" in step]
    found = []
    for values in itertools.product(*matrix.values()):
        if dict(zip(matrix, values, strict=True)) in excluded:
            continue
        for command in commands:
            for name, value in zip(matrix, values, strict=True):
                command = command.replace(f"${{{{ matrix.{name} }}}}", str(value))
            found.append(command)
    return found


def _called_targets(command: str) -> list[str]:
    return re.findall(r"\bmake ([a-z-]+)", command)


def _targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))


# ---- one version ----


def test_the_version_stands_in_one_place() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)
    assert "version" not in settings["project"] and settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"] == {"path": "hf_mtl/__init__.py"}
    source = (ROOT / "hf_mtl" / "__init__.py").read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "(.*)"$', source, re.MULTILINE) == [hf_mtl.__version__]


def test_the_citation_names_it() -> None:
    citation = _yaml(ROOT / "CITATION.cff")
    assert citation["version"] == hf_mtl.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]


def test_the_newest_part_of_the_changelog_names_it() -> None:
    newest = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1]
    found = re.search(r"\b\d+\.\d+\.\d+\b", newest)
    assert found is not None and found[0] == hf_mtl.__version__


def test_there_is_one_changelog() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = [name for name in files.splitlines() if re.search(r"change(log|s)|history|news\.", name.lower())]
    assert [name for name in named if Path(name).suffix in (".md", ".rst", ".txt")] == ["CHANGELOG.md"]


# ---- workflows ----


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["checks.yml", "release.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_targets_that_exist(workflow: Path) -> None:
    called = [
        target for job in _jobs(workflow).values() for run in _runs(job) for target in _called_targets(run)
    ]
    assert set(called) <= _targets(), sorted(set(called) - _targets())


def test_the_checks_are_the_ones_of_a_developer() -> None:
    jobs = _jobs(ROOT / ".github" / "workflows" / "checks.yml")
    called = {target for job in jobs.values() for run in _runs(job) for target in _called_targets(run)}
    assert called == {"lint", "test", "test-newest", "test-lowest", "test-slow", "test-wheel"}
    assert jobs["test"]["strategy"]["matrix"]["python"] == PYTHONS
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (torch,) = (own for own in lowest if own.startswith("torch>="))
    assert f"'TORCH={torch.replace('>=', '==')}.0'" in jobs["test"]["steps"][-1]["run"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_do_little_and_end(workflow: Path) -> None:
    assert _yaml(workflow)["permissions"] == {"contents": "read"}
    for name, job in _jobs(workflow).items():
        more = {"id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == more, name
        assert "uses" in job or job["timeout-minutes"] <= 120, name
        for step in job.get("steps", ()):
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step["uses"]), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}


def test_a_release_needs_all_checks_and_has_no_token() -> None:
    release = ROOT / ".github" / "workflows" / "release.yml"
    publish = _jobs(release)["publish"]
    assert set(publish["needs"]) == {"checks", "build"} and publish["environment"] == "pypi"
    assert publish["steps"][-1]["with"] == {"attestations": True}
    assert "secrets." not in release.read_text(encoding="utf-8")


# ---- the rest ----


def test_before_a_commit_runs_what_make_lint_runs() -> None:
    (repository,) = _yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    (hook,) = repository["hooks"]
    assert repository["repo"] == "local" and hook["language"] == "system"
    assert hook["entry"] == "make lint" and "lint" in _targets()
    assert not hook["pass_filenames"] and hook["always_run"]


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_forms_of_issues(name: str) -> None:
    form = _yaml(ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert {"name", "description", "body"} <= form.keys()
    assert all({"type", "id", "attributes"} <= part.keys() for part in form["body"])
    assert any(part.get("validations", {}).get("required") for part in form["body"])


@pytest.mark.parametrize(
    "name", ["SECURITY.md", "CONTRIBUTING.md", ".github/PULL_REQUEST_TEMPLATE.md", "docs/promises.md"]
)
def test_pages_name_files_and_targets_that_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("https://") or (ROOT / name).parent.joinpath(link).exists(), link
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert target in _targets(), target
    for place, test in re.findall(r"`(tests/[\w/]+/)?(test_\w+\.py)`", text):
        assert list(ROOT.glob(f"{place or 'tests/**/'}{test}")), test
