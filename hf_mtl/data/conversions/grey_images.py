"""Handwritten digits as grey images, out of tables with a pixel a column and the label last.

MNIST: Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998; 500 images of each class. The
digits of 8 x 8 pixels: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np
from datasets import ClassLabel, Features, Image

from hf_mtl.data.conversions.splits import order_key, save_splits

__all__ = ["convert_digits", "convert_mnist_5k"]

_FEATURES: Final = Features(
    {"image": Image(), "label": ClassLabel(names=[str(digit) for digit in range(10)])}
)
_TEST_SHARE: Final = 0.2


def convert_mnist_5k(source: Path, folder: Path) -> None:
    """Save train and test, 400 and 100 images of each class."""
    _convert(source / "mnist_5k.csv.gz", folder, brightest=255)


def convert_digits(source: Path, folder: Path) -> None:
    """Save train and test; of each class a fifth is for the test. The 17 greys are spread over 0 to 255."""
    _convert(source / "digits.csv.gz", folder, brightest=16)


def _convert(table: Path, folder: Path, *, brightest: int) -> None:
    from PIL import Image as Pictures

    values = np.loadtxt(table, delimiter=",")
    side = round((values.shape[1] - 1) ** 0.5)
    greys = np.rint(values[:, :-1] * (255 / brightest)).astype(np.uint8).reshape(-1, side, side)
    by_label: dict[int, list[int]] = defaultdict(list)
    order = sorted(range(len(greys)), key=lambda row: order_key(greys[row].tobytes()))
    for row in order:
        by_label[int(values[row, -1])].append(row)
    test = {row for rows in by_label.values() for row in rows[: round(len(rows) * _TEST_SHARE)]}
    made = {row: {"image": Pictures.fromarray(greys[row]), "label": int(values[row, -1])} for row in order}
    splits = {
        "train": [made[row] for row in order if row not in test],
        "test": [made[row] for row in order if row in test],
    }
    save_splits(splits, _FEATURES, folder)
