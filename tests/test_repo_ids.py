"""What we take for the id of a repository, held against huggingface_hub's own check."""

from __future__ import annotations

from itertools import product

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # offered, without `as`

from hf_mtl.repo_ids import is_repo_id

LETTERS = "aB0-_./: @\\"
LONG = "x" * 96
IDS = [
    "gpt2", "nyu-mll/glue", "a.b/c.d", "_a/_b_", f"{LONG}/{LONG}", f"{LONG}x", f"a/{LONG}x", "a/b.git", "b.git/a",
    "a/b.gitx", ".git", "a/b/c", "datasets/a/b", "a//b", "/a", "a/", "https://huggingface.co/a/b", "a/b@main", "a/b:c",
    "~/a", "%2e%2e/a", "a/b?x", "a/b#x", "C:\\a", "a--b/c", "a/b..c", "a/b\0", "a\tb", "'a'", "<script>", "hf://a/b",
]  # fmt: skip


def _client_takes(text: str) -> bool:
    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def test_the_clients_rule() -> None:
    short = ("".join(letters) for length in range(5) for letters in product(LETTERS, repeat=length))
    differing = [text for text in (*short, *IDS) if is_repo_id(text) != _client_takes(text)]
    assert not differing, differing[:20]


@pytest.mark.parametrize("text", ["a/b\n", "a/b\r\n", "\na/b", "a\n/b", "café/b", "a/文件", "a/\u0663"])
def test_what_older_clients_take_and_the_hub_does_not(text: str) -> None:
    assert not is_repo_id(text)
