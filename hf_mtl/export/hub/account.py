"""Whose token it is, and where it may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Account"]

WRITE = "repo.write"  # the permission of a fine-grained token
READERS = ("read", "no_access")  # roles in an organisation


@dataclass(frozen=True)
class Account:
    """The owner of a token, and what the token allows.

    Args:
        user: The user's name.
        organisations: The user's role in each of their organisations; None where the Hub does not tell it.
        role: The token's: "read", "write", "fineGrained", or None where the Hub does not tell it.
        writable: With a fine-grained token, the names of users, organisations and repositories that it may write to.
    """

    user: str
    organisations: Mapping[str, str | None] = field(default_factory=dict)
    role: str | None = None
    writable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Account:  # Any: plain JSON
        """Read the Hub's answer to "who am I".

        >>> account = Account.of({"name": "ada", "orgs": [{"name": "lab", "roleInOrg": "write"}],
        ...                       "auth": {"type": "access_token", "accessToken": {"role": "read"}}})
        >>> account.user, account.role, dict(account.organisations)
        ('ada', 'read', {'lab': 'write'})
        """
        organisations = {str(own["name"]): own.get("roleInOrg") for own in answer.get("orgs") or ()}
        token = (answer.get("auth") or {}).get("accessToken") or {}
        scopes = (token.get("fineGrained") or {}).get("scoped") or ()
        writable = frozenset(
            str(scope["entity"].get("name"))
            for scope in scopes
            if WRITE in scope.get("permissions", ()) and "entity" in scope
        )
        return cls(str(answer["name"]), organisations, token.get("role"), writable)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The user's own and those of the organisations."""
        return (self.user, *self.organisations)

    def write_problem(self, repo: str) -> str | None:
        """What keeps the token from writing to a repository of one of the namespaces, if anything."""
        namespace = repo.split("/")[0]
        if self.role == "read":
            return f"the token of {self.user!r} may only read"
        if self.role == "fineGrained" and not {namespace, repo} & self.writable:
            allowed = ", ".join(sorted(self.writable)) or "nothing"
            return f"the fine-grained token of {self.user!r} may not write to {repo!r} (it may write to: {allowed})"
        if self.organisations.get(namespace) in READERS:
            return f"{self.user!r} may only read in the organisation {namespace!r}"
        return None
