"""What a template sees of the values that a row can hold."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hf_mtl.cli.json_lines import JsonLines
from hf_mtl.data.plain_data import Placeholder, plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (torch.tensor([0.5, 1.5]), [0.5, 1.5]),
        (np.float32(0.5), 0.5),
        (np.str_("a"), "a"),
        (np.bool_(True), True),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        ({"when": (datetime.time(7, 5), None)}, {"when": ["07:05:00", None]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_become_those_that_json_has(value: object, expected: object) -> None:
    found = plain(value)
    assert found == expected and json.loads(json.dumps(found)) == expected


@pytest.mark.parametrize(
    "value", [b"bytes", Image.new("RGB", (2, 2)), object()], ids=lambda v: type(v).__name__
)
def test_values_without_a_text_are_placeholders(value: object) -> None:
    assert type(plain(value)) is Placeholder


def test_inputs_of_a_file_in_utf_16(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "ä"}\n\n{"text": "\u2028"}\n', encoding="utf-16")
    lines = JsonLines(str(tmp_path / "a.jsonl")).take(5)
    assert [(one.number, one.item) for one in lines] == [(1, {"text": "ä"}), (2, {"text": "\u2028"})]
