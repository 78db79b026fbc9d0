"""Which form of a computation is used where; the numbers are measured, and this is the only place that holds them.

    python benchmarks/layer.py            # the forms of the low-rank products beside each other

| what | where | form | since |
|---|---|---|---|
| low-rank products | fp32, fp64 | each span by itself | as fast as one adapter, at any number of spans |
| low-rank products | bf16, CPU, small span | each span by itself, in fp32 | small bf16 products cost 30 to 60 us each |
| low-rank products | bf16, CPU, other spans | each span by itself, in bf16 | the matrix unit pays off |
| low-rank products | bf16, CUDA 9.0 and 10.0 | `grouped_mm` over all spans | few kernels; not yet run on a GPU |
| low-rank products | other dtypes and GPUs | each span by itself | `grouped_mm` waits for the device there |
| sums over a span's tokens | fp32, CPU, from 128 tokens | `(h^T g)^T` for `g^T h` | about half the time |
| low-rank products | one token a sequence | one product of the joint rank (`stacked`) | calls outweigh arithmetic |
| attention | half precision, CPU, up to 512 tokens | in fp32 | the bf16 backward is 2 to 5 times slower |
| attention | half precision, CUDA from 8.0 | `varlen_attn` over all sequences | one kernel; not yet run on a GPU |
| attention | all else | each sequence by itself | |

A device's compute capability is an argument, so what each GPU would run can be asked on a machine without one:

    >>> hopper, ampere = (9, 0), (8, 0)
    >>> uses_grouped_mm(torch.bfloat16, hopper, 576, 1536), uses_grouped_mm(torch.bfloat16, ampere, 576, 1536)
    (True, False)

A span's form in training follows from its own size, the layer and the device, never from its neighbours: so a task's
arithmetic stays its own. The exception is `grouped_mm`, a kernel over all spans, which is equal to rounding.

Two forms are left out of training. Masked rank concatenation (`x A_all^T`, a mask, `B_all^T`) was slower at 64 spans,
and its sums run over all tokens, so that one task's NaN would reach every other task's gradient (`0 * NaN`).
`grouped_mm` on the CPU loops over the same products and needs the matrices stacked first.
"""

from __future__ import annotations

import functools

import torch

__all__ = [
    "Capability",
    "attends_by_varlen",
    "attends_in_fp32",
    "capability_of",
    "groups_on",
    "multiplies_in_fp32",
    "narrow_first",
    "stacks",
    "uses_grouped_mm",
]

Capability = tuple[int, int] | None
"""A GPU's compute capability, as `(major, minor)`; None of other devices."""

# Where `grouped_mm` is one kernel; on other GPUs torch copies the groups' ends to the host and loops.
_GROUPED_CAPABILITIES = ((9, 0), (10, 0))

# Flash attention needs Ampere.
_VARLEN_CAPABILITY = (8, 0)

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


@functools.cache
def capability_of(device: torch.device) -> Capability:
    """The device's compute capability."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def groups_on(dtype: torch.dtype, capability: Capability) -> bool:
    """Whether a device computes all spans of a layer by one grouped product, where the layer's widths allow it."""
    return dtype == torch.bfloat16 and capability in _GROUPED_CAPABILITIES


def uses_grouped_mm(dtype: torch.dtype, capability: Capability, d_in: int, d_out: int) -> bool:
    """Whether all spans of a layer are computed by one grouped product, which wants rows of whole 16 bytes."""
    return groups_on(dtype, capability) and d_in % 8 == 0 and d_out % 8 == 0


def attends_by_varlen(dtype: torch.dtype, capability: Capability) -> bool:
    """Whether all sequences of a stream are attended by one kernel (flash attention of variable lengths)."""
    halved = dtype in (torch.float16, torch.bfloat16)
    return halved and capability is not None and capability >= _VARLEN_CAPABILITY


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
