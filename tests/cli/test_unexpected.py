"""Errors that nobody expected: a short message, and a file with the traceback."""

from __future__ import annotations

import errno
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from outside_texts import HOSTILE, raw_in
from typer.testing import CliRunner, Result

from hf_mtl.cli import app, recipes

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_" + "abcdefghijklmnop"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def run(error: BaseException, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    def fail() -> dict[str, Path]:
        raise error

    monkeypatch.setattr(recipes, "shipped_recipes", fail)
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [*options, "recipes", "list"])


def test_a_bug(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "very-secret-words")
    secrets = f"{TOKEN} very-secret-words https://ada:lovelace@host/x"
    done = run(ZeroDivisionError(f"{secrets} {HOSTILE}"), monkeypatch)
    assert done.exit_code == 1 and done.stdout == ""
    assert done.stderr.startswith(
        "This is a bug of hf_mtl, or something that it did not expect: ZeroDivisionError: "
    )
    assert "Traceback" not in done.stderr and not raw_in(done.stderr) and len(done.stderr) < 1000
    named = re.search(r"The traceback is saved in (\S+)\. Please report it", done.stderr)
    assert named is not None
    file = Path(named[1])
    assert file.parent == temporary and stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in text and "in fail" in text and not raw_in(text)
    for shown in (text, done.stderr):
        assert TOKEN not in shown and "very-secret-words" not in shown and "lovelace" not in shown
        assert "<secret> <secret> https://<secret>@host/x" in shown


def test_traceback_in_the_terminal(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(ZeroDivisionError(f"{TOKEN} {HOSTILE}"), monkeypatch, "--traceback")
    assert (
        done.exit_code == 1
        and "Traceback" in done.stderr
        and "ZeroDivisionError: <secret> [bold" in done.stderr
    )
    assert not raw_in(done.stderr) and not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("error", "begins", "says"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "rows.csv"),
            "A file, a folder or a connection could not",
            "rows.csv",
        ),
        (
            MemoryError(),
            "There was not enough memory: MemoryError: without a message",
            "training.token_budget",
        ),
        (RecursionError("too deep"), "This is a bug", "RecursionError: too deep"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "This is a bug", "UnicodeDecodeError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kinds(error: Exception, begins: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(error, monkeypatch)
    assert done.exit_code == 1
    assert done.stderr.startswith(begins) and says in done.stderr


def test_no_place_for_the_traceback(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "nowhere"))
    done = run(ZeroDivisionError("x"), monkeypatch)
    assert done.exit_code == 1 and "`hf-mtl --traceback ...` shows it instead" in done.stderr


@pytest.mark.parametrize("arguments", [["--\x1b[2J"], ["\x1b[2J"], ["report", "run", "\x1b[2J\u202e"]])
def test_wrong_arguments(arguments: list[str]) -> None:
    done = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, arguments)
    assert done.exit_code == 2 and "\\x1b[2J" in done.stderr and not raw_in(done.stderr)


def test_nobody_reads_the_output() -> None:
    """As in `hf-mtl recipes list | head -0`."""
    code = (
        "from pathlib import Path\nfrom hf_mtl.cli import main, recipes\n"
        "recipes.shipped_recipes = lambda: {'words': Path('nowhere')}\nmain()"
    )
    command = [sys.executable, "-c", code, "recipes", "list"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1
    process.stderr.close()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("recipes", "list"), ("--help",)])
@pytest.mark.skipif(sys.platform == "win32", reason="processes have no limits of the system there")
def test_the_output_is_full(
    arguments: tuple[str, ...], unbuffered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk without room, where a write of nothing succeeds, which it does not on `/dev/full`."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    code = (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from pathlib import Path\nfrom hf_mtl.cli import main, recipes\n"
        "recipes.shipped_recipes = lambda: {'words': Path('nowhere')}\nmain()"
    )
    command = [sys.executable, "-B", "-c", code, *arguments]
    with (tmp_path / "full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("WriteError: standard output could not be written: a file would be larger")
    assert done.stderr.count("\n") == 1, done.stderr


class PanicException(BaseException):  # as pyo3 calls it
    """How a library that is written in Rust gives up."""


def test_a_panic(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(PanicException(f"retry-limit {HOSTILE}"), monkeypatch)
    assert done.exit_code == 1 and done.stderr.startswith("This is a bug of hf_mtl, or something that it")
    assert "PanicException: retry-limit" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="it keeps the folder that a process works in")
def test_no_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = CliRunner(env={"COLUMNS": "400"}).invoke(app, ["recipes", "list"])
    assert done.exit_code == 2 and done.stderr.startswith(
        "ConfigError: the working folder cannot be used: No such"
    )


def test_an_output_that_lacks_characters(hf_mtl_program: object, tmp_path: Path) -> None:
    (tmp_path / "é.yaml").write_text("tasks: {é😀: 3}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "hf_mtl", "validate", "é.yaml"],
        cwd=tmp_path, capture_output=True, check=False,
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith(b"ConfigError: ")
    assert b"\\xe9.yaml" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(errno.EACCES, "", "rows.csv"),
            "'rows.csv' cannot be used: Permission denied. Give yourself the",
        ),
        (
            OSError(errno.EIO, "", "rows.csv"),
            "'rows.csv' cannot be used: Input/output error. Its disk may be failing",
        ),
        (
            OSError(errno.ENAMETOOLONG, "", "x" * 5000),
            "cannot be used: File name too long. Choose a shorter name.",
        ),
    ],
    ids=["permission", "disk", "name"],
)
def test_a_file_that_the_system_refuses(
    error: OSError, message: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(error, monkeypatch)
    assert done.exit_code == 2 and message in done.stderr and len(done.stderr) < 400
    assert not list(temporary.iterdir()), "no traceback is saved of what is no bug"
