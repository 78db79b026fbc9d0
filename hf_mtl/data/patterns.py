"""Texts with places that a row's columns fill: format strings, and Jinja templates in a sandbox.

>>> fill_pattern("{title}. {body}", {"title": "Rain", "body": "It rains."})
'Rain. It rains.'
>>> fill_pattern("{% for w in words %}{{ w }} {% endfor %}", {"words": ["a", "b"]}, engine="jinja")
'a b '
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hf_mtl.data.rows import Row
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["ENGINES", "fill_pattern", "pattern_fields"]

ENGINES = ("format", "jinja")


def pattern_fields(pattern: str, engine: str = "format") -> tuple[str, ...]:
    """The columns that a pattern names.

    Raises:
        ConfigError: If it is no valid pattern.
    """
    if engine == "jinja":
        return _jinja_fields(pattern)
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ConfigError(f"The template {pattern!r} is not a valid format string: {error}.") from error
    return tuple(dict.fromkeys(name for _, name, _, _ in parsed if name is not None))


def fill_pattern(pattern: str, row: Row, engine: str = "format") -> str:
    """Fill a pattern from a row.

    Raises:
        DataError: If the row lacks a field, or a Jinja template fails on it.
    """
    for field in pattern_fields(pattern, engine):
        # A Jinja template may ask whether a field has a value, and is refused where it writes one that has none.
        if field not in row or (row[field] is None and engine == "format"):
            found = listing(name for name, value in row.items() if value is not None)
            raise DataError(
                f"the template {pattern!r} needs the field {field!r}; this row has {found or 'no fields'}."
                f"{did_you_mean(field, row)}",
                reason="missing column",
            )
    if engine == "format":
        _refuse_lists(pattern, row)
        return pattern.format_map(row)
    from jinja2 import TemplateError

    try:
        text: str = _environment().from_string(pattern).render(dict(row))
    except (TemplateError, TypeError, ValueError, DataError) as error:
        raise DataError(
            f"the Jinja template {pattern!r} fails on this row: {error}", reason="template fails"
        ) from error
    return text


def _refuse_lists(pattern: str, row: Row) -> None:
    """A list in a format string would become the text of a Python list."""
    for field in pattern_fields(pattern):
        if isinstance(row[field], list | tuple | Mapping):
            raise DataError(
                f"the field {field!r} of the template {pattern!r} is a {type(row[field]).__name__}, "
                f"{row[field]!r:.80}; expected text or a number. For chat messages use Chat; to join a list, a Jinja "
                f"template (engine='jinja': {{{{ {field} | join(', ') }}}}).",
                reason="no text",
            )


@lru_cache(maxsize=256)
def _jinja_fields(pattern: str) -> tuple[str, ...]:
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_undeclared_variables

    try:
        names = find_undeclared_variables(_environment().parse(pattern))
    except TemplateSyntaxError as error:
        raise ConfigError(f"The template {pattern!r} is not a valid Jinja template: {error}.") from error
    return tuple(sorted(names, key=pattern.index))


def _written(value: object) -> object:
    """What a Jinja template writes for a value; not the word `None` for one that is not there."""
    if value is None:
        raise DataError(
            "a field that is written has no value in this row; ask first: {% if field %}...{% endif %}.",
            reason="missing column",
        )
    return value


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    options: dict[str, Any] = {"undefined": StrictUndefined, "keep_trailing_newline": True}  # Any: of jinja2
    options["finalize"] = _written
    return ImmutableSandboxedEnvironment(**options)
