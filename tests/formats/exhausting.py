"""Files and numbers that would take the machine, and what reads them."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow  # type: ignore[import-untyped]
from datasets import Dataset
from peft import PeftConfig
from PIL import Image
from pyarrow import parquet
from transformers import ViTImageProcessor

from hf_mtl import Task
from hf_mtl.data.delimited import delimited_options
from hf_mtl.data.files import read_rows
from hf_mtl.data.images import pixel_values
from hf_mtl.data.plain_rows import read_plain_rows
from hf_mtl.data.plain_text import read_texts
from hf_mtl.errors import HfMtlError
from hf_mtl.models.base import load_config
from hf_mtl.models.saved import read_header
from hf_mtl.models.saved.configs import read_config
from hf_mtl.recipe.document import parse_yaml, read_document
from hf_mtl.recipe.peft_configs import adapter_problems

Case = tuple[Callable[[Path], object], tuple[str, ...]]
"""The work on an empty folder, and parts of the message."""

DEEP = "[" * 100_000
DIGITS = "9" * 5_000
MANY = "[" + "[]," * 3_000_000 + "1]"
LONG = 10_000_000
ROWS = Dataset.from_list([{"text": "A joy.", "label": "good"}, {"text": "No.", "label": "bad"}])


def aliases(form: str) -> str:
    lines = [
        f"{new}: &{new} " + form.format(", ".join([f"*{old}"] * 10))
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(["a: &a {x: 1}", *lines])


def recipe(text: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (folder / "recipe.yaml").write_text(text)
        return read_document(folder / "recipe.yaml")

    return read


def set_to(text: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        try:
            return parse_yaml(text)
        except Exception as error:
            raise HfMtlError(str(error)) from error  # as `override` reports it

    return read


def adapter(**fields: object) -> Callable[[Path], object]:
    """An adapter of a recipe."""

    def check(folder: Path) -> None:
        found: list[str] = []
        adapter_problems(fields, lambda name, text: found.append(f"{name}: {text}"))
        if found:
            raise HfMtlError("\n".join(found))

    return check


def declared(config: PeftConfig | None = None, labels: int | None = None) -> Callable[[Path], object]:
    """A task in Python."""
    return lambda folder: Task("a", train=ROWS, kind="text-classification", adapter=config, labels=labels)


def saved(**fields: object) -> Callable[[Path], object]:
    """The config of a saved adapter."""
    return saved_text(json.dumps({"peft_type": "LORA", "r": 8, "target_modules": ["q"], **fields}))


def saved_text(text: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (folder / "adapter_config.json").write_text(text)
        return read_config(folder / "adapter_config.json", where="user/adapter")

    return read


def named(name: str, text: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
    """A file that a reader finds by its folder or its path."""

    def run(folder: Path) -> object:
        (folder / name).write_text(text)
        return read(folder)

    return run


def header(text: bytes, length: int | None = None) -> Callable[[Path], object]:
    """A file of weights with a header."""

    def read(folder: Path) -> object:
        file = folder / "adapter_model.safetensors"
        file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text)
        os.truncate(file, max(file.stat().st_size, (length or 0) + 8))
        return read_header(file, where="user/adapter")

    return read


def tensors(count: int) -> bytes:
    return json.dumps(
        {str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)}
    ).encode()


def rows(name: str, content: str | bytes) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        path = folder / name
        if path.suffix == ".csv":
            raise_if = delimited_options(path)
            return raise_if
        if path.suffix == ".txt":
            return read_texts(path)
        found = read_plain_rows(path)
        return read_rows(path) if found is None else found  # of a large file, row by row

    return read


def base(**fields: object) -> Callable[[Path], object]:
    """The configuration of a base."""
    text = json.dumps({"model_type": "bert", **fields})
    return named("config.json", text, load_config)


def picture(side: int) -> Callable[[Path], object]:
    """A PNG whose header says its size, and that holds next to nothing."""

    def read(folder: Path) -> object:
        parts = (
            (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"\0" * 1000)),
            (b"IEND", b""),
        )
        chunks = (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in parts
        )
        data = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
        return pixel_values({"bytes": data, "path": None}, ViTImageProcessor(size={"height": 8, "width": 8}))

    return read


def opened(side: int) -> Callable[[Path], object]:
    """An image that is open already."""

    def read(folder: Path) -> object:
        image = Image.new("1", (8, 8))
        image._size = (side, side)  # what an opened file says before it is read
        return pixel_values(image, ViTImageProcessor(size={"height": 8, "width": 8}))

    return read


def repeated_rows(folder: Path) -> object:
    table = pyarrow.table({"label": pyarrow.array(np.zeros(6_000_000, np.int8))})
    parquet.write_table(table, folder / "a.parquet")
    return read_rows(folder / "a.parquet")
