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
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from hf_mtl.adapters.constants import kept_constants
from hf_mtl.adapters.virtual import VirtualTokens
from hf_mtl.errors import RoutingError

__all__ = [
    "KeysValues",
    "LayerForm",
    "PassMemory",
    "RoutedPass",
    "Span",
    "current_pass",
    "install",
    "recompute_contexts",
]


KeysValues = tuple[tuple[Tensor, Tensor], ...]
"""A prefix: each layer's keys and values, `[H_kv, n, D]` each."""


class Span(NamedTuple):
    """Tokens `start:stop` of the stream use the adapter `adapter`, its effect multiplied by `weight` and `factor`."""

    adapter: str
    start: int
    stop: int
    weight: float = 1.0
    factor: Tensor | None = None  # a learned scalar
    route: str = ""  # on whose behalf


class PassMemory(Protocol):
    """Keys and values that outlive the pass, as text is written token by token."""

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        window: int | None,
        scaling: float | None,
    ) -> Tensor | None:
        """Keep a layer's new keys and values; attend to all that are kept, where that is this pass's affair.

        Args:
            layer: The attention layer's number.
            query: `[1, H, T, D]`.
            key: `[1, H_kv, T + P, D]`, prefixes joined in.
            value: `[1, H_kv, T + P, D]`.
            window: A token sees those at a distance below this; None sees all.
            scaling: Multiplies the scores; None is `1 / sqrt(D)`.

        Returns:
            `[1, T, H, D]`, or None where the sequences attend to themselves, as without a memory.
        """


class LayerForm(Protocol):
    """Another way of computing routed layers, for passes that it was made for."""

    def output(self, layer: nn.Module, x_TI: Tensor, routed: RoutedPass) -> Tensor | None:
        """The routed layer's output `[T, D_out]`, or None where the ordinary way is to be taken."""


@dataclass(frozen=True)
class RoutedPass:
    """What routed layers and attention must know about one forward pass.

    Args:
        spans: Which adapter acts on which tokens. Spans may overlap (a stack of adapters, whose effects add);
            tokens that no span covers go through the bare base.
        lengths: The lengths of the packed sequences, in stream order; their sum is the stream's length. Empty
            for a batch that is not packed: then the base's ordinary attention is used.
        everywhere: Adapters that take every token, whatever the batch's shape (generation), as spans whose bounds
            do not count; excludes `spans`.
        dropout_keys: One integer per packed sequence that names its random stream (seed, task, step, row).
            Required where an adapter with dropout is trained.
        head: The same pass as the vocabulary head sees it: spans and lengths in labelled tokens. None if the head
            sees every token.
        prefixes: The prefix of each packed sequence, or None; empty if no sequence has one.
        virtual: The virtual tokens that stand before every row of a batch that is not packed.
        rows: For a padded batch, its number of rows; `spans` then count rows, and cover all the tokens of
            theirs in every layer, however wide its input is. 0 for any other batch.
        widths: For a padded batch, the widths of its token streams (an encoder's and a decoder's differ).
        memory: Where a packed pass keeps its keys and values; None if it keeps none.
        form: How routed layers are computed in this pass, if not the ordinary way.
        constants: What updates compute from their weights alone and need not compute again while the same dictionary is
            handed in; None if nothing is to be kept. Default: that of the `unchanging_weights` around.
    """

    spans: tuple[Span, ...] = ()
    lengths: tuple[int, ...] = ()
    everywhere: tuple[Span, ...] = ()
    dropout_keys: tuple[int, ...] = ()
    head: RoutedPass | None = None
    prefixes: tuple[KeysValues | None, ...] = ()
    virtual: VirtualTokens | None = None
    rows: int = 0
    widths: tuple[int, ...] = ()
    memory: PassMemory | None = None
    form: LayerForm | None = None
    constants: dict[nn.Module, Tensor] | None = field(default_factory=kept_constants)

    def at_head(self) -> RoutedPass:
        """What the vocabulary head must know about this pass."""
        return self.head or self

    @property
    def tokens(self) -> int:
        """The length of the packed stream."""
        return sum(self.lengths)

    def over(self, shape: Sequence[int]) -> RoutedPass:
        """This pass as a layer sees it: spans and lengths in the tokens that the layer is given.

        Args:
            shape: The leading dimensions of the layer's input; their product is the stream's length.

        Raises:
            RoutingError: If the stream at hand is not one that this pass describes.
        """
        tokens = math.prod(shape)
        if self.everywhere:
            return replace(
                self,
                spans=tuple(span._replace(start=0, stop=tokens) for span in self.everywhere),
                everywhere=(),
            )
        if self.rows:
            return self._over_rows(shape)
        if not self.lengths or tokens == self.tokens:
            return self
        if self.head is None or tokens != self.head.tokens:
            raise RoutingError(
                f"A routed layer received {tokens} tokens, but the pass in flight describes {self.tokens}. The base "
                f"model reshapes its token stream in a way that cannot be routed."
            )
        return self.head  # a layer inside a head of several layers

    def _over_rows(self, shape: Sequence[int]) -> RoutedPass:
        """The input is `[B, S, D]` with any S, or its flat form `[B * S, D]` with a known S, or `[B, D]`."""
        width, rest = divmod(math.prod(shape), self.rows)
        by_row = shape[0] == self.rows if len(shape) > 1 else width == 1 or width in self.widths
        if rest or not by_row:
            raise RoutingError(
                f"A routed layer received tokens of the shape {list(shape)}, but the pass in flight describes "
                f"{self.rows} rows of {' or '.join(map(str, self.widths)) or 'one image'}. The base model reshapes its "
                f"rows in a way that cannot be routed."
            )
        spans = tuple(span._replace(start=span.start * width, stop=span.stop * width) for span in self.spans)
        return replace(self, spans=spans, lengths=(width,) * self.rows)


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
