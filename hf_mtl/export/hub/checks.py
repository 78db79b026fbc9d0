"""What is looked at before the first upload: the token, the namespace, and whether the names are free or ours."""

from __future__ import annotations

from collections.abc import Sequence

from hf_mtl.bounded_json import parse_json
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.export.hub.account import Account
from hf_mtl.export.hub.client import Hub, RepoState
from hf_mtl.export.hub.plan import Place
from hf_mtl.models.saved import CONFIG_FILE, MANIFEST_FILE

__all__ = ["check_account", "check_places"]

# What the Hub itself, or a push that was killed, leaves in a repository that holds nothing yet.
_BARE = (".gitattributes",)
_CHECKPOINT = "checkpoint.json"  # the index of a checkpoint, in a folder of its own


def check_account(account: Account, places: Sequence[Place], hub: Hub) -> None:
    """Check that the token may write to all the repositories.

    Raises:
        ConfigError: If it may not, or the namespace is not one of the account's.
    """
    namespace = places[0].repo.split("/")[0]
    if namespace not in account.namespaces:
        exists = hub.namespace_exists(namespace)
        problem = "is somebody else's" if exists else "does not exist on the Hub"
        raise ConfigError(
            f"the namespace {namespace!r} {problem}; {account.user!r} may give one of "
            f"{listing(account.namespaces)}.{did_you_mean(namespace, account.namespaces)}"
        )
    found = (account.write_problem(place.repo) for place in places)
    problems = dict.fromkeys(problem for problem in found if problem is not None)
    if problems:
        raise ConfigError(
            [
                f"{problem}. Make a token that may write at https://huggingface.co/settings/tokens, and log in "
                f"with `hf auth login --force` (or set HF_TOKEN)."
                for problem in problems
            ]
        )


def check_places(
    hub: Hub, places: Sequence[Place], revision: str | None = None
) -> dict[str, RepoState | None]:
    """Check that each repository is missing, empty, or an earlier push of the same.

    Returns:
        What the repositories hold, by name; None of those that are not there.

    Raises:
        ConfigError: If a name is taken by something else; all such are listed.
    """
    states = {place.repo: hub.state(place.repo, revision) for place in places}
    problems = [
        f"{place.repo!r} is taken by something else ({other}). Nothing was sent; give another name, or delete or "
        f"rename that repository."
        for place in places
        if (state := states[place.repo]) is not None and (other := _something_else(hub, place, state))
    ]
    if problems:
        raise ConfigError(problems)
    return states


def _something_else(hub: Hub, place: Place, state: RepoState) -> str | None:
    """What a repository holds that is not an earlier push of ours, or None."""
    own = [path for path in state.files if path not in _BARE]
    if not own or any(path.endswith(f"/{_CHECKPOINT}") for path in own):
        return None
    if MANIFEST_FILE not in state.files:
        return f"it has no {MANIFEST_FILE!r}; it holds {listing(own[:5])}"
    tasks = _tasks(hub.read(place.repo, MANIFEST_FILE, state.commit))
    if not set(place.tasks) & tasks:
        return f"its {MANIFEST_FILE!r} is of other tasks: {listing(tasks) or 'none'}"
    if place.single != (CONFIG_FILE in state.files):
        return (
            "it is a suite, not one task's adapter"
            if place.single
            else "it is one task's adapter, not a suite"
        )
    return None


def _tasks(manifest: bytes) -> set[str]:
    """The tasks of a manifest of any version; none if it is not a manifest."""
    try:
        tasks = parse_json(manifest)["tasks"]
    except (ValueError, KeyError, TypeError):
        return set()
    return set(tasks) if isinstance(tasks, dict) else set()
