"""What a rewritten template calls in the place of operations that can grow values or repeat.

Each does what Jinja does, and pays for it first (`hf_mtl.data.template_budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from types import BuiltinMethodType, FunctionType
from typing import Any, Final

from jinja2.runtime import Context, Undefined
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import generate_lorem_ipsum

from hf_mtl.data.template_budget import ITEM, STEP, TemplateLimitError, charge, length_of, size_of
from hf_mtl.data.template_costs import FREE_TESTS, LAZY_FILTERS, method_cost, printf_cost, written_by

__all__ = [
    "GUARDS",
    "added",
    "called",
    "charged",
    "cut",
    "filtered",
    "joined",
    "loop_items",
    "multiplied",
    "powered",
    "remainder",
    "sized",
    "tested",
    "written",
]

_BITS: Final = 14_000  # Python writes no whole number of more than 4,300 digits
_CALL: Final = 4 * STEP

Value = Any  # Any: whatever a template computes


def charged(units: int) -> None:
    """Pay for a part of a template."""
    charge(units)


def loop_items(items: Value, cost: int) -> Value:
    """What a loop goes over, each time for a cost."""
    if not isinstance(items, Sized) or isinstance(items, Undefined):
        return items if isinstance(items, Undefined) else _counted(items, cost)
    charge((len(items) + 1) * cost)
    return items


def _counted(items: Iterable[Value], cost: int) -> Iterator[Value]:
    for item in items:
        charge(cost)
        yield item


def _count(items: Value) -> int:
    return 1 if isinstance(items, Undefined) or not isinstance(items, Sized) else len(items)


def written(value: Value) -> Value:
    """A value that is written into the text."""
    charge(ITEM + size_of(value))
    return value


def sized(value: Value) -> Value:
    """A value that is read whole, as comparisons do."""
    charge(size_of(value))
    return value


def cut(value: Value) -> Value:
    """A slice."""
    charge(length_of(value))
    return value


def added(first: Value, *others: Value) -> Value:
    """`first + second + ...`."""
    total = first
    for other in others:
        charge(length_of(total) + length_of(other) + STEP)
        total = total + other
    return total


def joined(*values: Value) -> str:
    """`first ~ second ~ ...`."""
    for value in values:
        charge(size_of(value) + STEP)
    return "".join(map(str, values))


def multiplied(left: Value, right: Value) -> Value:
    """`left * right`."""
    for repeated, times in ((left, right), (right, left)):
        if isinstance(times, int) and not isinstance(repeated, int | float):
            charge(length_of(repeated) * max(times, 0))
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    return left * right


def powered(left: Value, right: Value) -> Value:
    """`left ** right`."""
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * abs(right))
    return left**right


def _check_bits(bits: int) -> None:
    if bits > _BITS:
        raise TemplateLimitError("a whole number becomes too long; expected at most 4,300 digits")


def remainder(left: Value, right: Value) -> Value:
    """`left % right`, which fills a text."""
    if isinstance(left, str | bytes):
        charge(printf_cost(str(left), right))
    return left % right


def filtered(context: Context, name: str, value: Value, /, *args: Value, **kwargs: Value) -> Value:
    """`value | name(...)`."""
    lazy = name in LAZY_FILTERS
    if lazy:
        charge(_CALL + _count(value) * ITEM + sum(map(size_of, args)))
    else:
        value = list(_counted(value, ITEM)) if isinstance(value, Iterator) else value
        charge(_CALL + size_of(value) + sum(map(size_of, args)) + sum(map(size_of, kwargs.values())))
    charge(0 if isinstance(value, Undefined) else written_by(name, value, args, kwargs))
    found = context.environment.filters.get(name)
    if lazy and found is not None and name.startswith(("map", "select", "reject")):
        result = found(_Guarded(context), value, *args, **kwargs)
    else:
        result = context.environment.call_filter(name, value, args, kwargs, context=context)
    if isinstance(result, Iterator):
        return _counted(result, ITEM)
    charge(length_of(result))
    return result


def tested(context: Context, name: str, value: Value, /, *args: Value, **kwargs: Value) -> bool:
    """`value is name(...)`."""
    charge(STEP)
    if name not in FREE_TESTS:
        charge(size_of(value) + sum(map(size_of, args)))
        if name in ("odd", "even", "divisibleby") and not isinstance(value, int | float | Undefined):
            raise TypeError(f"the test {name!r} is for numbers, found a {type(value).__name__}")
    return bool(context.environment.call_test(name, value, args, kwargs, context))


def called(context: Context, function: Value, /, *args: Value, **kwargs: Value) -> Value:
    """`function(...)`: a macro, or what the environment lets a template call."""
    method = _method(function)
    if method is not None:
        args = tuple(list(_counted(one, ITEM)) if isinstance(one, Iterator) else one for one in args)
        charge(method_cost(method.__self__, method.__name__, args, kwargs))
    elif function is generate_lorem_ipsum:
        raise TemplateLimitError("lipsum writes random text; write the text itself")
    charge(
        _CALL + sum(map(length_of, args)) + 256 * sum(len(one) for one in args if _is_clock(function, one))
    )
    environment = context.environment
    assert isinstance(environment, SandboxedEnvironment)
    result = environment.call(context, function, *args, **kwargs)
    if isinstance(result, str | list | tuple | dict):
        charge(length_of(result))
    return result


def _method(function: Value) -> BuiltinMethodType | None:
    """The method of a text, a list or a dict; also where the sandbox wraps it (`str.format`)."""
    if isinstance(function, FunctionType):
        function = vars(function).get("__wrapped__")
    if not isinstance(function, BuiltinMethodType) or isinstance(function.__self__, type):
        return None
    return function


def _is_clock(function: Value, pattern: Value) -> bool:
    """Whether a text is what `strftime` fills, with widths of its own."""
    return (
        isinstance(function, FunctionType)
        and function.__name__ == "strftime_now"
        and isinstance(pattern, str)
    )


class _Guarded:
    """A context for filters that call other filters and tests by their names."""

    is_async = False

    def __init__(self, context: Context) -> None:
        self.environment = self
        self._context = context

    def call_filter(
        self,
        name: str,
        value: Value,
        args: Iterable[Value],
        kwargs: Mapping[str, Value],
        context: object = None,
    ) -> Value:
        return filtered(self._context, name, value, *args, **kwargs)

    def call_test(
        self,
        name: str,
        value: Value,
        args: Iterable[Value],
        kwargs: Mapping[str, Value],
        context: object = None,
    ) -> bool:
        return tested(self._context, name, value, *args, **kwargs)

    def getitem(self, value: Value, key: Value) -> Value:
        charge(STEP)
        return self._context.environment.getitem(value, key)


GUARDS: Final[Mapping[str, Callable[..., Value]]] = {
    guard.__name__: guard
    for guard in (
        added, called, charged, cut, filtered, joined, loop_items, multiplied, powered, remainder, sized, tested,
        written,
    )
}  # fmt: skip
"""By name, what a rewritten template calls."""
