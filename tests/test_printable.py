"""Text from outside: as errors, logs, consoles, pages and JSON lines show it."""

from __future__ import annotations

import io
import json
import logging
import pickle
import unicodedata
from pathlib import Path

import pytest
from outside_texts import CONTROLS, HOSTILE, JOINED, raw_in
from rich.console import Console
from rich.table import Table

from hf_mtl.errors import CheckpointError, ConfigError, DataError, HfMtlError, SavedAdapterError
from hf_mtl.export.cards.escaping import escaped, fenced
from hf_mtl.notices import logger_of
from hf_mtl.printable import is_name, json_text, printable
from hf_mtl.terminal import Terminal, say


def test_every_character() -> None:
    """By the categories of Unicode, and as Python's own escapes are read."""
    blocks = ((0, 0x3100), (0xD700, 0xE100), (0xFB00, 0x10000), (0x1F300, 0x1F700), (0xE0000, 0xE0200))
    every = "".join(chr(code) for block in blocks for code in range(*block))
    shown = printable(every, kept="")
    assert not raw_in(shown)
    kept = [char for char in every if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert printable("".join(kept)) == "".join(kept)


@pytest.mark.parametrize("text", CONTROLS)
def test_escapes_are_those_of_python(text: str) -> None:
    assert printable(text) == text.encode("unicode_escape").decode() != text
    assert printable(printable(text)) == printable(text)


def test_what_joins_letters_is_a_part_of_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Persian, Hindi, and an emoji of a family."""
    assert printable(JOINED) == printable(JOINED, kept="") == str(DataError(JOINED)) == JOINED
    assert json_text(JOINED) == f'"{JOINED}"' and JOINED in escaped(JOINED) and JOINED in fenced(JOINED)
    say(Terminal(), JOINED)
    assert JOINED in capsys.readouterr().out


def test_names() -> None:
    assert is_name(JOINED) and is_name("past tense") and is_name("名")
    for text in (
        "",
        " ",
        "\u200d",
        " \u200c ",
        *(f"a{char}" for char in CONTROLS),
        "a\nb",
        "a\tb",
        "a\u00a0b",
    ):
        assert not is_name(text), text


def test_json_texts_read_back_the_same() -> None:
    rows = {HOSTILE: [HOSTILE, "é 漢 😀"]}
    line = json_text(rows)
    assert not raw_in(line) and "\n" not in line and "é 漢 😀" in line
    assert json.loads(line) == rows
    indented = json_text(rows, indent=2)
    assert not raw_in(indented) and indented.count("\n") == 5 and json.loads(indented) == rows


@pytest.mark.parametrize("kind", [HfMtlError, ConfigError, DataError, CheckpointError])
def test_errors(kind: type[HfMtlError]) -> None:
    error = kind(f"row 3: {HOSTILE}")
    assert not raw_in(str(error)) and "[bold red]:smile:\\x00\\x07\\x08\\r\\x1b[2J" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_problems() -> None:
    for kind in (ConfigError, SavedAdapterError):
        error = kind([HOSTILE, "two"])
        assert not raw_in("".join(error.problems)) and str(error).startswith("2 problems:\n  - [bold red]")


def test_logs_of_every_handler() -> None:
    target = io.StringIO()
    handler = logging.StreamHandler(target)
    logger = logger_of("hf_mtl.of_a_test")
    logging.getLogger().addHandler(handler)
    try:
        logger.warning("task %s, %d of %.1f:\n%r", f"a\n{HOSTILE}", 1, 2.0, Path(HOSTILE))
        logger.warning(HOSTILE)
        logger.warning("%s", DataError("two\nlines"))
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logger.exception("%(a)s", {"a": HOSTILE})
    finally:
        logging.getLogger().removeHandler(handler)
    text = target.getvalue()
    assert not raw_in(text)
    assert text.startswith("task a\\n[bold red]:smile:") and ", 1 of 2.0:\n" in text
    assert "two\nlines\n" in text and "Traceback" in text and "ValueError: [bold red]" in text


def test_a_users_console() -> None:
    console = Console(file=io.StringIO(), width=300, color_system="standard", force_terminal=True)
    say(console, HOSTILE)
    assert isinstance(console.file, io.StringIO)
    assert not raw_in(console.file.getvalue())
    assert console.file.getvalue().startswith("[bold red]:smile:\\x00")


def test_a_terminal_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    terminal = Terminal()
    terminal.width = 400
    terminal.print(table)
    terminal.print(HOSTILE)
    shown = capsys.readouterr().out
    assert not raw_in(shown) and shown.count("[bold red]:smile:") == 4
