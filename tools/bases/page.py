"""The table of docs/bases.md, and what it was when it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tools.bases.families import FAMILIES

__all__ = ["PAGE", "outcomes_in", "table_of", "with_table"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bases.md"

_BEGIN, _END = "<!-- begin: python -m tools.bases -->\n", "<!-- end -->\n"
_HEAD = "| base | sort | outcome |\n|---|---|---|\n"


def table_of(outcomes: Mapping[str, str]) -> str:
    """The table of what came of each family."""
    rows = (f"| {name} | {family.sort} | {outcomes[name]} |\n" for name, family in FAMILIES.items())
    return _HEAD + "".join(rows)


def with_table(text: str, table: str) -> str:
    """A page with the table in its place."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{table}\n{_END}{rest.partition(_END)[2]}"


def outcomes_in(text: str) -> dict[str, str]:
    """By family, what a page says came of it."""
    table = text.partition(_BEGIN)[2].partition(_END)[0]
    rows = re.findall(r"^\| (.+?) \| .+? \| (.+?) \|$", table, flags=re.MULTILINE)
    return {name: outcome for name, outcome in rows if name != "base"}
