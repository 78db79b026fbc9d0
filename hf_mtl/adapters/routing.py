"""Which adapters the tokens of the pass in flight belong to.

A batch is sorted by route, so that each adapter owns one contiguous slice (a *span*) of the packed token
stream. The model installs a `RoutedPass` around its base's forward; every routed layer and the attention read
it from there:

    >>> from hf_mtl.adapters import RoutedPass, Span, current_pass, install
    >>> routed = RoutedPass(spans=(Span("mtl_0", 0, 12), Span("mtl_1", 12, 20)), lengths=(5, 7, 8))
    >>> with install(routed):
    ...     current_pass().tokens
    20

The pass lives in a context variable and not in an argument, because base models hand no arguments down to
their linear layers. A recomputation under gradient checkpointing happens after the forward has left this
context (on CUDA even in another thread), so `recompute_contexts` carries the pass along.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from hf_mtl.errors import RoutingError

__all__ = ["RoutedPass", "Span", "current_pass", "install", "recompute_contexts"]


class Span(NamedTuple):
    """Tokens `start:stop` of the stream use the adapter `adapter`, its effect multiplied by `weight`."""

    adapter: str
    start: int
    stop: int
    weight: float = 1.0


@dataclass(frozen=True)
class RoutedPass:
    """What routed layers and attention must know about one forward pass.

    Args:
        spans: Which adapter acts on which tokens. Spans may overlap (a stack of adapters, whose effects add);
            tokens that no span covers go through the bare base.
        lengths: The lengths of the packed sequences, in stream order; their sum is the stream's length. Empty
            for a batch that is not packed: then the base's ordinary attention is used.
        everywhere: Adapters with their weights that take every token, whatever the batch's shape (generation);
            excludes `spans`.
        dropout_keys: One integer per packed sequence that names its random stream (seed, task, step, row).
            Required where an adapter with dropout is trained.
        label_counts: Each packed sequence's number of labels: where the base runs its vocabulary head on the
            labelled tokens only, that head's layers see a stream of these lengths.
        rows: For a padded batch, its number of rows; `spans` then count rows, and cover all the tokens of
            theirs in every layer, however wide its input is. 0 for any other batch.
        widths: For a padded batch, the widths of its token streams (an encoder's and a decoder's differ).
    """

    spans: tuple[Span, ...] = ()
    lengths: tuple[int, ...] = ()
    everywhere: tuple[tuple[str, float], ...] = ()
    dropout_keys: tuple[int, ...] = ()
    label_counts: tuple[int, ...] = ()
    rows: int = 0
    widths: tuple[int, ...] = ()

    @property
    def tokens(self) -> int:
        """The length of the packed stream."""
        return sum(self.lengths)

    def spans_over(self, shape: Sequence[int]) -> tuple[Span, ...]:
        """The spans of the stream of tokens that a layer is given.

        Args:
            shape: The leading dimensions of the layer's input; their product is the stream's length.

        Raises:
            RoutingError: If the stream at hand is not one that this pass describes.
        """
        tokens = math.prod(shape)
        if self.everywhere:
            return tuple(Span(name, 0, tokens, weight) for name, weight in self.everywhere)
        if self.rows:
            return self._spans_over_rows(shape)
        if not self.lengths or tokens == self.tokens:
            return self.spans
        border = dict(zip(accumulate(self.lengths, initial=0), self._label_borders(tokens), strict=True))
        return tuple(
            Span(name, border[start], border[stop], weight) for name, start, stop, weight in self.spans
        )

    def lengths_over(self, tokens: int) -> tuple[int, ...]:
        """Each sequence's tokens in a stream of `tokens` tokens for which `spans_over` has been asked."""
        if self.rows:
            return (tokens // self.rows,) * self.rows
        return self.lengths if tokens == self.tokens else self.label_counts

    def _label_borders(self, tokens: int) -> Iterator[int]:
        if not self.label_counts or tokens != sum(self.label_counts):
            raise RoutingError(
                f"A routed layer received {tokens} tokens, but the pass in flight describes {self.tokens}. The base "
                f"model reshapes its token stream in a way that cannot be routed."
            )
        return accumulate(self.label_counts, initial=0)

    def _spans_over_rows(self, shape: Sequence[int]) -> tuple[Span, ...]:
        """Spans in tokens: of `[B, S, D]` with any S, of its flat form `[B * S, D]` with a known S, of `[B, D]`."""
        width, rest = divmod(math.prod(shape), self.rows)
        by_row = shape[0] == self.rows if len(shape) > 1 else width == 1 or width in self.widths
        if rest or not by_row:
            raise RoutingError(
                f"A routed layer received tokens of the shape {list(shape)}, but the pass in flight describes "
                f"{self.rows} rows of {' or '.join(map(str, self.widths)) or 'one image'}. The base model reshapes its "
                f"rows in a way that cannot be routed."
            )
        return tuple(
            Span(name, start * width, stop * width, weight) for name, start, stop, weight in self.spans
        )


_CURRENT: ContextVar[RoutedPass | None] = ContextVar("hf_mtl_pass", default=None)


def current_pass() -> RoutedPass:
    """Return the pass in flight.

    Raises:
        RoutingError: If none is installed. Running the base unrouted would silently ignore every adapter.
    """
    routed = _CURRENT.get()
    if routed is None:
        raise RoutingError(
            "The base model was called without a route, so it is not known which adapter its tokens belong to. Call "
            "the RoutedModel with a packed batch, or wrap the call in `with model.route('task'):` "
            "(`model.route(None)` is the bare base)."
        )
    return routed


@contextlib.contextmanager
def install(routed: RoutedPass) -> Iterator[None]:
    """Make `routed` the pass in flight inside the `with` block."""
    token = _CURRENT.set(routed)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def recompute_contexts() -> tuple[
    contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]
]:
    """The `context_fn` of `torch.utils.checkpoint`: forward as it is, recomputation under the forward's pass."""
    return contextlib.nullcontext(), install(current_pass())
