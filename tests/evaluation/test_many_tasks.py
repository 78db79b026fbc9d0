"""Tables of 4, 30 and 100 tasks in terminals of 80, 120 and 200 columns: one line per task, whole and told apart."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from hf_mtl.evaluation import Comparison, Report, Score, TaskResult, Variant, comparison_table, report_table
from hf_mtl.evaluation.data_table import _by_split, _by_task
from hf_mtl.evaluation.fitted_table import CROWDED
from hf_mtl.tasks import SplitFacts

COUNTS = pytest.mark.parametrize("count", [4, 30, 100])
WIDTHS = pytest.mark.parametrize("width", [80, 120, 200])


def names(count: int) -> list[str]:
    odd = [
        "sentiment",
        "情感分析/电影评论/第一部分",
        "natural_instructions/task1286_questions_from_the_same_passages_as_before",
        "natural_instructions/task1287_questions_from_the_same_passages_as_before",
    ]
    return [*odd, *(f"glue/mnli-matched-fold-{number:02}" for number in range(count))][:count]


def shown(table: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = capture.get().splitlines()
    assert max(map(cell_len, lines)) <= width
    return lines


def body(lines: list[str]) -> list[str]:
    """The lines between the rule under the titles and the caption."""
    rule = next(number for number, line in enumerate(lines) if "───" in line)
    ends = [number for number, line in enumerate(lines) if not line.strip() and number > rule]
    return [line for line in lines[rule + 1 : ends[-1]] if line.strip()]


def check_names(leads: list[str], count: int) -> None:
    assert len(leads) == len(set(leads)) == count


def report(count: int, *, loss_only: bool = False) -> Report:
    results = []
    for number, name in enumerate(names(count)):
        main = Score("exact_match", constant=0.5, before=0.1, after=0.75, low=0.625, high=0.875)
        loss = Score("loss", before=2.5, after=0.25, greater_is_better=False)
        scores = () if number == 3 else (loss,) if loss_only else (main, loss)
        results.append(TaskResult(name, rows=1000, seconds=12.5, scores=scores))
    return Report(tuple(results))


@COUNTS
@WIDTHS
def test_report(count: int, width: int) -> None:
    lines = body(shown(report_table(report(count)), width))
    first = [line for line in lines if not line.startswith("  ")]
    check_names([line[1:].split("  ")[0] for line in first], count)
    assert len(lines) == (count if count > CROWDED else 2 * (count - 1) + 1)
    assert sum("0.750" in line and "0.100" in line for line in lines) == count - 1
    assert [line.split()[-2 if "12.5" not in line else -3 :][:2] for line in lines if "not measured" in line]
    assert not any("–" in line.split() for line in lines)


@COUNTS
def test_a_report_without_constants_has_no_column_of_them(count: int) -> None:
    text = "\n".join(shown(report_table(report(count, loss_only=True)), 120))
    assert (
        "constant" not in text
        and "interval" not in text
        and "Constant" not in text
        and "Interval" not in text
    )
    assert "Left out" not in text


def test_what_a_narrow_terminal_leaves_out_is_said() -> None:
    narrow, wide = (" ".join(" ".join(shown(report_table(report(30)), width)).split()) for width in (80, 120))
    assert (
        "Left out, for the width of the terminal: seconds, interval." in narrow and "Interval" not in narrow
    )
    assert "Left out" not in wide and "Interval: 95 %" in wide


def facts(count: int) -> Mapping[str, Mapping[str, SplitFacts]]:
    split = SplitFacts(rows=12000, unlabelled=0, sequences=12000, tokens=1234567, longest=512, truncated=0)
    cut = SplitFacts(rows=12000, unlabelled=0, sequences=12000, tokens=1234567, longest=512, truncated=7)
    return {
        name: {"train": cut if number == 1 else split} | ({"eval": split} if number != 2 else {})
        for number, name in enumerate(names(count))
    }


@COUNTS
@WIDTHS
def test_data(count: int, width: int) -> None:
    kinds = {name: ("causal-lm", "text-classification")[n % 2] for n, name in enumerate(names(count))}
    lines = body(shown((_by_task if count > CROWDED else _by_split)(facts(count), kinds), width))
    first = [line for line in lines if line[1] != " " and not line.startswith((" causal-lm", " text-class"))]
    check_names([line[1:].split("  ")[0] for line in first], count)
    assert len(lines) == (count if count > CROWDED else 2 * count)
    assert sum(" 7 " in f"{line} " for line in lines) == 1 and not any("–" in line for line in lines)


@COUNTS
@WIDTHS
@pytest.mark.parametrize("variants", [2, 6])
def test_comparison(count: int, width: int, variants: int) -> None:
    scores = {name: {"f1": (0.5, 0.25)} for name in names(count)}
    ways = tuple(
        Variant(name, {}, 1000, (1.0, 2.0), scores) for name in ("alone", "shared", *"cdef")[:variants]
    )
    table = comparison_table(Comparison("demo", (0, 1), ways, {name: {"f1": True} for name in names(count)}))
    text = "\n".join(shown(table, width))
    assert text.count("0.375 ± 1.588") == count * variants
    if count > CROWDED:
        named = [line[1:].split("  ")[0] for line in text.splitlines() if "±" in line and "%" not in line]
        check_names(list(dict.fromkeys(named[:count])), count)
