"""Where a recipe says what turned out to be wrong once its base and its rows were read.

What `load_recipe` finds has its place already. What is found later names a task, an adapter or a setting.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hf_mtl.errors import ConfigError
from hf_mtl.recipe.document import Document, KeyPath
from hf_mtl.recipe.loading import read_recipe

__all__ = ["placed", "placed_problem"]

_SECTIONS: tuple[KeyPath, ...] = ((), ("training",), ("model",))


@contextlib.contextmanager
def placed(path: Path, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Give the problems of a configuration that are found inside the places that they have in a recipe.

    Args:
        path: The recipe.
        overrides: As in `load_recipe`.

    Raises:
        ConfigError: What was raised inside, with places.
    """
    try:
        yield
    except ConfigError as error:
        try:
            document = read_recipe(path, overrides)
        except ConfigError:  # the file is another by now
            raise error from None
        raise ConfigError([placed_problem(problem, document) for problem in error.problems]) from error


def placed_problem(problem: str, document: Document) -> str:
    """A problem headed by the place that it is about; as it is, where it names none.

    >>> document = Document(Path("r.yaml"), {"tasks": {"a": {"kind": "x"}}}, {("tasks", "a", "kind"): "r.yaml:3"})
    >>> placed_problem("task 'a': x needs an encoder-decoder.", document)
    'r.yaml:3 tasks.a.kind: x needs an encoder-decoder.'
    """
    if problem.startswith((f"{document.path.name}:", "--set ")):
        return problem  # it has its place
    tasks = document.value(("tasks",))
    for name in tasks if isinstance(tasks, dict) else ():
        for what, inner in (("task", ()), ("adapter", ("adapter",))):
            start = f"{what} {name!r}: "
            if problem.startswith(start):
                rest = problem.removeprefix(start)
                path = _of_task(name, inner, rest, document)
                return document.problem(path, rest.removeprefix(f"{path[-1]}: "))
    word = _first_word(problem)
    for section in _SECTIONS:
        if document.value((*section, word)) is not None:
            return document.problem((*section, word), problem.removeprefix(f"{word}: "))
    return problem


def _of_task(name: str, inner: KeyPath, rest: str, document: Document) -> KeyPath:
    """The key of a task, in its own section or in the defaults: one that is named, or whose value is."""
    sections: tuple[KeyPath, ...] = (("tasks", name), ("defaults",), *([] if inner else [("training",)]))
    word = _first_word(rest)
    for section in sections:
        found = document.value((*section, *inner))
        keys = found if isinstance(found, Mapping) else {}
        named = [
            key for key, value in keys.items() if key == word or (isinstance(value, str) and value == word)
        ]
        if named:
            return (*section, *inner, named[0])
    written = (section for section in sections[:2] if document.value((*section, *inner)) is not None)
    return (*next(written, sections[0]), *inner)


def _first_word(text: str) -> str:
    """Of `max_length: ...`, `optim='x' ...`, `adapter.r ...`, `seq2seq-lm needs ...` the first name."""
    found = re.match(r"[\w-]+", text)
    return found.group() if found else ""
