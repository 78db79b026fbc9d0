"""What filters, tests and methods may write, in units, before they are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sized
from string import Formatter
from typing import Any, Final

from hf_mtl.data.template_budget import ITEM, TemplateLimitError, length_of, size_of

__all__ = ["FREE_FILTERS", "FREE_TESTS", "LAZY_FILTERS", "method_cost", "printf_cost", "written_by"]

FREE_FILTERS: Final = frozenset({"length", "count", "default", "d", "first", "last", "random"})
"""They take a time that does not depend on what they are given."""

LAZY_FILTERS: Final = frozenset(
    {"map", "select", "reject", "selectattr", "rejectattr", "items", "batch", "slice", "list", "reverse"}
)
"""They hand on items as they are, and do not look inside."""

FREE_TESTS: Final = frozenset(
    {
        "defined", "undefined", "none", "boolean", "false", "true", "integer", "float", "string", "mapping", "number",
        "sequence", "iterable", "sameas", "callable", "filter", "test", "escaped",
    }
)  # fmt: skip
"""They do not read their value."""

_Cost = Callable[..., int]
_MOST_INDENT: Final = 16
_MOST_PLACES: Final = 100
_PRINTF: Final = re.compile(r"[-#0 +]*(\*|\d*)(?:\.(\*|\d*))?")
_DIGITS: Final = 9
_COMPARED: Final = 30


def written_by(name: str, value: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """What a filter may write beyond a few times what it reads.

    Raises:
        TypeError: If the filter does not take these arguments.
        TemplateLimitError: If no template may ask for it.
    """
    cost = _FILTERS.get(name)
    return 0 if cost is None else cost(value, *args, **kwargs)


def method_cost(owner: object, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """What the call of a method of a text, a list or a dict reads and writes.

    Raises:
        TypeError: If the method does not take these arguments.
        TemplateLimitError: If no template may call it.
    """
    if not isinstance(owner, str | list | tuple | dict) or name in _REFUSED_METHODS:
        raise TemplateLimitError(f"the method {name} of a {type(owner).__name__} is not for templates")
    read = size_of(owner) if isinstance(owner, list | tuple) else 0 if isinstance(owner, dict) else len(owner)
    read += sum(map(size_of, args))
    cost = _METHODS.get(name) if isinstance(owner, str) else None
    return read if cost is None else read + cost(owner, *args, **kwargs)


def printf_cost(pattern: str, values: object) -> int:
    """What `pattern % values` may write.

    Raises:
        TemplateLimitError: If a width is a value.
    """
    count = widths = 0
    at = pattern.find("%")
    while at >= 0:
        at = _behind_key(pattern, at + 1)
        found = _PRINTF.match(pattern, at)
        assert found is not None, "the expression matches the empty text"
        widths += _width(found[1]) + _width(found[2] or "")
        count += 1
        at = pattern.find("%", found.end() + 1)
    once = isinstance(values, tuple) or count <= 1
    return len(pattern) + widths + size_of(values) * (1 if once else count)


def _behind_key(pattern: str, at: int) -> int:
    """The place behind `(key)`, in which parentheses may be nested."""
    if pattern[at : at + 1] != "(":
        return at
    depth = 0
    for place in range(at, len(pattern)):
        depth += {"(": 1, ")": -1}.get(pattern[place], 0)
        if depth == 0:
            return place + 1
    return len(pattern)


def _width(digits: str) -> int:
    if digits == "*":
        raise TemplateLimitError(
            "a width that is a value, as in '%*d', is not for templates; write the number"
        )
    return int(digits or 0) if len(digits) <= _DIGITS else 10**_DIGITS


def _format_cost(pattern: str, /, *args: Any, **kwargs: Any) -> int:  # Any: of a template
    fields = list(_specs(pattern))
    if any("{" in spec for spec in fields):
        raise TemplateLimitError(
            "a width that is a value, as in '{:{}}', is not for templates; write the number"
        )
    widths = sum(_width(digits) for spec in fields for digits in re.findall(r"\d+", spec))
    return len(pattern) + widths + len(fields) * (sum(map(size_of, args)) + size_of(dict(kwargs)))


def _specs(pattern: str) -> Iterator[str]:
    return (spec or "" for _, name, spec, _ in Formatter().parse(pattern) if name is not None)


def _places(value: object, precision: int = 0, method: str = "common") -> int:
    if not isinstance(precision, int) or abs(precision) > _MOST_PLACES:
        raise TemplateLimitError(f"round({precision!r:.20}): expected at most {_MOST_PLACES} places")
    return 0


def _json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, ...] | None = None,
    sort_keys: bool = False,
) -> int:
    # Jinja's own filter takes the indent first; a bool or a None is no width in either place.
    wide = [
        0 if each is None else len(each) if isinstance(each, str) else int(each)
        for each in (indent, ensure_ascii)
    ]
    if max(wide) > _MOST_INDENT:
        raise TemplateLimitError(f"tojson: expected an indent of at most {_MOST_INDENT}")
    return size_of(value) * (4 * max(wide) + 6 + sum(map(len, separators or ())))


def _sum(value: object, attribute: object = None, start: object = 0) -> int:
    if not isinstance(start, int | float):
        raise TemplateLimitError("sum adds numbers; to join lists, use a loop or +")
    return _compared(value)


def _replaced(text: object, old: object, new: object, count: int | None = None) -> int:
    found = str(text).count(str(old))
    return (found if count is None or count < 0 else min(found, count)) * len(str(new))


def _wrapped(
    text: str, width: int = 79, long: bool = True, by: str | None = None, hyphens: bool = True
) -> int:
    lines = len(text) // max(width, 1) + 1
    return len(text) * (lines // 64 + len(by or "\n") + 5)


def _indented(text: object, width: int | str = 4, first: bool = False, blank: bool = False) -> int:
    return (str(text).count("\n") + 1) * (len(width) if isinstance(width, str) else abs(width))


def _padded(value: object, width: int = 80, fill: str = " ") -> int:
    return width


def _pieces(text: str, sep: str | None = None, maxsplit: int = -1) -> int:
    pieces = text.count(sep) + 1 if sep else len(text) // 2
    return ITEM * (pieces if maxsplit < 0 else min(pieces, maxsplit + 1))


def _words(text: object) -> int:
    return ITEM // 2 * length_of(text)


def _tags(text: object) -> int:
    return str(text).count("<") * length_of(text) // 64


def _compared(value: object, *args: object, **kwargs: object) -> int:
    """Of a filter that computes something of each item."""
    return _COMPARED * (len(value) if isinstance(value, Sized) else 1)


def _items(value: object, count: int, fill_with: object = None) -> int:
    return ITEM * abs(count)


def _joined(value: object, d: str = "", attribute: object = None) -> int:
    return length_of(value) * len(str(d)) // (1 if isinstance(value, str) else ITEM) + len(str(d))


_FILTERS: Final[Mapping[str, _Cost]] = {
    **dict.fromkeys(("dictsort", "groupby", "max", "min", "sort", "unique"), _compared),
    "batch": lambda value, linecount, fill_with=None: 0 if fill_with is None else ITEM * abs(linecount),
    "center": _padded,
    "format": lambda value, *args, **kwargs: printf_cost(str(value), kwargs or args),
    "indent": _indented,
    "join": _joined,
    "list": lambda value: ITEM * len(value) if isinstance(value, str) else 0,
    "pprint": lambda value: 50 * size_of(value),
    "replace": _replaced,
    "round": _places,
    "slice": _items,
    "split": _pieces,
    "splitlines": lambda value: ITEM * (value.count("\n") + value.count("\r") + 1),
    "striptags": _tags,
    "sum": _sum,
    "title": _words,
    "tojson": _json,
    "urlencode": lambda value: 9 * size_of(value),
    "urlize": lambda value, *args, **kwargs: len(str(value)) ** 2 // 1000,
    "wordcount": _words,
    "wordwrap": _wrapped,
}

_REFUSED_METHODS: Final = frozenset({"encode", "format_map", "maketrans", "translate"})
_METHODS: Final[Mapping[str, _Cost]] = {
    "center": _padded,
    "expandtabs": lambda text, tabsize=8: text.count("\t") * tabsize,
    "format": _format_cost,
    "join": lambda text, values: len(text) * (length_of(values) // ITEM + 1),
    "ljust": _padded,
    "replace": _replaced,
    "rjust": _padded,
    "rsplit": _pieces,
    "split": _pieces,
    "splitlines": lambda text, keepends=False: _words(text),
    "title": _words,
    "zfill": _padded,
}
