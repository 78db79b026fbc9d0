"""The README's code runs as it stands, on a tiny model in the place of the Hub's."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import picture
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


def test_the_sentence_below_the_picture_is_measured() -> None:
    (point,) = (point for point in picture.points() if point.tasks == 8)
    sentence = (
        f"One joint run of 8 tasks does the work of 8 runs in {1 / point.speedup:.2f} of their time, in "
        f"{point.together_mib / 1024:.1f} GiB where 8 runs at once would hold {8 * point.one_run_mib / 1024:.1f}"
    )
    assert sentence in README.read_text(encoding="utf-8")


def test_the_picture_is_drawn_from_the_figures(tmp_path: Path) -> None:
    picture.draw(picture.points(), tmp_path / "again.png")
    assert (tmp_path / "again.png").stat().st_size > 10_000 and picture.PICTURE.is_file()


@pytest.mark.parametrize(
    ("row", "result", "entry", "reference"),
    [
        ("a loop of", "model-61m-float32", "peft: K separate runs", "routed"),
        ("PEFT `set_adapter`", "model-61m-float32", "peft: set_adapter per micro-batch", "routed"),
        ("PEFT `adapter_names`", "model-61m-float32", "peft: adapter_names, padded", "routed"),
        ("AdapterHub", "peers-61m-float32", "adapterhub: BatchSplit, padded", "routed"),
        ("MoE-PEFT", "peers-61m-float32", "moe-peft: dropout 0.05, padded", "routed: dropout 0.05"),
    ],
)
def test_the_speeds_of_what_people_do_today_are_measured(
    row: str, result: str, entry: str, reference: str
) -> None:
    measured = json.loads((picture.RESULTS / f"{result}.json").read_text(encoding="utf-8"))["entries"]
    pairs = zip(measured[entry]["samples"], measured[reference]["samples"], strict=True)
    speed = statistics.median(a["tokens"] / a["seconds"] / (b["tokens"] / b["seconds"]) for a, b in pairs)
    (line,) = (
        line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {row}")
    )
    assert re.sub(r"<sup>.*?</sup>", "", line).rstrip(" |").endswith(f"{speed:.2f}")
