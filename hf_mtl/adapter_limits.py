"""What an adapter's config may ask for, whoever wrote it: sizes, numbers of names, and patterns that can be matched.

PEFT makes tensors of the sizes that it finds, and matches patterns with Python's own engine, on every layer's name.

>>> [(field, text[:35]) for field, text in limit_problems({"r": 100_000_000, "target_modules": "(q+)+_proj"})]
[('r', 'expected a rank of at most 4,096, f'), ('target_modules', "the pattern '(q+)+_proj' is refused")]
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from hf_mtl.expressions import expression_problem

__all__ = ["MAX_RANK", "MAX_VIRTUAL_TOKENS", "limit_problems", "pattern_problems"]

MAX_RANK: Final = 4096
"""Of a LoRA; the widest that are in use have some hundreds."""

MAX_VIRTUAL_TOKENS: Final = 65_536
"""No base has positions for as many."""

_MAX_NAMES: Final = 20_000  # of a field; each is tried on each layer's name
_MAX_TARGETS: Final = 3_000  # PEFT compares each with all others
_MAX_COMPILED: Final = 500  # Python keeps as many patterns, and beyond that compiles each for every layer
_MAX_LETTERS: Final = 1_000  # of a name; PEFT looks at all its ends
_MAX_PATTERNS: Final = 2_000  # ranks and scales by layer; the deepest model has 882 linear layers to adapt

# By field, what PEFT makes of a pattern; and whether that has to fit the whole name.
_FORMS: Final[Mapping[str, tuple[str, bool]]] = {
    "target_modules": ("{}", True),
    "exclude_modules": ("{}", True),
    "feedforward_modules": ("{}", True),
    "rank_pattern": (r"(.*\.)?({})$", True),
    "alpha_pattern": (r"(.*\.)?({})$", True),
    "layers_pattern": (r"(?:^|.*?\.){}\.(?P<idx>\d+)\.", False),
    "modules_to_save": (r"(^|.*\.){}($|\..*)", False),
}
_NAMES_IN_LISTS: Final = ("target_modules", "exclude_modules", "feedforward_modules")
_MOST: Final = {
    "target_modules": _MAX_TARGETS,
    **dict.fromkeys(("modules_to_save", "layers_pattern"), _MAX_COMPILED),
}
_SIZES: Final = {"r": ("a rank", MAX_RANK), "num_virtual_tokens": ("a number", MAX_VIRTUAL_TOKENS)}
_SHOWN: Final = 60


def limit_problems(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Say what of an adapter's config is too large, or takes too long.

    Args:
        fields: The config's fields, of any kind of adapter; values of a wrong type are for others to find.

    Yields:
        The name of a field, and a sentence about it.
    """
    yield from _size_problems(fields)
    yield from pattern_problems(fields)


def _size_problems(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, (what, most) in _SIZES.items():
        value = fields.get(name)
        if isinstance(value, int) and value > most:
            yield name, f"expected {what} of at most {most:,}, found {_number(value)}."
    ranks = fields.get("rank_pattern")
    for key, rank in ranks.items() if isinstance(ranks, Mapping) else ():
        if isinstance(rank, int) and rank > MAX_RANK:
            text = f"expected ranks of at most {MAX_RANK:,}, found {_number(rank)} for {_shown(key)}."
            yield "rank_pattern", text


def pattern_problems(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """As `limit_problems`, of names of layers and patterns alone."""
    for name in (*_FORMS, "layers_to_transform"):
        yield from _list_problems(name, fields.get(name))


def _list_problems(name: str, value: object) -> Iterator[tuple[str, str]]:
    """What is wrong with a field that holds a pattern, names, or patterns as keys."""
    most = _MAX_PATTERNS if isinstance(value, Mapping) else _MOST.get(name, _MAX_NAMES)
    entries = value if isinstance(value, Collection) and not isinstance(value, str) else ()
    if len(entries) > most:
        yield name, f"expected at most {most:,} entries, found {len(entries):,}."
    elif long := next((own for own in _patterns(entries) if len(own) > _MAX_LETTERS), None):
        yield (
            name,
            f"expected names of at most {_MAX_LETTERS:,} letters, found {_shown(long)} of {len(long):,}.",
        )
    elif name in _FORMS and not (name in _NAMES_IN_LISTS and not isinstance(value, str)):
        form, whole = _FORMS[name]
        for pattern in _patterns(value):
            problem = expression_problem(pattern) or expression_problem(form.format(pattern), whole=whole)
            if problem is not None:
                yield name, f"the pattern {_shown(pattern)} is refused: {problem}. {_ADVICE}"


_ADVICE: Final = r"Write one with a single repeat, such as '.*\.(q|v)_proj', or the layers' names."


def _patterns(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [own for own in value if isinstance(own, str)] if isinstance(value, Collection) else []


def _shown(value: object) -> str:
    shown = repr(value if not isinstance(value, str) else value[: _SHOWN + 1])
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."


def _number(value: int) -> str:
    """A number as it is, or how many bits it has: one of thousands of digits is never written out."""
    return f"{value:,}" if value.bit_length() <= 128 else f"one of {value.bit_length():,} bits"
