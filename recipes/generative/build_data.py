"""Build the chats from the quickstart's rows: `python recipes/generative/build_data.py [FOLDER_OF_THOSE_ROWS]`.

Every line of `data/<task>.<split>.jsonl` is one conversation, `{"messages": [...]}`: a question and its answer. The
script prints the table of row counts and sums of `data/README.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

HERE = Path(__file__).parent
ROWS = {"train": 400, "eval": 100}
Row = Mapping[str, str]


def sentiment(row: Row) -> tuple[str, str]:
    return f"Is this film review positive or negative? Answer with one word.\n\n{row['text']}", row["label"]


def past_tense(row: Row) -> tuple[str, str]:
    question = f'What is the past tense of "{row["lemma"]}"? Answer with a sentence.'
    return question, f'The past tense of "{row["lemma"]}" is "{row["past"]}".'


def part_of_speech(row: Row) -> tuple[str, str]:
    question = f'Which part of speech is "{row["word"]}" here? Answer in JSON.\n\n{row["sentence"]}'
    return question, json.dumps({"word": row["word"], "part_of_speech": row["label"]})


TASKS: Mapping[str, Callable[[Row], tuple[str, str]]] = {
    "sentiment": sentiment,
    "past_tense": past_tense,
    "part_of_speech": part_of_speech,
}


def chat(question: str, answer: str) -> dict[str, list[dict[str, str]]]:
    turns = {"user": question, "assistant": answer}
    return {"messages": [{"role": role, "content": content} for role, content in turns.items()]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, nargs="?", default=HERE.parent / "quickstart" / "data")
    folder: Path = parser.parse_args().rows
    for name, asked in TASKS.items():
        for split, count in ROWS.items():
            lines = (folder / f"{name}.{split}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
            content = "".join(json.dumps(chat(*asked(json.loads(line)))) + "\n" for line in lines).encode()
            file = HERE / "data" / f"{name}.{split}.jsonl"
            file.write_bytes(content)
            print(f"| `{file.name}` | {len(lines)} | `{hashlib.sha256(content).hexdigest()}` |")


if __name__ == "__main__":
    main()
