"""Which form of a computation is used where; the numbers are measured, and this is the only place that holds them.

    python benchmarks/layer.py            # the forms of the low-rank products beside each other

| what | where | form | since |
|---|---|---|---|
| low-rank products | fp32, fp64 | each span by itself | as fast as one adapter, at any number of spans |
| low-rank products | bf16, CPU, small span | each span by itself, in fp32 | small bf16 products cost 30 to 60 us each |
| low-rank products | bf16, CPU, other spans | each span by itself, in bf16 | the matrix unit pays off |
| low-rank products | bf16, CUDA | `grouped_mm` over all spans | few kernels; written, not yet run on a GPU |
| sums over a span's tokens | fp32, CPU, from 128 tokens | `(h^T g)^T` for `g^T h` | about half the time |
| low-rank products | one token a sequence | one product of the joint rank (`stacked`) | calls outweigh arithmetic |
| attention | half precision, CPU, up to 512 tokens | in fp32 | the bf16 backward is 2 to 5 times slower |

A span's form in training follows from its own size, the layer and the device, never from its neighbours: so a task's
arithmetic stays its own. The exception is `grouped_mm`, a kernel over all spans, which is equal to rounding.

Two forms are left out of training. Masked rank concatenation (`x A_all^T`, a mask, `B_all^T`) was slower at 64 spans,
and its sums run over all tokens, so that one task's NaN would reach every other task's gradient (`0 * NaN`).
`grouped_mm` on the CPU loops over the same products and needs the matrices stacked first.
"""

from __future__ import annotations

import torch

__all__ = ["attends_in_fp32", "multiplies_in_fp32", "narrow_first", "stacks", "uses_grouped_mm"]

# A span's input and output elements, `L * (D_in + D_out)`, up to which fp32 products are faster on a CPU.
# Break-even at 128 tokens for 576 x 576, at 80 for 1536 x 576, at 40 for 2048 x 2048 (rank 8, a CPU with AMX).
_CPU_FP32_ELEMENTS = 140_000

# Tokens of a span from which fp32 `g^T h` is faster as `(h^T g)^T` on a CPU: 30 against 54 us at 160 tokens and
# 576 features, 91 against 212 at 1,536. Below, the transposed result costs more where it is added up.
_CPU_NARROW_FIRST = 128

# The longest sequence whose bf16 attention is faster by way of fp32 on a CPU.
_CPU_FP32_LENGTH = 512

# Multiply-adds of a CPU core in the time that one span's own two products cost beyond their arithmetic.
_CPU_SPAN_OVERHEAD = 1_100_000


def _is_half(dtype: torch.dtype) -> bool:
    return dtype.itemsize < 4


def multiplies_in_fp32(dtype: torch.dtype, device: str, length: int, width: int) -> bool:
    """Whether the low-rank products of a span of activations are made in fp32.

    Args:
        dtype: Of the activations.
        device: Its type, as in `torch.device`.
        length: The span's tokens.
        width: `D_in + D_out` of the layer.
    """
    return device == "cpu" and _is_half(dtype) and length * width <= _CPU_FP32_ELEMENTS


def narrow_first(dtype: torch.dtype, device: str, length: int) -> bool:
    """Whether the sum over a span's tokens `g^T h` is computed as `(h^T g)^T`."""
    return device == "cpu" and dtype == torch.float32 and length >= _CPU_NARROW_FIRST


def uses_grouped_mm(dtype: torch.dtype, device: str, d_in: int, d_out: int) -> bool:
    """Whether all spans of a layer are computed by one grouped product, which wants rows of whole 16 bytes."""
    return device == "cuda" and dtype == torch.bfloat16 and d_in % 8 == 0 and d_out % 8 == 0


def stacks(device: str, tokens: int, ranks: tuple[int, ...], width: int) -> bool:
    """Whether the low-rank products of all spans are made as one, of the joint rank, where most of it is masked out.

    Args:
        device: Its type, as in `torch.device`.
        tokens: Of the pass.
        ranks: Of the LoRAs.
        width: `D_in + D_out` of the layer.
    """
    wasted = tokens * (sum(ranks) - sum(ranks) // max(len(ranks), 1)) * width
    return device != "cpu" or wasted <= len(ranks) * _CPU_SPAN_OVERHEAD


def attends_in_fp32(dtype: torch.dtype, device: str, length: int) -> bool:
    """Whether a sequence of `length` tokens is attended in fp32."""
    return device == "cpu" and _is_half(dtype) and length <= _CPU_FP32_LENGTH
