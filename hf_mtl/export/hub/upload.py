"""One repository brought up to date: what the Hub has already is not sent again, and all the rest is one commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hf_mtl.errors import HubError, listing
from hf_mtl.export.hub.client import Hub, RepoState
from hf_mtl.export.hub.files import UploadFile, differing

__all__ = ["Change", "PushedRepo", "bring_up_to_date", "folder_change"]


@dataclass(frozen=True)
class PushedRepo:
    """A repository after a push.

    Args:
        repo: `user/name`.
        url: Where people look at it.
        commit: The commit that holds what was pushed.
        sent: The paths that were sent; none if the Hub had everything.
        size: How many bytes those have.
    """

    repo: str
    url: str
    commit: str
    sent: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True)
class Change:
    """What a repository is to become.

    Args:
        files: The files that it must hold.
        message: Of the commit, if one is needed.
        only: A folder of it that holds nothing but those files; whatever else is there goes.
        revision: The branch; default the main one.
    """

    files: tuple[UploadFile, ...]
    message: str
    only: str | None = None
    revision: str | None = None

    def gone(self, paths: Iterable[str]) -> list[str]:
        """The paths that must go."""
        kept = {file.path for file in self.files}
        return [p for p in paths if self.only and p.startswith(f"{self.only}/") and p not in kept]


def folder_change(
    folder: Path, paths: Iterable[str], target: str, message: str, revision: str | None
) -> Change:
    """Put some files of a folder into a folder of a repository, in the place of all that is there."""
    files = tuple(UploadFile(f"{target}/{path}", folder / path) for path in paths)
    return Change(files, message, only=target, revision=revision)


def bring_up_to_date(hub: Hub, repo: str, change: Change, *, known: RepoState | None = None) -> PushedRepo:
    """Make a repository that exists hold what it must.

    Args:
        hub: The Hub.
        repo: `user/name`.
        change: What it must hold.
        known: What it holds, as far as it was looked at a moment ago.

    Raises:
        HubError: If that failed. The repository is then as it was before, or as it should be.
    """
    states = [known] if known is not None else []

    def attempt() -> PushedRepo:
        # After a failure it is looked at again: an answer may be lost of a commit that was made.
        state = states.pop() if states else _existing(hub, repo, change.revision)
        changed, gone = differing(change.files, state.files), change.gone(state.files)
        if not changed and not gone:
            return PushedRepo(repo, hub.url(repo), state.commit)
        made = hub.commit(
            repo, changed, gone=gone, message=change.message, revision=change.revision, parent=state.commit
        )
        _check_arrived(repo, change, made)
        sent = tuple(file.path for file in changed)
        return PushedRepo(repo, hub.url(repo), made.commit, sent, sum(file.size for file in changed))

    return hub.call(f"Uploading to {repo!r}", attempt)


def _existing(hub: Hub, repo: str, revision: str | None) -> RepoState:
    state = hub.state(repo, revision)
    if state is None:
        raise HubError(f"{repo!r} is no longer on the Hub, or this token may not see it.")
    return state


def _check_arrived(repo: str, change: Change, state: RepoState) -> None:
    if missing := [file.path for file in differing(change.files, state.files)]:
        raise HubError(
            f"The Hub made the commit {state.commit} of {repo!r}, but holds other bytes of {listing(missing)}. No "
            f"manifest names it; push again."
        )
