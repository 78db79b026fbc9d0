"""The header of a safetensors file, read and checked before a single weight is.

A file is 8 bytes (the header's length, little-endian), the header (JSON: dtype, shape and place of each tensor), and
the tensors' bytes. What the header declares must be exactly what the file holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hf_mtl.bounded_json import JsonLimitError, parse_json
from hf_mtl.errors import CheckpointError, listing

__all__ = ["TensorEntry", "read_header"]

_MAX_HEADER = 100 * 1024 * 1024  # bytes; the limit of the format's own readers
_MAX_READ = 16 * 1024 * 1024  # bytes; a LoRA on all experts of the largest models takes half of it
_MAX_TENSORS = 100_000
_MAX_SIDES, _MAX_SIDE = 8, 2**40
_FLOATS = MappingProxyType({"F64": 8, "F32": 4, "F16": 2, "BF16": 2})  # bytes of an element


@dataclass(frozen=True)
class TensorEntry:
    """One tensor, as declared."""

    dtype: str
    shape: tuple[int, ...]


def read_header(file: Path, *, where: str) -> dict[str, TensorEntry]:
    """Read what a file declares.

    Args:
        file: A safetensors file.
        where: What messages call it.

    Raises:
        CheckpointError: If it is no such file, is cut off or holds more than it declares, or a tensor is not one of
            floating-point numbers.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= min(_MAX_HEADER, size - 8):
            _refuse_pickle(start, file.name, where)
            raise _unreadable(
                where, f"{file.name} declares a header of {length} bytes, and is {size} bytes long"
            )
        if length > _MAX_READ:
            raise CheckpointError(
                f"{where}: the header of {file.name} has {length:,} bytes; at most {_MAX_READ:,} are read, which "
                f"name more tensors than any adapter has."
            )
        raw = stream.read(length)
    tensors = raw.count(b'"data_offsets"')
    if tensors > _MAX_TENSORS:
        raise CheckpointError(
            f"{where}: {file.name} declares {tensors:,} tensors; expected at most {_MAX_TENSORS:,}."
        )
    try:
        content = parse_json(raw)
        content.pop("__metadata__", None)
        entries = {name: _entry(own) for name, own in content.items()}
        ends = [(int(own["data_offsets"][0]), int(own["data_offsets"][1])) for own in content.values()]
    except JsonLimitError as error:
        raise _unreadable(where, f"in the header of {file.name}, {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise _unreadable(
            where, f"the header of {file.name} is not one of safetensors ({type(error).__name__})"
        ) from error
    _check_entries(entries, where)
    _check_places(entries, ends, size - 8 - length, where)
    return entries


def _refuse_pickle(start: bytes, name: str, where: str) -> None:
    """Say what the file is, where it begins like a pickle, or like the archive that torch puts one into."""
    if start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        raise CheckpointError(
            f"{where}: {name} is a pickle by its content, whatever its name. Reading a pickle can run any code that "
            f"its author put into it, so it is refused."
        )


def _unreadable(where: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: the adapter cannot be read: {reason}; it is cut off or damaged. Fetch or save it again."
    )


def _entry(own: dict[str, Any]) -> TensorEntry:  # Any: plain JSON
    shape = own["shape"]
    if not isinstance(shape, list) or len(shape) > _MAX_SIDES:
        raise ValueError("a shape is not one")
    if any(type(side) is not int or not 0 <= side <= _MAX_SIDE for side in shape):
        raise ValueError("a shape is not one")
    return TensorEntry(str(own["dtype"]), tuple(shape))


def _check_entries(entries: dict[str, TensorEntry], where: str) -> None:
    if not entries:
        raise CheckpointError(f"{where}: the file of weights holds no tensor. Save the adapter again.")
    odd = [f"{key:.200} ({entry.dtype:.20})" for key, entry in entries.items() if entry.dtype not in _FLOATS][
        :10
    ]
    if odd:
        raise CheckpointError(
            f"{where}: an adapter's weights are floating-point numbers ({listing(_FLOATS)}); found {listing(odd)}."
        )


def _check_places(
    entries: dict[str, TensorEntry], ends: list[tuple[int, int]], room: int, where: str
) -> None:
    """Each tensor has the bytes that its shape takes, and together they fill the file."""
    for (key, entry), (first, last) in zip(entries.items(), ends, strict=True):
        needed = math.prod(entry.shape) * _FLOATS[entry.dtype]
        if needed != last - first:
            raise _unreadable(
                where, f"{key} declares the shape {list(entry.shape)}, {needed} bytes, and has {last - first}"
            )
    borders = sorted(ends)
    if borders[0][0] != 0 or any(first[1] != second[0] for first, second in pairwise(borders)):
        raise _unreadable(where, "its tensors overlap or leave gaps")
    if borders[-1][1] != room:
        raise _unreadable(
            where,
            f"its tensors are declared to take {borders[-1][1]} bytes, and the file has {room} for them",
        )
