"""Keys and values of the rows that are being written: compact, and found by the attention through the pass in flight.

Each layer has `[rows, H_kv, columns, D]` of keys and of values. A row's columns are its positions, virtual tokens
included; its first `length` columns are in use. Rows are compact: where one leaves, the last one moves in. Storage
grows by doubling and is given back when no row is left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["KeyValueCache"]


class KeyValueCache:
    """The keys and values of all layers.

    Args:
        device: Where they live.

    Attributes:
        lengths: Of each row, how many columns are in use.
    """

    def __init__(self, device: torch.device) -> None:
        self.lengths: list[int] = []
        self._device = device
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def begin(self, lengths: Sequence[int]) -> _Beginning:
        """What a pass over new sequences keeps its keys and values in.

        Args:
            lengths: Of each new row, in the stream's order, how many columns the pass fills.
        """
        first = len(self.lengths)
        self.lengths += lengths
        counts = torch.tensor(lengths)
        rows = torch.arange(first, first + len(lengths)).repeat_interleave(counts)
        columns = torch.cat([torch.arange(n) for n in lengths])
        return _Beginning(self, first, rows.to(self._device), columns.to(self._device))

    def advance(self, order: Sequence[int]) -> _Step:
        """What a pass over one further token of each row attends to.

        Args:
            order: The row of each token of the stream.
        """
        columns = [self.lengths[row] for row in order]
        self.lengths = [length + 1 for length in self.lengths]
        return _Step(self, order, torch.tensor(columns, device=self._device))

    def remove(self, gone: Collection[int]) -> list[int]:
        """Let rows go.

        Returns:
            Which rows stay, in their new order.
        """
        count = len(self.lengths) - len(gone)
        late = [row for row in range(count, len(self.lengths)) if row not in gone]
        moved = dict(zip((row for row in range(count) if row in gone), late, strict=True))
        kept = [moved.get(row, row) for row in range(count)]
        if not kept:
            self._layers.clear()
        elif moved:
            targets, sources = (
                torch.tensor(list(x), device=self._device) for x in (moved.keys(), moved.values())
            )
            for layer in self._layers.values():
                for stored in layer:
                    stored[targets] = stored[sources]
        self.lengths = [self.lengths[row] for row in kept]
        return kept

    def stored(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's keys and values, with room for all rows and their lengths.

        Args:
            layer: Its number.
            key: Such as are to be kept, `[1, H_kv, T, D]`; they say heads, width and dtype.
            value: Such as are to be kept.
        """
        found = self._layers.get(layer)
        rows, columns = len(self.lengths), max(self.lengths)
        if found is None or found[0].shape[0] < rows or found[0].shape[2] < columns:
            found = _grown(found, key, rows, columns, 0), _grown(found, value, rows, columns, 1)
            self._layers[layer] = found
        return found


def _grown(found: tuple[Tensor, Tensor] | None, like: Tensor, rows: int, columns: int, which: int) -> Tensor:
    """Zeros, since what is masked out is multiplied by 0 and must be finite, with the old content in front."""
    heads, width = like.shape[1], like.shape[3]
    if found is None:
        return like.new_zeros(rows, heads, columns + 16, width)
    old = found[which]
    rows = old.shape[0] if old.shape[0] >= rows else max(rows, 2 * old.shape[0])
    columns = old.shape[2] if old.shape[2] >= columns else max(columns, 2 * old.shape[2])
    grown = like.new_zeros(rows, heads, columns, width)
    grown[: old.shape[0], :, : old.shape[2]] = old
    return grown


class _Beginning:
    """Keeps what new sequences have; they attend to themselves, as without a cache."""

    def __init__(self, cache: KeyValueCache, first: int, rows_T: Tensor, columns_T: Tensor) -> None:
        self._cache, self._first, self._rows_T, self._columns_T = cache, first, rows_T, columns_T

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        window: int | None,
        scaling: float | None,
    ) -> None:
        """See `PassMemory`."""
        for stored, new in zip(self._cache.stored(layer, key, value), (key, value), strict=True):
            stored[
                self._first : len(self._cache.lengths)
            ].zero_()  # a former row's NaN would show through a mask
            stored[self._rows_T, :, self._columns_T] = new[0].transpose(0, 1)


class _Step:
    """One further token of each row, which attends to all that the row has.

    The queries of the heads that share keys and values stand in one matrix, so that those need not be repeated.
    """

    def __init__(self, cache: KeyValueCache, order: Sequence[int], columns_N: Tensor) -> None:
        self._cache = cache
        self._columns_N = columns_N
        self._rows_N = torch.tensor(order, device=columns_N.device)
        inverse = sorted(range(len(order)), key=order.__getitem__)
        self._inverse_N = None if inverse == list(range(len(order))) else columns_N.new_tensor(inverse)
        self._reach: dict[int | None, tuple[int, Tensor | None]] = {}

    def attend(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        window: int | None,
        scaling: float | None,
    ) -> Tensor:
        """See `PassMemory`; `[1, N, H, D]`."""
        keys, values = self._cache.stored(layer, key, value)
        keys[self._rows_N, :, self._columns_N] = key[0].transpose(0, 1)
        values[self._rows_N, :, self._columns_N] = value[0].transpose(0, 1)
        _, heads, count, width = query.shape
        query_NHD = query[0].transpose(0, 1)
        if self._inverse_N is not None:
            query_NHD = query_NHD[self._inverse_N]
        first, mask = self._seen(window, query.dtype)
        seen = slice(first, max(self._cache.lengths))
        attended = scaled_dot_product_attention(
            query_NHD.reshape(count, key.shape[1], -1, width),
            keys[:count, :, seen],
            values[:count, :, seen],
            attn_mask=mask,
            scale=scaling,
        ).reshape(count, heads, width)
        return (attended if self._inverse_N is None else attended[self._rows_N]).unsqueeze(0)

    def _seen(self, window: int | None, dtype: torch.dtype) -> tuple[int, Tensor | None]:
        """The first column that a row sees, and what is added to the scores, `[N, 1, 1, L]`; shared by layers."""
        if window not in self._reach:
            ends = torch.tensor(self._cache.lengths)
            starts = torch.zeros_like(ends) if window is None else (ends - window).clamp(min=0)
            first, last = int(starts.min()), int(ends.max())
            column = torch.arange(first, last)
            hidden = (column >= ends[:, None]) | (column < starts[:, None])
            mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
            shaped = mask[:, None, None].to(self._columns_N.device) if hidden.any() else None
            self._reach[window] = first, shaped
        return self._reach[window]
