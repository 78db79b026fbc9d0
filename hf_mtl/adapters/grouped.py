r"""The low-rank updates of all terms as two grouped products, for GPUs, where many small kernels cost most.

.. math:: y_{[i]} \mathrel{+}= s_i \, (m_i \circ x_{[i]}) A_i^T B_i^T

`torch.nn.functional.grouped_mm` multiplies each term's rows with its own matrix in one kernel; the matrices are
stacked, ranks padded with zeros to a common multiple of 8 (16 bytes in half precision). Equal to `segment_delta`
to rounding. Tested on the CPU's fallback of the same operator; written for CUDA and not yet run there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grouped_mm, pad

from hf_mtl.adapters.segment_linear import Term

__all__ = ["grouped_delta"]

_RANK_MULTIPLE = 8


def grouped_delta(y_TO: Tensor, x_TI: Tensor, terms: Sequence[Term]) -> Tensor:
    """Return the output of a base layer plus all terms' updates.

    Args:
        y_TO: The base layer's output `[T, D_out]`; left as it is.
        x_TI: The base layer's input `[T, D_in]`, of the output's dtype; both widths are multiples of 8.
        terms: The updates; ranges may overlap or be empty.
    """
    terms = [term for term in terms if term.stop > term.start]
    if not terms:
        return y_TO
    rank = max(term.a_RI.shape[0] for term in terms)
    rank += -rank % _RANK_MULTIPLE
    a_GIR = torch.stack([pad(t.a_RI, (0, 0, 0, rank - t.a_RI.shape[0])) for t in terms]).to(x_TI.dtype).mT
    b_GRO = torch.stack([pad(t.b_OR, (0, rank - t.b_OR.shape[1])) for t in terms]).to(x_TI.dtype).mT
    lengths = torch.tensor([term.stop - term.start for term in terms], device=x_TI.device)
    ends_G = lengths.cumsum(0).to(torch.int32)
    # In fp32: a scale such as 1 / (1 - p) or a learned one would be rounded, for all tokens alike.
    scales_G = torch.tensor([term.scale for term in terms], device=x_TI.device, dtype=torch.float32)
    factors = [scales_G.new_ones(()) if t.factor is None else t.factor.to(torch.float32) for t in terms]
    scales_G = scales_G * torch.stack(factors)
    index_N = torch.cat([torch.arange(term.start, term.stop, device=x_TI.device) for term in terms])
    rows_NI = _inputs(x_TI, index_N, terms)
    # The number of rows is given, so that nothing waits for a device to count them.
    scales_N = scales_G.repeat_interleave(lengths, output_size=len(rows_NI))
    h_NR = (grouped_mm(rows_NI, a_GIR, offs=ends_G) * scales_N[:, None]).to(x_TI.dtype)
    delta_NO = grouped_mm(h_NR, b_GRO, offs=ends_G)
    return y_TO.index_add(0, index_N, delta_NO)


def _inputs(x_TI: Tensor, index_N: Tensor, terms: Sequence[Term]) -> Tensor:
    """All terms' inputs `[N, I]`, dropout applied.

    They are gathered at once: a slice per term would give each of them a gradient as large as the whole stream.
    """
    rows_NI = x_TI.index_select(0, index_N)
    if all(term.mask_LI is None for term in terms):
        return rows_NI
    masks = [
        rows_NI.new_ones(term.stop - term.start, rows_NI.shape[1]) if term.mask_LI is None else term.mask_LI
        for term in terms
    ]
    return rows_NI * torch.cat(masks)
