"""The README's code runs as it stands, on a tiny model in the place of the Hub's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_python_block_runs(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    code = block.replace("HuggingFaceTB/SmolLM2-135M-Instruct", str(tiny_llama)).replace(
        "max_steps=100", "max_steps=3"
    )
    assert str(tiny_llama) in code and "max_steps=3" in code
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["trainer"].state.global_step == 3
    for folder in ("sentiment", "past-tense"):
        assert (tmp_path / "runs" / "mine" / folder / "adapter_model.safetensors").is_file()


def test_no_mark_of_a_missing_figure_is_left() -> None:
    pages = [README, *README.parent.glob("recipes/*/README.md"), *README.parent.glob("docs/*.md")]
    assert not [page for page in pages if "@@" in page.read_text(encoding="utf-8")]
