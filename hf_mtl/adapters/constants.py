"""What updates compute from their weights alone, kept as long as the weights stay as they are.

A round runs many passes with the same weights, and an evaluation too. What costs as much as a pass and comes out the
same in all of them (DoRA's norms) is computed by the first one:

    >>> from hf_mtl.adapters import RoutedPass, unchanging_weights
    >>> with unchanging_weights():
    ...     first, second = RoutedPass(), RoutedPass()
    >>> first.constants is second.constants, RoutedPass().constants
    (True, None)

That weights have changed cannot be seen in them: an optimizer writes into a flat buffer, which leaves a parameter's
version as it was. So it is said, by the block's end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from torch import Tensor, nn

__all__ = ["kept_constants", "unchanging_weights"]

_KEPT: ContextVar[dict[nn.Module, Tensor] | None] = ContextVar("hf_mtl_constants", default=None)


@contextlib.contextmanager
def unchanging_weights() -> Iterator[None]:
    """Inside the `with` block, or the function that it decorates, no adapter's weights change."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def kept_constants() -> dict[nn.Module, Tensor] | None:
    """What is kept for the passes that begin here; None outside of such a block."""
    return _KEPT.get()
