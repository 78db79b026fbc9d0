"""What a Jinja template of a task may use, and what to write in the place of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import nodes

from hf_mtl.errors import did_you_mean, listing

__all__ = ["EXTRA_FILTERS", "FILTERS", "METHODS", "TESTS", "problems_of"]

FILTERS: Final = frozenset(
    {
        "abs", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "filesizeformat",
        "first", "float", "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower",
        "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace", "reverse", "round", "safe",
        "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "tojson", "trim", "truncate",
        "unique", "upper", "urlencode", "wordcount", "wordwrap",
    }
)  # fmt: skip
"""Jinja's own filters, but for `attr` and those that write HTML."""

EXTRA_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {  # Any: whatever the filter gives
    "endswith": lambda text, end: str(text).endswith(end),
    "keys": lambda values: list(values.keys()),
    "lstrip": lambda text, chars=None: str(text).lstrip(chars),
    "removeprefix": lambda text, start: str(text).removeprefix(start),
    "removesuffix": lambda text, end: str(text).removesuffix(end),
    "rstrip": lambda text, chars=None: str(text).rstrip(chars),
    "split": lambda text, sep=None, maxsplit=-1: str(text).split(sep, maxsplit),
    "splitlines": lambda text: str(text).splitlines(),
    "startswith": lambda text, start: str(text).startswith(start),
    "strip": lambda text, chars=None: str(text).strip(chars),
    "values": lambda values: list(values.values()),
}
"""Methods of texts and dicts for which Jinja has no filter."""

TESTS: Final = frozenset(
    {
        "odd", "even", "divisibleby", "defined", "undefined", "none", "boolean", "false", "true", "integer", "float",
        "lower", "upper", "string", "mapping", "number", "sequence", "iterable", "sameas", "in", "==", "eq", "equalto",
        "!=", "ne", ">", "gt", "greaterthan", "ge", ">=", "<", "lt", "lessthan", "<=", "le",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Methods:
    """What to write in the place of a method."""

    filters: Mapping[str, str]

    def hint(self, method: str) -> str:
        """The way out; nothing if there is none."""
        known = method in FILTERS or method in EXTRA_FILTERS
        instead = self.filters.get(method, f"| {method}" if known else "")
        return f"; instead of the method .{method}() write {instead}" if instead else ""


METHODS: Final = _Methods(
    {
        "get": "x[key] | default(...)",
        "index": "a loop",
        "format": "the value itself, or 'text %s' | format(value)",
    }
)

_TAGS: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "from", nodes.Extends: "extends",
    nodes.Block: "block", nodes.ScopedEvalContextModifier: "autoescape",
}  # fmt: skip
_CALLABLE: Final = frozenset({"range", "namespace", "caller"})
_GLOBALS: Final[Mapping[str, str]] = {
    "cycler": "use loop.cycle(...)", "joiner": "use loop.last or | join(...)", "dict": "write {'key': value}",
    "lipsum": "write the text itself", "loop": "loops cannot be recursive; use a loop in a loop",
}  # fmt: skip


def problems_of(tree: nodes.Template) -> list[str]:
    """What a template uses and may not, each as the rest of a sentence that begins with the template."""
    macros = {macro.name for macro in tree.find_all(nodes.Macro)} | _CALLABLE
    return list(
        dict.fromkeys(problem for node in tree.find_all(nodes.Node) for problem in _problems(node, macros))
    )


def _problems(node: nodes.Node, macros: set[str]) -> Iterator[str]:
    if type(node) in _TAGS:
        yield f"has the tag {{% {_TAGS[type(node)]} %}}, which is for files and pages; write the text itself."
    elif isinstance(node, nodes.For) and node.recursive:
        yield "has a recursive loop; use a loop in a loop."
    elif isinstance(node, nodes.Getattr) and node.attr.startswith("__"):
        yield f"asks for .{node.attr}, an attribute; a template sees plain data: use a key or an index."
    elif isinstance(node, nodes.Call):
        yield from _call_problems(node, macros)
    elif isinstance(node, nodes.Filter) and node.name not in FILTERS and node.name not in EXTRA_FILTERS:
        why = "which reaches attributes of objects" if node.name == "attr" else "which is not one of them"
        names = FILTERS | set(EXTRA_FILTERS)
        yield f"has the filter {node.name!r}, {why}.{did_you_mean(node.name, names)} Filters: {listing(names)}."
    elif isinstance(node, nodes.Test) and node.name not in TESTS:
        hint = did_you_mean(node.name, TESTS)
        yield f"has the test {node.name!r}, which is not one of them.{hint} Tests: {listing(TESTS)}."


def _call_problems(node: nodes.Call, macros: set[str]) -> Iterator[str]:
    called = node.node
    if isinstance(called, nodes.Getattr):
        if not (called.attr in ("cycle", "changed") and _is_name(called.node, "loop")):
            hint = METHODS.hint(called.attr) or "; use a filter, or make a column of it"
            yield f"calls the method .{called.attr}(); a template sees plain data, without methods{hint}."
    elif not isinstance(called, nodes.Name):
        yield "calls a value; a template calls macros and range only."
    elif called.name not in macros:
        way = _GLOBALS.get(called.name, "a template calls macros and range only")
        yield f"calls {called.name}(...); {way}."


def _is_name(node: nodes.Expr, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name
