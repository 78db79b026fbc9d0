"""The Hub as a push sees it. This is the one module of the package that writes to the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    RepoFile,
    constants,
    get_session,
    get_token,
    hf_hub_url,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # offered, without `as`
    build_hf_headers,
    hf_raise_for_status,
)

from hf_mtl import __version__
from hf_mtl.errors import ConfigError, HubError
from hf_mtl.export.hub.account import Account
from hf_mtl.export.hub.files import RemoteFile, UploadFile
from hf_mtl.export.hub.retrying import GaveUpError, Retries
from hf_mtl.hub_host import NO_ANSWER, token_stays
from hf_mtl.versions import hub_errors

__all__ = ["Hub", "RepoState"]

Result = TypeVar("Result")

_TIMEOUT = 60.0  # seconds without a byte
_OFFLINE = "this process is offline; unset HF_HUB_OFFLINE"
_TOKENS = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class RepoState:
    """A repository at one commit.

    Args:
        commit: The commit.
        files: Its files by path.
        private: Whether others cannot see it.
    """

    commit: str
    files: Mapping[str, RemoteFile]
    private: bool = False


class Hub:
    """Calls of the Hub with one token, tried again where that may help, with errors that never show the token.

    Args:
        token: The token; default the one that `hf auth login` or `HF_TOKEN` left.
        retries: How often a call is tried.

    Raises:
        ConfigError: If there is no token, or it cannot be one.
    """

    def __init__(self, token: str | None = None, *, retries: Retries | None = None) -> None:
        self._token = _usable(token if token is not None else get_token())
        self._api = HfApi(token=self._token, library_name="hf_mtl", library_version=__version__)
        self._retries = retries or Retries()

    def call(self, what: str, function: Callable[[], Result]) -> Result:
        """Return the function's result; passing failures are tried again.

        Raises:
            HubError: If it failed, or failed too often; the text says what was done and what the Hub answered.
        """
        try:
            return self._retries.call(what, lambda: self._kept(function))
        except OfflineModeIsEnabled:
            problem = _OFFLINE
        except (GaveUpError, hub_errors().http, OSError, ValueError, RuntimeError) as error:
            problem = f"{error}"
        except NO_ANSWER as error:
            problem = (
                f"what answered does not speak as the Hub does ({type(error).__name__}); check HF_ENDPOINT"
            )
        # From None: the errors of the client carry the request with its headers.
        raise HubError(self._without_token(f"{what} failed: {problem}")) from None

    def _kept(self, function: Callable[[], Result]) -> Result:
        # At each attempt, for after a lost connection the client is another.
        with token_stays(self._token):
            return function()

    def _without_token(self, text: str) -> str:
        return text.replace(self._token, "<token>")

    @classmethod
    def problems(cls) -> list[str]:
        """What would keep a push from beginning, as far as it is known without asking the Hub."""
        try:
            cls()
        except ConfigError as error:
            return list(error.problems)
        return [f"the Hub cannot be asked: {_OFFLINE}."] if constants.HF_HUB_OFFLINE else []

    def url(self, repo: str) -> str:
        """Where people look at a repository."""
        return f"{self._api.endpoint}/{repo}"

    def account(self) -> Account:
        """Whose token it is.

        Raises:
            ConfigError: If the Hub does not know the token.
            HubError: If the Hub cannot be asked.
        """
        answer = self.call("Asking the Hub whose token this is", self._who)
        if answer is None:
            raise ConfigError(
                f"the Hub does not know this token: it was revoked, has expired or is incomplete. Make one that may "
                f"write at {_TOKENS}, and log in with `hf auth login --force` (or set HF_TOKEN)."
            )
        return answer

    def _who(self) -> Account | None:
        try:
            return Account.of(self._api.whoami())
        except HfHubHTTPError as error:
            if error.response.status_code == 401:
                return None
            raise

    def namespace_exists(self, name: str) -> bool:
        """Whether there is a user or an organisation of this name."""
        return self.call(f"Looking for {name!r} on the Hub", lambda: self._namespace_exists(name))

    def _namespace_exists(self, name: str) -> bool:
        for overview in (self._api.get_user_overview, self._api.get_organization_overview):
            try:
                overview(name)
            except HfHubHTTPError as error:
                if error.response.status_code != 404:
                    raise
            else:
                return True
        return False

    def state(self, repo: str, revision: str | None = None) -> RepoState | None:
        """What a repository holds; None if there is none, or none that this token may see.

        Raises:
            HubError: If it has no such revision.
        """
        return self.call(f"Reading {repo!r} on the Hub", lambda: self._state(repo, revision))

    def _state(self, repo: str, revision: str | None) -> RepoState | None:
        try:
            info = self._api.model_info(repo, revision=revision)
        except RevisionNotFoundError:
            raise ValueError(
                f"it has no branch {revision!r}; make it with `hf repo branch create {repo} {revision}`"
            ) from None
        except RepositoryNotFoundError:
            return None
        return RepoState(str(info.sha), self._files(repo, str(info.sha)), bool(info.private))

    def _files(self, repo: str, commit: str) -> dict[str, RemoteFile]:
        entries = self._api.list_repo_tree(repo, recursive=True, revision=commit)
        return {
            entry.path: RemoteFile(entry.size, entry.blob_id, None if entry.lfs is None else entry.lfs.sha256)
            for entry in entries
            if isinstance(entry, RepoFile)
        }

    def read(self, repo: str, path: str, commit: str) -> bytes:
        """The bytes of a small file."""
        return self.call(f"Reading {path!r} of {repo!r}", lambda: self._read(repo, path, commit))

    def _read(self, repo: str, path: str, commit: str) -> bytes:
        # Not by way of a file: where the process is killed, it would stay behind.
        url = hf_hub_url(repo, path, revision=commit, endpoint=self._api.endpoint)
        headers = build_hf_headers(token=self._token, library_name="hf_mtl", library_version=__version__)
        response = get_session().get(url, headers=headers, timeout=_TIMEOUT)
        hf_raise_for_status(response)
        return response.content

    def create(self, repo: str, *, private: bool | None) -> None:
        """Make a repository that is not there yet.

        Args:
            repo: `user/name`.
            private: Whether others cannot see it; None is the account's own default.
        """
        self.call(f"Making {repo!r}", lambda: self._api.create_repo(repo, private=private, exist_ok=True))

    def commit(
        self,
        repo: str,
        files: Iterable[UploadFile],
        *,
        gone: Iterable[str] = (),
        message: str,
        revision: str | None = None,
        parent: str | None = None,
    ) -> RepoState:
        """Send files and make one commit of them: all of it happens, or nothing does. Called once, see `call`.

        Args:
            repo: `user/name`.
            files: The files, in the order in which the commit lists them.
            gone: Paths that the commit deletes.
            message: The commit's message.
            revision: The branch; default the main one.
            parent: The commit that it must follow directly; if another came in between, the Hub refuses.

        Returns:
            The repository after the commit.
        """
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationDelete(path, is_folder=False) for path in gone
        ]
        operations += [CommitOperationAdd(file.path, file.content) for file in files]
        made = self._api.create_commit(
            repo, operations, commit_message=message, revision=revision, parent_commit=parent
        )
        return RepoState(made.oid, self._files(repo, made.oid))


def _usable(token: str | None) -> str:
    """The token, if it can be one. A line break in it would end up, token and all, in an error of the HTTP library."""
    if not token:
        raise ConfigError(
            f"the Hub wants a token for uploads, and none was found. Make one that may write at {_TOKENS}, and log in "
            f"with `hf auth login`, or set HF_TOKEN."
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(
            "the token holds a space, a line break or a character that no token has (it is not shown here). Copy it "
            "again, without quotes and line ends."
        )
    return token
