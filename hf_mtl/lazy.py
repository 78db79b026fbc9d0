"""Public names of a package that are loaded at first use: torch and the like come with what computes, and only then.

A package's `__init__` lists such names by the module that they are in, imports them for type checkers under
`TYPE_CHECKING`, and leaves the rest to the package's own hook (PEP 562):

    __getattr__ = lazy_names(__name__, {"packing": "PackedBatch pack", "padding": "PaddedBatch pad"})
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping

__all__ = ["lazy_names"]


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package.

    No name may be that of a module of the package: importing the module would put it in the name's place.

    Args:
        package: The package's `__name__`.
        homes: By module of the package, the names that are loaded from it, with blanks between them.

    Example:
        >>> lazy_names("shelf", {"books": "Novel Diary"})("Letter")
        Traceback (most recent call last):
        AttributeError: module 'shelf' has no attribute 'Letter'
    """
    modules = {name: f"{package}.{module}" for module, names in homes.items() for name in names.split()}

    def load(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(modules[name]), name)
        vars(sys.modules[package])[name] = value  # the next use finds it without this function
        return value

    return load
