"""Settings of the command line (`--set training.max_steps=10`), put into a recipe's document before it is checked."""

from __future__ import annotations

import yaml

from hf_mtl.errors import did_you_mean, listing
from hf_mtl.recipe.document import Document, KeyPath, parse_yaml
from hf_mtl.wrong_values import dotted

__all__ = ["override"]

_TASKS = "tasks"
_SETTING = "--set"


def override(document: Document, setting: str) -> Document:
    """Return the document with one `key=value` of the command line put in.

    Args:
        document: The recipe.
        setting: A dotted key and a YAML value: `training.max_steps=10`, `tasks.sentiment.labels=[bad, good]`.
            The name of a task may hold dots.

    Returns:
        The changed document. What is wrong with the setting itself is among its `problems`; whether its key exists
        is for the schema to say.
    """
    key, equals, text = setting.partition("=")
    key = key.strip()
    place = f"{_SETTING} {setting}"
    if not equals or not key:
        return _with_problem(document, f"{place}: expected key=value, such as training.max_steps=10.")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError as error:
        return _with_problem(document, f"{place}: the value is not valid YAML: {error}")
    path = _split(key, document.data)
    tasks = document.data.get(_TASKS)
    known = tasks if isinstance(tasks, dict) else {}
    if path[0] == _TASKS and len(path) > 1 and path[1] not in known:
        hint = did_you_mean(path[1], known)
        return _with_problem(
            document, f"{place}: there is no task {path[1]!r}.{hint} Tasks: {listing(known)}."
        )
    return _put(document, path, value, _SETTING)


def _split(key: str, data: dict[str, object]) -> tuple[str, ...]:
    """Split a dotted key; after `tasks.` the longest task name that fits counts as one part."""
    head, _, rest = key.partition(".")
    tasks = data.get(_TASKS)
    if head != _TASKS or not rest:
        return tuple(key.split("."))
    names = [
        name
        for name in (tasks if isinstance(tasks, dict) else {})
        if rest == name or rest.startswith(f"{name}.")
    ]
    if not names:
        return tuple(key.split("."))
    name = max(names, key=len)
    below = rest[len(name) + 1 :]
    return (head, name, *(below.split(".") if below else ()))


def _put(document: Document, path: tuple[str, ...], value: object, place: str) -> Document:
    data = dict(document.data)
    level = data
    for depth, key in enumerate(path[:-1]):
        inner = level.get(key, {})
        if not isinstance(inner, dict):
            where = dotted(path[: depth + 1])
            return _with_problem(
                document,
                f"{place} {dotted(path)}: {where} is {inner!r:.60}, so nothing can be set inside it.",
            )
        level[key] = dict(inner)
        level = level[key]  # type: ignore[assignment]  # the copy that was just stored
    level[path[-1]] = value
    places = {known: old for known, old in document.places.items() if known[: len(path)] != path}
    made: dict[KeyPath, str] = {
        path[:depth]: place for depth in range(1, len(path)) if path[:depth] not in places
    }
    return Document(document.path, data, {**places, **made, path: place}, document.problems)


def _with_problem(document: Document, problem: str) -> Document:
    return Document(document.path, document.data, document.places, (*document.problems, problem))
