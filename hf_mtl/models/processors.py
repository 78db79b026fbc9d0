"""Tokenizers and image processors, read from their files alone: code that lies beside them is not run."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, BaseImageProcessor, PreTrainedConfig, PreTrainedTokenizerBase

# By its own module: the name at the top level asks for torchvision until transformers 5.18.
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.auto.tokenization_auto import get_tokenizer_config, tokenizer_class_from_name
from transformers.utils.import_utils import DummyObject

from hf_mtl.errors import ConfigError, HfMtlError
from hf_mtl.hub_host import NO_ANSWER, token_stays
from hf_mtl.models.base_config import check_settings
from hf_mtl.models.base_settings import image_problems
from hf_mtl.notices import logger_of
from hf_mtl.packages import PILLOW

__all__ = ["read_image_processor", "read_tokenizer", "said"]

logger = logger_of(__name__)


def read_tokenizer(located: str | Path, *, shown: str) -> PreTrainedTokenizerBase:
    """Read the tokenizer of a folder or a Hub id.

    Args:
        located: The folder or the id.
        shown: What messages call it.

    Raises:
        ConfigError: If there is none that can be read without running its own code.
    """
    try:
        check_settings(Path(located))
        with token_stays():
            _check_class(located, shown)
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                located, trust_remote_code=False
            )
    except Exception as error:  # whatever broken files make of it; tokenizers raises no class of its own
        raise ConfigError(f"No tokenizer could be loaded from {shown!r}: {said(error)}") from error
    return tokenizer


def read_image_processor(located: str | Path, *, shown: str) -> BaseImageProcessor:
    """Read the image processor of a folder or a Hub id; arguments and errors as in `read_tokenizer`."""
    PILLOW.require(f"the image processor of {shown!r}")
    try:
        with token_stays():
            processor: BaseImageProcessor = AutoImageProcessor.from_pretrained(
                located, trust_remote_code=False
            )
        if problems := [*image_problems(processor.to_dict())]:
            raise ValueError(
                f"preprocessor_config.json: {'; '.join(problems)}. Mend the file, or save it again."
            )
    except Exception as error:  # whatever broken files make of it; tokenizers raises no class of its own
        raise ConfigError(f"No image processor could be loaded from {shown!r}: {said(error)}") from error
    return processor


def _check_class(located: str | Path, shown: str) -> None:
    """Check the class that a tokenizer's files name: `AutoTokenizer` would load a model, if it is one of a model.

    Raises:
        ValueError: If it is not the class of a tokenizer.
    """
    try:
        config = PreTrainedConfig.get_config_dict(located)[0]
    except OSError:  # a tokenizer alone
        config = {}
    name = get_tokenizer_config(located).get("tokenizer_class") or config.get("tokenizer_class")
    if name is None:
        return
    named: object = tokenizer_class_from_name(name)
    if named is None:
        logger.warning(
            "The tokenizer of %r asks for the class %r, which transformers does not have: its tokenizer.json is read "
            "as it stands. Upgrade transformers if a newer version has the class.",
            shown,
            name,
        )
    elif not isinstance(named, DummyObject) and not (
        isinstance(named, type) and issubclass(named, PreTrainedTokenizerBase)
    ):
        raise ValueError(
            f"its tokenizer_class is {name!r}, which is not a tokenizer. Name the class of the tokenizer in "
            f"tokenizer_config.json, or save it again"
        )


def said(error: Exception) -> str:
    """What an error says; where transformers offers an option that there is not here, what to do instead."""
    if "trust_remote_code" in str(error):
        return (
            "it comes with Python code of its own, which would have to be run. No code of a model is run here, and "
            "there is no trust_remote_code. Give a model of an architecture that transformers itself has."
        )
    if "ignore_mismatched_sizes" in str(error):
        return "its weights have other shapes than its config.json says, so the two do not belong together."
    plain = isinstance(error, OSError | ValueError | ImportError | HfMtlError) and not isinstance(
        error, NO_ANSWER
    )
    return str(error) if plain and str(error) else f"{type(error).__name__}: {error}"
