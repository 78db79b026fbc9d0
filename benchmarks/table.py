"""Write the table in benchmarks/README.md anew from the JSON files in benchmarks/results.

python benchmarks/table.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
REFERENCES = ("peft: K separate runs", "peft: one adapter, packed")


def _speeds(entry: dict[str, Any]) -> list[float]:
    return [sample["tokens"] / sample["seconds"] for sample in entry["samples"]]


def _ratio(entry: dict[str, Any], reference: dict[str, Any] | None) -> str:
    if reference is None:
        return "–"
    pairs = zip(_speeds(entry), _speeds(reference), strict=True)
    return f"{statistics.median(a / b for a, b in pairs):.2f}"


def _optimizer_share(entry: dict[str, Any]) -> float:
    shares: list[float] = [
        s["optimizer_seconds"] / (s["seconds"] + s["optimizer_seconds"]) for s in entry["samples"]
    ]
    return statistics.median(shares)


def _section(result: dict[str, Any]) -> list[str]:
    entries = result["entries"]
    first = next(iter(entries))
    references = [name for name in REFERENCES if name in entries] or [first]
    heads = ["tokens / CPU-second", *(f"vs {name}" for name in references), "optimizer", "peak MiB"]
    tokens = round(statistics.median(sample["tokens"] for sample in entries[first]["samples"]))
    lines = [
        f"### {result['name']}",
        "",
        f"{result['device']}, one thread, commit {result['commit']}, {result['rounds']} rounds of about "
        f"{tokens} tokens.",
        "",
        "| | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for label, entry in entries.items():
        speeds = _speeds(entry)
        cells = [
            f"{statistics.median(speeds):.0f} ({min(speeds):.0f} to {max(speeds):.0f})",
            *(_ratio(entry, entries[name]) for name in references),
            f"{_optimizer_share(entry):.1%} of the step",
            f"{max(sample['peak_mib'] for sample in entry['samples']):.0f}",
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    if result["left_out"]:
        lines += ["", "Not measured: " + ", ".join(result["left_out"]) + "."]
    return [*lines, ""]


def main() -> None:
    results = [json.loads(file.read_text()) for file in sorted((HERE / "results").glob("*.json"))]
    measured = [result for result in results if "entries" in result]
    readme = HERE / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    lines = [line for result in measured for line in _section(result)]
    readme.write_text(before + BEGIN + "\n\n" + "\n".join(lines) + "\n" + END + after)


if __name__ == "__main__":
    main()
