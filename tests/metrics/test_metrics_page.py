"""The tables of docs/metrics.md are those of the registry; `python tests/metrics/test_metrics_page.py` writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hf_mtl.metrics import FORMS, METRICS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def names() -> str:
    rows = []
    for name, metric in METRICS.items():
        keys = ", ".join(f"**`{key}`**" if key == metric.main else f"`{key}`" for key in metric.keys)
        options = ", ".join(f"`{option}`" for option in metric.valid_options) or "–"
        direction = "" if metric.greater_is_better else " ↓"
        rows.append((f"`{name}`{direction}", metric.form or "", keys, options, metric.description))
    return table(("name", "form", "keys (main in bold)", "options", "what it is"), rows)


def forms() -> str:
    return table(("form", "what a row is"), [(f"`{form}`", meaning) for form, meaning in FORMS.items()])


def _after_its_mark(own: str, found: re.Match[str]) -> str:
    return f"{found[1]}\n{own}\n"


def rendered(page: str) -> str:
    for mark, own in (("names", names()), ("forms", forms())):
        # The table follows its mark after a blank line, and ends at the next one.
        page = re.sub(
            rf"(<!-- {mark} -->\n)(\n\|[^\n]*(?:\n\|[^\n]*)*\n)?",
            partial(_after_its_mark, own),
            page,
        )
    return page


def test_the_tables_are_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "| `f1` | labels | **`f1`** |" in page
    assert rendered(page) == page, "write them: python tests/metrics/test_metrics_page.py"


def test_every_main_key_is_a_key() -> None:
    assert all(metric.main in metric.keys for metric in METRICS.values())


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
