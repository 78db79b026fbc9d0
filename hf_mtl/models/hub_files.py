"""Files of adapters, from the Hub or from its cache on this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import list_repo_files, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is its network layer's
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_mtl.errors import CheckpointError
from hf_mtl.hub_host import NO_ANSWER, token_stays

__all__ = ["download", "exactly", "files_of"]

_NETWORK = (
    OSError,
    HTTPError,
    ValueError,
    *NO_ANSWER,
)  # what the client raises; its own errors are among them


def exactly(path: str) -> str:
    """The pattern that only one path fits."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def download(repo: str, revision: str | None, patterns: Sequence[str], *, token: str | None) -> Path:
    """Fetch some files of a repository into the Hub's cache; those that it does not have are left out.

    Args:
        repo: `user/name`.
        revision: A branch, tag or commit; None is the main branch.
        patterns: Of their paths in the repository, with "*", "?" and "[...]"; see `exactly`.
        token: For a private repository; default: that of `hf auth login`.

    Returns:
        The folder of the revision's commit in the cache, whose name is the commit.

    Raises:
        CheckpointError: If the repository or its revision does not exist or cannot be reached.
    """
    try:
        with token_stays(token):
            return Path(
                snapshot_download(repo, revision=revision, allow_patterns=list(patterns), token=token)
            )
    except _NETWORK as error:
        # Not chained: the client's errors carry their request, and that the token.
        raise CheckpointError(_refusal(error, repo, revision)) from None


def files_of(repo: str, revision: str | None, *, token: str | None) -> list[str]:
    """The paths of all files of a repository; none where the Hub cannot be reached."""
    try:
        with token_stays(token):
            return list(list_repo_files(repo, revision=revision, token=token))
    except _NETWORK:
        return []


def _refusal(error: Exception, repo: str, revision: str | None) -> str:
    """What went wrong, and what to do."""
    named = repo if revision is None else f"{repo}@{revision}"
    if isinstance(error, GatedRepoError):
        return (
            f"{named}: access is granted on request. Ask for it at https://huggingface.co/{repo}, then log in with "
            f"`hf auth login` or pass token=... ."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{named}: the Hub has no such model repository, or it is private and you have no access. Check the name; "
            f"for a private one log in with `hf auth login` or pass token=... . A folder is given as './folder'."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{named}: the repository has no branch, tag or commit {revision!r}. Look up its revisions on the Hub."
    if isinstance(error, LocalEntryNotFoundError):
        return (
            f"{named}: not in the cache of this machine, and the Hub cannot be reached (no network, or "
            f"HF_HUB_OFFLINE=1). Load it once with a network, or give a folder."
        )
    if isinstance(error, HfHubHTTPError):
        return f"{named}: the Hub answered with the status {error.response.status_code}. Try again later."
    return (
        f"{named}: the files could not be fetched ({type(error).__name__}). Check the name and the network."
    )
