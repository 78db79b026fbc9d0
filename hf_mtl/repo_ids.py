"""What can be the id of a repository on the Hub, without the import of huggingface_hub.

>>> is_repo_id("stanfordnlp/imdb"), is_repo_id("rows.jsonl/../x"), is_repo_id("two words")
(True, False, False)
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_owned_id", "is_repo_id"]

_PART: Final = r"(?=\w)[\w.-]{1,96}(?<=\w)"
_ID: Final = re.compile(rf"({_PART}/)?{_PART}", re.ASCII)


def is_repo_id(text: str) -> bool:
    """Whether text can be the id of a model or a data set: `name` or `owner/name`, as `validate_repo_id` has it."""
    return (
        bool(_ID.fullmatch(text)) and not any(part in text for part in ("--", "..")) and text[-4:] != ".git"
    )


def is_owned_id(text: str) -> bool:
    """Whether text can be the id of a repository with its owner's name: `owner/name`."""
    return "/" in text and is_repo_id(text)
