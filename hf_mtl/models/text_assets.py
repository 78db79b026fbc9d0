"""The text bases among the assets, read without torch.

`AutoConfig` and `AutoTokenizer` import torch, which takes longer than all else that a check of some rows does. The
folder of an asset is our own, written and verified as a whole (`hf_mtl.data.assets`): its configuration can be taken
as it stands, and its tokenizer by the class that it names. Of any other base transformers itself says both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hf_mtl.bounded_json import read_json
from hf_mtl.data.assets import ASSET_PREFIX, ASSETS, resolve_asset
from hf_mtl.models.architectures import ARCHITECTURES, PACKABLE
from hf_mtl.models.base_facts import BaseFacts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["load_text_asset"]

_CLASSES: Final = ("BertTokenizer", "TokenizersBackend")
"""Classes that `AutoTokenizer` takes where the tokenizer's own file names them."""


def load_text_asset(source: str) -> tuple[BaseFacts, PreTrainedTokenizerBase] | None:
    """What the configuration of an asset says, and its tokenizer; None of all other bases.

    Args:
        source: A Hub id, a folder or `asset:NAME`.
    """
    name = source.removeprefix(ASSET_PREFIX)
    if name == source or name not in ASSETS or ASSETS[name].kind != "model":
        return None
    try:
        return _read(resolve_asset(name))
    except (OSError, ValueError, KeyError):
        return None  # transformers reads the same files next, and says what is wrong with them


def _read(folder: Path) -> tuple[BaseFacts, PreTrainedTokenizerBase] | None:
    config = read_json(folder / "config.json")
    if config["model_type"] not in PACKABLE:
        return None
    named = read_json(folder / "tokenizer_config.json")["tokenizer_class"]
    if named not in _CLASSES:
        return None
    import transformers

    writes = ARCHITECTURES[config["model_type"]].masked_lm_head is None
    tokenizer: PreTrainedTokenizerBase = getattr(transformers, named).from_pretrained(str(folder))
    return BaseFacts.of(config, images=False, writes=writes), tokenizer
