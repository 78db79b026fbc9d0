"""Format strings that a row's plain data fill: a field, a key, an index and a short literal spec.

They are Python's format strings without attributes and without fields inside a spec, which reach into objects.

>>> compiled_format("{who[name]}: {score:.2f}").filled({"who": {"name": "Ann"}, "score": 0.5})
'Ann: 0.50'
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from hf_mtl.data.plain_data import Placeholder, Plain, is_absent, plain
from hf_mtl.data.rows import Row
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing

__all__ = ["FormatString", "compiled_format"]

_MOST_CHARACTERS: Final = 1_000_000
_MOST_PLACES: Final = 10_000
_MOST_WRITTEN: Final = 10_000_000
_CONVERSIONS: Final[Mapping[str, Callable[[object], str]]] = {"r": repr, "s": str, "a": ascii}
_SPEC: Final = re.compile(
    r"(?:.?[<>=^])?[-+ ]?z?#?0?(?:\d{1,4})?[,_]?(?:\.\d{1,4})?[bcdeEfFgGnosxX%]?", re.DOTALL
)
_KEY: Final = re.compile(r"\[([^\[\]]+)\]")
_NAME: Final = re.compile(r"[^.\[\]]*")


@dataclass(frozen=True)
class _Place:
    """A place of a format string, which a value fills.

    Args:
        text: It, as it is written.
        field: The column.
        keys: What is taken of the column's value, one after the other.
        conversion: `r`, `s` or `a`; empty for none.
        spec: How the value is written.
    """

    text: str
    field: str
    keys: tuple[str, ...]
    conversion: str
    spec: str

    def filled(self, value: Plain) -> str:
        """The text of a column's value."""
        for key in self.keys:
            value = self._item(value, key)
        self._check(value)
        if self.conversion:
            value = _CONVERSIONS[self.conversion](value)
        if type(value) is str and not self.spec:
            return value
        try:
            return format(value, self.spec)
        except (ValueError, OverflowError, TypeError) as error:
            raise DataError(
                f"{self.text} of the template cannot write {value!r:.80} ({type(value).__name__}): {error}.",
                reason="template fails",
            ) from error

    def _item(self, value: Plain, key: str) -> Plain:
        if isinstance(value, dict):
            if key in value:
                return value[key]
            if key.isdecimal() and int(key) in value:
                return value[int(key)]
            hint = did_you_mean(key, map(str, value))
            found = f"the keys {listing(map(str, value))}.{hint}"
        elif isinstance(value, list | str) and key.isdecimal() and len(key) < len(str(2**63)):
            if int(key) < len(value):
                return value[int(key)]
            found = f"{len(value)} items, counted from 0."
        else:
            found = f"{value!r:.80} ({type(value).__name__})."
        raise DataError(
            f"{self.text} of the template asks for [{key}]; this row has {found}", reason="missing column"
        )

    def _check(self, value: Plain) -> None:
        if is_absent(value):
            raise DataError(
                f"{self.text} of the template has no value in this row: it is {value}. Write one, or take the row out.",
                reason="missing column",
            )
        if isinstance(value, Placeholder):
            raise DataError(
                f"{self.text} of the template is {value!s}, which has no text; make a column of text of it.",
                reason="no text",
            )
        if isinstance(value, list | dict):
            way = self.text[:-1]
            raise DataError(
                f"the field {self.field!r} of the template is a {type(value).__name__} at {self.text}, {value!r:.80}; "
                f"expected text or a number. Take one item ({way}[0]}} or {way}[key]}}). For chat messages use Chat; "
                f"to join a list, a Jinja template (engine='jinja': {{{{ {self.field} | join(', ') }}}}).",
                reason="no text",
            )


@dataclass(frozen=True)
class FormatString:
    """A format string that is ready to be filled.

    Args:
        parts: Its texts and places, in order.
    """

    parts: tuple[str | _Place, ...]

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The columns that it names."""
        return tuple(dict.fromkeys(part.field for part in self.parts if isinstance(part, _Place)))

    def filled(self, row: Row) -> str:
        """Fill it from a row that has its fields.

        Raises:
            DataError: If a value is missing, or has no text, or what is written is too long.
        """
        values = {field: plain(row[field]) for field in self.fields}
        most = _MOST_WRITTEN + 4 * sum(len(value) for value in values.values() if isinstance(value, str))
        written, size = [], 0
        for part in self.parts:
            text = part if isinstance(part, str) else part.filled(values[part.field])
            size += len(text)
            if size > most:
                raise DataError(
                    f"the template writes more than {most:,} characters; use smaller widths and fewer fields.",
                    reason="template fails",
                )
            written.append(text)
        return "".join(written)


@lru_cache(maxsize=256)
def compiled_format(pattern: str) -> FormatString:
    """Check and read a format string.

    Raises:
        ConfigError: If it is not a format string, or asks for more than a field, a key, an index and a short literal
            spec; naming all.
    """
    shown = repr(pattern) if len(pattern) <= 300 else f"{pattern[:300]!r}..."
    if len(pattern) > _MOST_CHARACTERS:
        raise ConfigError(
            f"The template {shown} has {len(pattern):,} characters; expected at most {_MOST_CHARACTERS:,}."
        )
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ConfigError(f"The template {shown} is not a valid format string: {error}.") from error
    if len(parsed) > _MOST_PLACES:
        raise ConfigError(
            f"The template {shown} has {len(parsed):,} places; expected at most {_MOST_PLACES:,}."
        )
    parts: list[str | _Place] = []
    problems: dict[str, None] = {}
    for text, name, spec, conversion in parsed:
        parts += [text] if text else []
        if name is None:
            continue
        place = _place(name, spec or "", conversion or "")
        found = list(_problems(name, place))
        problems.update(dict.fromkeys(f"The template {shown} has {place.text}: {each}" for each in found))
        parts.append(place)
    if problems:
        raise ConfigError(list(problems))
    return FormatString(tuple(parts))


def _place(name: str, spec: str, conversion: str) -> _Place:
    begin = _NAME.match(name)
    field = name if begin is None else begin[0]
    text = f"{{{name}{'!' if conversion else ''}{conversion}{':' if spec else ''}{spec}}}"
    return _Place(text, field, tuple(_KEY.findall(name[len(field) :])), conversion, spec)


def _problems(name: str, place: _Place) -> Iterator[str]:
    """What a place of a format string may not ask for, with the way out."""
    rest = _KEY.sub("", name[len(place.field) :])
    if rest.startswith(".") or "." in rest:
        path = "".join(f"[{part}]" for part in name[len(place.field) :].split(".") if part.isidentifier())
        yield (
            f"attributes are not read, as a template sees plain data; for a key of a nested row write "
            f"{{{place.field}{path or '[key]'}}}."
        )
    elif rest:
        yield "expected a column, and keys or indices in brackets behind it, as in {row[key]} or {words[0]}."
    if place.conversion and place.conversion not in _CONVERSIONS:
        yield f"there is no conversion !{place.conversion}; expected one of !r, !s, !a, or none."
    if "{" in place.spec:
        yield (
            "a field inside a spec is not read; write the width or the precision as a number, as in {score:.2f} "
            "or {n:>8}."
        )
    elif not _SPEC.fullmatch(place.spec):
        yield (
            "expected a short spec such as {score:.2f} or {n:>8}, with a width and a precision below 10,000. (Dates "
            "are text here; make a column of what is to be written of them.)"
        )
