"""Keeps other libraries' progress bars and notices out of a command's output; their errors stay."""

from __future__ import annotations

import logging
import os

__all__ = ["be_quiet"]

# With every import of peft it says that a faster kernel for 4-bit bases could be downloaded.
_CHATTY = "bitsandbytes"


def be_quiet() -> None:
    """Switch bars and notices off for the rest of the process. Imports transformers and datasets."""
    # Read when huggingface_hub is imported, and it comes with both.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.getLogger(_CHATTY).setLevel(logging.ERROR)
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
