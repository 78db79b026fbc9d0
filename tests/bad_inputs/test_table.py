"""Every bad input of the table is answered by a message that says where, what, and what to do; quickly, and in little room."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bad_inputs.forked import Server
from bad_inputs.table import SUBJECTS

MAX_SECONDS = 5.0
MAX_MEGABYTES = 500.0
MAX_LETTERS = 10_000
CONTROL = re.compile(r"[^\n\t -~\u00a0-\U0010ffff]|[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
CASES = {f"{subject}: {case.name}": (subject, case) for subject, cases in SUBJECTS.items() for case in cases}
# Of so many cases one is a quick test, the others are slow ones: of the cases that load a model, and of the others.
EVERY_LOADING, EVERY = 12, 4


def _parameters() -> Iterator[object]:
    loading = light = 0
    for name, (_, case) in CASES.items():
        loading, light = loading + case.loads_a_model, light + (not case.loads_a_model)
        quick = loading % EVERY_LOADING == 0 if case.loads_a_model else light % EVERY == 0
        yield pytest.param(name, id=name, marks=() if quick else pytest.mark.slow)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("bad-inputs") / "good")
    yield server
    server.close()


def test_the_table_is_as_large_as_it_says() -> None:
    assert len(CASES) == sum(map(len, SUBJECTS.values())) >= 600, "two cases of one name, or fewer cases"


@pytest.mark.parametrize("name", [*_parameters()])
def test_bad_input(name: str, server: Server, tmp_path: Path) -> None:
    subject, case = CASES[name]
    ended = server.run(subject, case.name, tmp_path / "case")
    text = ended.text.decode("utf-8", "replace")
    faults = [
        *([] if ended.code == case.code else [f"exit code {ended.code}, expected {case.code}"]),
        *(["a traceback"] if "Traceback (most recent" in text else []),
        *[f"control character {found!r}" for found in sorted(set(CONTROL.findall(text)))],
        *[f"not said: {word!r}" for word in case.words if word not in text],
        *([f"{len(text)} letters"] if len(text) > MAX_LETTERS else []),
        *([f"{ended.seconds:.1f} s"] if ended.seconds > MAX_SECONDS else []),
        *(
            [f"{ended.megabytes:.0f} MB"]
            if not math.isnan(ended.megabytes) and ended.megabytes > MAX_MEGABYTES
            else []
        ),
    ]
    assert not faults, f"{'; '.join(faults)}\n{text}"
