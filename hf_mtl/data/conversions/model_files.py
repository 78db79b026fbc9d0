"""Plain files of a model that transformers loads as they are."""

from __future__ import annotations

from pathlib import Path

__all__ = ["convert_model_files"]


def convert_model_files(source: Path, folder: Path) -> None:
    """Take the files over; nothing is rewritten."""
    source.rename(folder)
