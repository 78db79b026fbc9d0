"""What the test server keeps: repositories with branches and commits, large files, and who may write where."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

LARGE = (
    ".safetensors",
    ".bin",
    ".pt",
    ".png",
)  # what the Hub's own .gitattributes send to large file storage
LARGE_SIZE = 10_000_000
ATTRIBUTES = b"".join(b"*%s filter=lfs diff=lfs merge=lfs -text\n" % suffix.encode() for suffix in LARGE)


@dataclass(frozen=True)
class Blob:
    """A file's bytes."""

    content: bytes
    large: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @property
    def oid(self) -> str:
        """Git's name of what git itself keeps."""
        kept = self.pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(kept) + kept).hexdigest()


@dataclass(frozen=True)
class Commit:
    sha: str
    files: dict[str, Blob]
    message: str = "initial commit"

    def followed_by(self, files: dict[str, Blob], message: str) -> Commit:
        text = self.sha + message + "".join(f"{path} {blob.oid}\n" for path, blob in sorted(files.items()))
        return Commit(hashlib.sha1(text.encode()).hexdigest(), files, message)


@dataclass
class Repo:
    """A repository; the first commit is the Hub's own."""

    private: bool = False
    gated: bool = False  # anybody sees what there is, and only those who were let in get it
    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = Commit("0" * 40, {}).followed_by({".gitattributes": Blob(ATTRIBUTES)}, "initial commit")
        self.commits.append(first)
        self.branches["main"] = first.sha

    def at(self, revision: str) -> Commit | None:
        sha = self.branches.get("main" if revision == "HEAD" else revision, revision)
        return next((commit for commit in self.commits if commit.sha == sha), None)

    def add(self, branch: str, files: dict[str, Blob], message: str) -> Commit:
        before = self.at(branch)
        assert before is not None
        commit = before.followed_by(files, message)
        self.commits.append(commit)
        self.branches[branch] = commit.sha
        return commit


@dataclass(frozen=True)
class Token:
    """Who has a token, and what it may do."""

    user: str
    role: str = "write"
    writable: tuple[str, ...] = ()  # of a fine-grained one

    def may_write(self, repo: str, organisations: dict[str, str]) -> bool:
        namespace = repo.split("/")[0]
        own = namespace == self.user or organisations.get(namespace) in ("admin", "write", "contributor")
        named = namespace in self.writable or repo in self.writable
        return own and (self.role == "write" or (self.role == "fineGrained" and named))

    def whoami(self, organisations: dict[str, str]) -> dict[str, object]:
        token: dict[str, object] = {"displayName": "a token", "role": self.role}
        if self.role == "fineGrained":
            scoped = [
                {
                    "entity": {"_id": name, "type": "user", "name": name},
                    "permissions": ["repo.content.read", "repo.write"],
                }
                for name in self.writable
            ] or [{"entity": {"type": "user", "name": self.user}, "permissions": ["repo.content.read"]}]
            token["fineGrained"] = {"canReadGatedRepos": True, "global": [], "scoped": scoped}
        return {
            "type": "user",
            "id": "1",
            "name": self.user,
            "fullname": self.user.title(),
            "orgs": [
                {"type": "org", "name": name, "roleInOrg": role} for name, role in organisations.items()
            ],
            "auth": {"type": "access_token", "accessToken": token},
        }


WRITER, READER = "hf_WriterSecretAAAAAAAAAAAAAAAA", "hf_ReaderSecretBBBBBBBBBBBBBBBB"
FINE_READER, FINE_WRITER = "hf_FineReadSecretCCCCCCCCCCCCCC", "hf_FineWriteSecretDDDDDDDDDDDDD"
TOKENS = {
    WRITER: Token("ada"),
    READER: Token("ada", "read"),
    FINE_READER: Token("ada", "fineGrained"),
    FINE_WRITER: Token("ada", "fineGrained", ("bell-labs",)),
}
ORGANISATIONS = {"bell-labs": "write", "museum": "read"}  # ada's
STRANGERS = ("grace",)
