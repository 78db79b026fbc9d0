"""Jinja templates that fill a text from the plain data of a row: what they may use, and how they are compiled.

A template reads keys and items, never attributes: `message.role` and `message["role"]` are both the item of a dict.
Filters take the place of methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from types import MethodType
from typing import Any, Final, NamedTuple

from jinja2 import Environment, StrictUndefined, Template, TemplateSyntaxError
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

from hf_mtl.data.plain_data import Placeholder, is_absent
from hf_mtl.data.template_budget import FAILURES, ITEM, charge, size_of
from hf_mtl.data.template_guards import GUARDS
from hf_mtl.data.template_rewriting import rewritten
from hf_mtl.data.template_rules import EXTRA_FILTERS, FILTERS, METHODS, TESTS, problems_of
from hf_mtl.errors import ConfigError, DataError, listing

__all__ = ["CompiledTemplate", "compiled"]

_MOST_CHARACTERS: Final = 1_000_000
_MOST_TOKENS: Final = 10_000
_LOOP: Final = {
    name: attrgetter(name)
    for name in (
        "index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem",
        "nextitem", "cycle", "changed",
    )
}  # fmt: skip
_GROUP: Final = {"grouper": 0, "list": 1}
_KEYS: Final = (str, int, float, bool, type(None))

Value = Any  # Any: whatever a template computes


class CompiledTemplate(NamedTuple):
    """A template that is ready to be filled.

    Args:
        template: It.
        fields: The names that it reads, in the order in which they stand in it.
    """

    template: Template
    fields: tuple[str, ...]


@lru_cache(maxsize=256)
def compiled(source: str) -> CompiledTemplate:
    """Check and compile a template.

    Raises:
        ConfigError: If it is not a valid template, or uses what templates may not; naming all that it may not use.
    """
    if len(source) > _MOST_CHARACTERS:
        raise ConfigError(
            f"The template {source!r:.80} has {len(source):,} characters; expected at most {_MOST_CHARACTERS:,}."
        )
    try:
        tree = _environment().parse(source)
        if problems := problems_of(tree):
            raise ConfigError([f"The Jinja template {_shown(source)} {problem}" for problem in problems])
        tree = rewritten(tree, written=f"{__name__}.written_value")
        names = find_undeclared_variables(tree)
        template = _environment().from_string(tree)
    except (TemplateSyntaxError, *FAILURES) as error:
        text = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
        raise ConfigError(f"The template {_shown(source)} is not a valid Jinja template: {text}.") from error
    return CompiledTemplate(template, tuple(sorted(names, key=source.index)))


def _shown(source: str) -> str:
    return repr(source) if len(source) <= 300 else f"{source[:300]!r}..."


def written_value(value: Value) -> Value:
    """A value that a template writes; not the word `None` for one that is not there.

    Raises:
        DataError: If it has no text.
    """
    if type(value) is str:
        charge(ITEM + len(value))
        return value
    if is_absent(value):
        raise DataError(
            f"a field that is written has no value in this row (it is {value}); ask first: "
            "{% if field %}...{% endif %}.",
            reason="missing column",
        )
    if isinstance(value, Placeholder):
        raise DataError(
            f"a field that is written is {value!s}, which has no text; make a column of text of it.",
            reason="no text",
        )
    if not isinstance(value, str | int | float | list | tuple | dict | range | Undefined):
        raise DataError(
            f"what is written is a {type(value).__name__}, which has no text; write a value, or a list with "
            f"| join(', ').",
            reason="no text",
        )
    charge(ITEM + size_of(value))
    return value


class _CountedTokens(Extension):
    """Ends the reading of a template that is too long."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        return self._counted(stream)

    def _counted(self, stream: TokenStream) -> Iterator[Token]:
        for count, token in enumerate(stream):
            if count > _MOST_TOKENS:
                raise TemplateSyntaxError(f"it has more than {_MOST_TOKENS:,} parts", token.lineno)
            yield token


class _PlainEnvironment(ImmutableSandboxedEnvironment):
    """Reads plain data, by key and item only."""

    def getattr(self, obj: Value, attribute: str) -> Value:
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self._no_item(obj, attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return _LOOP[attribute](obj)
        if type(obj) is Namespace and not attribute.startswith("_"):
            try:
                return Namespace.__getattribute__(obj, attribute)
            except AttributeError:
                return self.undefined(f"the namespace has no {attribute!r}")
        if isinstance(obj, tuple) and type(obj) is not tuple and attribute in _GROUP:  # of `groupby`
            return obj[_GROUP[attribute]]
        if isinstance(obj, Undefined):
            return obj[attribute]
        raise SecurityError(
            f"a template sees plain data, and .{attribute} of a {type(obj).__name__} is an attribute; use a key or an "
            f"index of a dict or a list{METHODS.hint(attribute)}"
        )

    def getitem(self, obj: Value, argument: Value) -> Value:
        if isinstance(obj, Undefined):
            return obj[argument]
        fits = not isinstance(argument, str) and isinstance(obj, list | tuple | str | range)
        if isinstance(argument, _KEYS) and (fits or isinstance(obj, dict)):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                return self._no_item(obj, argument)
        raise SecurityError(
            f"{argument!r:.40} is no key of a {type(obj).__name__}: a template reads dicts by key and lists by number"
        )

    def _no_item(self, obj: Value, key: object) -> Undefined:
        if isinstance(obj, dict):
            hint = METHODS.hint(str(key))
            return self.undefined(f"there is no key {key!r:.80}; the keys are {listing(map(str, obj))}{hint}")
        return self.undefined(f"there is no item {key!r:.80} in a {type(obj).__name__} of {len(obj)}")

    def call(__self, __context: Context, __obj: Value, *args: Value, **kwargs: Value) -> Value:
        guard = _BY_IDENTITY.get(id(__obj))
        if guard is not None:
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return guard(*args, **kwargs)
        if not isinstance(__obj, Macro) and __obj not in (safe_range, Namespace) and not _is_of_loop(__obj):
            raise SecurityError(
                f"a {type(__obj).__name__} cannot be called; templates call macros and range only"
            )
        return super().call(__context, __obj, *args, **kwargs)


_BY_IDENTITY: Final[Mapping[int, Callable[..., Value]]] = {
    id(guard): guard for guard in (*GUARDS.values(), written_value)
}


def _is_of_loop(function: Value) -> bool:
    return isinstance(function, MethodType) and isinstance(function.__self__, LoopContext)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = _PlainEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, extensions=[_CountedTokens]
    )
    made.globals = {"range": safe_range, "namespace": Namespace}
    made.filters = {name: made.filters[name] for name in FILTERS if name in made.filters} | dict(
        EXTRA_FILTERS
    )
    made.tests = {name: test for name, test in made.tests.items() if name in TESTS}
    return made
