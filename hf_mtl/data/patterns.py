"""Texts with places that a row's columns fill: format strings, and Jinja templates in a sandbox.

Both are text, not code: they see plain data (`hf_mtl.data.plain_data`), never an object's attributes or methods, and
what they compute and write for a row is limited.

>>> fill_pattern("{title}. {body}", {"title": "Rain", "body": "It rains."})
'Rain. It rains.'
>>> fill_pattern("{% for w in words %}{{ w }} {% endfor %}", {"words": ["a", "b"]}, engine="jinja")
'a b '
"""

from __future__ import annotations

from hf_mtl.data.format_strings import compiled_format
from hf_mtl.data.plain_data import plain
from hf_mtl.data.rows import Row
from hf_mtl.errors import DataError, did_you_mean, listing

__all__ = ["ENGINES", "fill_pattern", "pattern_fields"]

ENGINES = ("format", "jinja")


def pattern_fields(pattern: str, engine: str = "format") -> tuple[str, ...]:
    """The columns that a pattern names.

    Raises:
        ConfigError: If it is not a valid pattern, or asks for more than plain data.
    """
    if engine == "format":
        return compiled_format(pattern).fields
    from hf_mtl.data.template_sandbox import compiled

    return compiled(pattern).fields


def fill_pattern(pattern: str, row: Row, engine: str = "format") -> str:
    """Fill a pattern from a row.

    Raises:
        DataError: If the row lacks a field, or the pattern fails on it.
        ConfigError: If it is not a valid pattern, or asks for more than plain data.
    """
    for field in pattern_fields(pattern, engine):
        # A Jinja template may ask whether a field has a value, and is refused where it writes one that has none.
        if field not in row or (row[field] is None and engine == "format"):
            found = listing(name for name, value in row.items() if value is not None)
            raise DataError(
                f"the template {_shown(pattern)} needs the field {field!r}; this row has {found or 'no fields'}."
                f"{did_you_mean(field, row)}",
                reason="missing column",
            )
    return compiled_format(pattern).filled(row) if engine == "format" else _rendered(pattern, row)


def _rendered(pattern: str, row: Row) -> str:
    """A Jinja template on a row."""
    from hf_mtl.data.template_budget import FAILURES, limited
    from hf_mtl.data.template_sandbox import compiled

    template, fields = compiled(pattern)
    values = {field: plain(row[field]) for field in fields}
    try:
        with limited(values):
            return template.render(values)
    except (*FAILURES, DataError) as error:
        raise DataError(
            f"the Jinja template {_shown(pattern)} fails on this row: {_reason(error)}",
            reason="template fails",
        ) from error


def _shown(pattern: str) -> str:
    return repr(pattern) if len(pattern) <= 300 else f"{pattern[:300]!r}..."


def _reason(error: Exception) -> str:
    """What went wrong, also where Python's message alone does not say it."""
    if isinstance(error, RecursionError):
        return "it calls itself without an end, or its values are nested too deeply"
    if isinstance(error, ArithmeticError | MemoryError | LookupError):
        return f"{type(error).__name__}: {error}"
    return str(error)
