"""How what a package carries becomes a folder that transformers or datasets loads: one conversion a file.

A conversion is called with the folder that holds the extracted members under their bare names, and with the folder
that it is to create. It is deterministic: no clock, no global random state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from hf_mtl.data.conversions.conll2003 import convert_conll2003
from hf_mtl.data.conversions.disfl_qa import convert_disfl_qa
from hf_mtl.data.conversions.gguf import convert_gguf
from hf_mtl.data.conversions.grey_images import convert_digits, convert_mnist_5k
from hf_mtl.data.conversions.model_files import convert_model_files
from hf_mtl.data.conversions.movie_snippets import convert_movie_snippets
from hf_mtl.data.conversions.reuters_r8 import convert_reuters_r8
from hf_mtl.data.conversions.supersenses import convert_supersenses
from hf_mtl.data.conversions.vit_tiny import convert_vit_tiny

__all__ = ["CONVERSIONS"]

CONVERSIONS: Final[Mapping[str, Callable[[Path, Path], None]]] = MappingProxyType(
    {
        "conll2003": convert_conll2003,
        "digits": convert_digits,
        "disfl-qa": convert_disfl_qa,
        "gguf": convert_gguf,
        "mnist-5k": convert_mnist_5k,
        "model-files": convert_model_files,
        "movie-snippets": convert_movie_snippets,
        "reuters-r8": convert_reuters_r8,
        "supersenses": convert_supersenses,
        "vit-tiny": convert_vit_tiny,
    }
)
"""The conversions by the name that an asset's `convert` gives."""
