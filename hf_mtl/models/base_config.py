"""The configuration of a base, read after its files have been looked at."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig
from transformers.utils.hub import cached_file

from hf_mtl.models.base_settings import CONFIG_FILE, settings_problems

__all__ = ["check_settings", "read_base_config"]


def read_base_config(located: str, **pinned: str | None) -> PreTrainedConfig:
    """Read a base's configuration.

    Args:
        located: A folder or a Hub id.
        pinned: The revision and the token, as transformers takes them.

    Raises:
        OSError: If there is none.
        ValueError: If it, or a file beside it, cannot be read or has values that no base has.
    """
    folder = Path(located)
    if not folder.is_dir():
        folder = Path(str(cached_file(located, CONFIG_FILE, **pinned))).parent
    check_settings(folder)
    config: PreTrainedConfig = AutoConfig.from_pretrained(located, trust_remote_code=False, **pinned)
    return config


def check_settings(folder: Path) -> None:
    """Check the files of settings in a folder, those that are there.

    Raises:
        ValueError: With all that is wrong with them.
    """
    if problems := settings_problems(folder):
        raise ValueError("; ".join(problems) + ". Download or save the model again, or mend the file.")
