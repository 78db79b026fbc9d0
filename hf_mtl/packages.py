"""The packages that only some parts need: whether they are here, and what brings them.

Whoever needs one asks before the work begins, so that none is found missing behind it.

    >>> Package("json", "json").problem("a report") is None
    True
    >>> Package("no_such_module", "hf-mtl[none]").problem("a report")
    "a report needs the package no_such_module, which is not installed: pip install 'hf-mtl[none]'"
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from hf_mtl.errors import ConfigError

__all__ = ["BITSANDBYTES", "GGUF", "MATPLOTLIB", "PILLOW", "TORCHJD", "Package"]


@dataclass(frozen=True)
class Package:
    """A package that may be missing.

    Args:
        module: What is imported.
        install: What pip is to install.
        name: What the package is called where its module is called otherwise.
        comes_along: Whether it is installed with hf_mtl, and so missing only from a broken installation.
    """

    module: str
    install: str
    name: str | None = None
    comes_along: bool = False

    def problem(self, what: str, *, quick: bool = False) -> str | None:
        """Why `what` cannot work here, with what to install; None where the package can be imported.

        It is imported, not looked for: one that is there and broken is reported as well.

        Args:
            what: What needs it.
            quick: Of a package that comes along, look whether it is there, which does not take its seconds.
        """
        package = self.module.partition(".")[0]
        if quick and self.comes_along and importlib.util.find_spec(package) is not None:
            return None
        try:
            for module in (package, self.module):
                importlib.import_module(module)
        except ImportError as error:
            absent = error.name in (package, self.module)
            why = "is not installed" if absent else f"cannot be imported ({error})"
            name = self.name or self.module
            return f"{what} needs the package {name}, which {why}: pip install '{self.install}'"
        return None

    def is_here(self) -> bool:
        """Whether it can be imported."""
        return self.problem("") is None

    def require(self, what: str) -> None:
        """Check that it can be imported.

        Raises:
            ConfigError: It cannot; the message says that `what` needs it, and what to install.
        """
        if problem := self.problem(what):
            raise ConfigError(problem)


BITSANDBYTES = Package("bitsandbytes", "hf-mtl[4bit]")
GGUF = Package("gguf", "hf-mtl[quickstart]")
MATPLOTLIB = Package("matplotlib.backends.backend_agg", "hf-mtl[plots]", "matplotlib")
PILLOW = Package("PIL", "hf-mtl[vision]", "pillow")
TORCHJD = Package("torchjd", "hf-mtl[grad]")
