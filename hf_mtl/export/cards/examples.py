"""Inputs that the code on a card shows: of a task's first sample row, or made up where no row may be shown."""

from __future__ import annotations

import re

from hf_mtl.bounded_json import parse_json
from hf_mtl.export.cards.facts import TaskFacts

__all__ = [
    "example_image",
    "example_prompt",
    "example_question",
    "example_sentence",
    "example_texts",
    "example_turns",
    "quoted",
]

_PLACEHOLDER = "An example."


def example_turns(task: TaskFacts) -> list[dict[str, str]]:
    """The turns of the first sample row before the answer, or one that asks anything."""
    column = (task.template or {})["messages"]
    try:
        turns = parse_json(task.samples[0][column])
        found = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns[:-1]]
    except (IndexError, KeyError, TypeError, ValueError):  # no sample, or one that was cut
        found = []
    return found or [{"role": "user", "content": _PLACEHOLDER}]


def example_prompt(task: TaskFacts) -> str:
    """A prompt of the task: of its first sample row, or with dots in the place of a row's fields."""
    pattern = (task.template or {}).get("prompt")
    if pattern is None:
        return _PLACEHOLDER
    jinja = (task.template or {}).get("engine") == "jinja"
    place = re.compile(r"\{\{\s*(\w+)[^}]*\}\}" if jinja else r"\{(\w+)[^{}]*\}")
    row = task.samples[0] if task.samples else {}
    filled = place.sub(lambda found: row.get(found[1], "..."), pattern)
    return filled if jinja else filled.replace("{{", "{").replace("}}", "}")


def example_texts(task: TaskFacts) -> list[str]:
    """The text of a row, or the two of a pair."""
    return [_part(task, role) for role in ("text", "text_pair") if role == "text" or role in task.columns]


def example_sentence(task: TaskFacts) -> str:
    """A sentence whose words can be split at blanks."""
    return _part(task, "tokens")


def example_question(task: TaskFacts) -> tuple[str, str]:
    """A question, and the text that answers it."""
    return _part(task, "question", "Who wrote it?"), _part(task, "context", "Somebody wrote it.")


def example_image(task: TaskFacts) -> tuple[str, tuple[int, int]]:
    """Mode and size of an image."""
    return task.image_mode or "RGB", task.image_size or (224, 224)


def _part(task: TaskFacts, role: str, otherwise: str = _PLACEHOLDER) -> str:
    """What the first sample row has for a part of the kind's rows."""
    row = task.samples[0] if task.samples else {}
    column = task.columns.get(role, role)
    if "{" in column:
        return re.sub(r"\{(\w+)[^{}]*\}", lambda found: row.get(found[1], "..."), column)
    return row.get(column) or otherwise


def quoted(text: str) -> str:
    r"""Text as Python writes it, in double quotes where that is plain.

    >>> print(quoted('say "hi"\n'))
    'say "hi"\n'
    """
    written = repr(text)
    plain = written.startswith("'") and '"' not in text
    return f'"{written[1:-1]}"' if plain and "\\'" not in written else written
