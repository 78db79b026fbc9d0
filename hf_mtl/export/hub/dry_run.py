"""What a push would send, without sending it: repositories, files, sizes, and how they differ from the Hub's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hf_mtl.errors import ConfigError, HubError
from hf_mtl.export.cards import FACTS_FILE, Places, card_texts
from hf_mtl.export.hub.checks import check_account, check_places
from hf_mtl.export.hub.client import Hub, RepoState
from hf_mtl.export.hub.files import UploadFile, differing
from hf_mtl.export.hub.plan import Layout, PushPlan, RepoPlan, plan_push
from hf_mtl.export.hub.retrying import Retries

__all__ = ["DryRun", "PlannedFile", "PlannedRepo", "dry_run"]

_NO_COMMIT = "0" * 40  # stands for a commit that the push would make; as long as a real one

FileChange = Literal["new", "changed", "same"]


@dataclass(frozen=True)
class PlannedFile:
    """A file of a push.

    Args:
        path: Its place in the repository.
        size: In bytes.
        change: How it differs from the Hub's; None where the Hub was not asked.
    """

    path: str
    size: int
    change: FileChange | None = None


@dataclass(frozen=True)
class PlannedRepo:
    """A repository of a push.

    Args:
        repo: `user/name`.
        files: Its files.
        exists: Whether it is on the Hub already; None where the Hub was not asked.
    """

    repo: str
    files: tuple[PlannedFile, ...]
    exists: bool | None = None

    @property
    def size(self) -> int:
        """In bytes, of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class DryRun:
    """What a push would do.

    Args:
        repos: The repositories, the suite's last, as a push makes them.
        unknown: Why the Hub could not be asked what it holds; None if it was.
    """

    repos: tuple[PlannedRepo, ...]
    unknown: str | None = None


def dry_run(
    folder: Path,
    namespace: str,
    *,
    name: str | None = None,
    layout: Layout = "folders",
    token: str | None = None,
) -> DryRun:
    """Plan a push as `push_suite` does, and write nothing, neither here nor on the Hub.

    Without a token or a network the files are listed all the same, but not compared.

    Args:
        folder: As in `push_suite`, and so are the others.
        namespace: The user or organisation.
        name: The suite's name; default the folder's.
        layout: How tasks become repositories.
        token: Default the one that `hf auth login` or `HF_TOKEN` left.

    Raises:
        CheckpointError: If the folder is no whole suite.
        ConfigError: If `push_suite` would refuse the push.
    """
    plan = _with_cards(plan_push(folder, namespace, name, layout), folder)
    try:
        hub = Hub(token, retries=Retries(attempts=1))
    except ConfigError as error:  # no token, or none that can be one
        return _compared(plan, None, str(error))
    try:
        check_account(hub.account(), plan.places, hub)
        states = check_places(hub, plan.places)
    except HubError as error:
        return _compared(plan, None, str(error))
    return _compared(plan, states, None)


def _with_cards(plan: PushPlan, folder: Path) -> PushPlan:
    """The plan with the cards that a push writes anew, for the repositories that they go to."""
    if not (folder / FACTS_FILE).is_file():
        return plan
    own = {task: adapter.place.repo for task, adapter in plan.adapters.items()}
    texts = {
        path.resolve(): text.encode()
        for path, text in card_texts(folder, Places(plan.suite.place.repo, own)).items()
    }
    adapters = {task: _replaced(repo, texts) for task, repo in plan.adapters.items()}
    return replace(plan, suite=_replaced(plan.suite, texts), adapters=adapters)


def _replaced(repo: RepoPlan, texts: Mapping[Path, bytes]) -> RepoPlan:
    files = (
        UploadFile(file.path, texts.get(file.content.resolve(), file.content))
        if isinstance(file.content, Path)
        else file
        for file in repo.files
    )
    return replace(repo, files=tuple(files))


def _compared(plan: PushPlan, states: Mapping[str, RepoState | None] | None, unknown: str | None) -> DryRun:
    repos, commits = [], {}
    for task, adapter in plan.adapters.items():
        planned = _planned(adapter, states)
        repos.append(planned)
        state = None if states is None else states[planned.repo]
        kept = state is not None and all(file.change == "same" for file in planned.files)
        commits[task] = state.commit if state is not None and kept else _NO_COMMIT
    return DryRun((*repos, _planned(plan.suite_with_manifest(commits), states)), unknown)


def _planned(repo: RepoPlan, states: Mapping[str, RepoState | None] | None) -> PlannedRepo:
    name = repo.place.repo
    if states is None:
        return PlannedRepo(name, tuple(PlannedFile(file.path, file.size) for file in repo.files))
    state = states[name]
    remote = {} if state is None else state.files
    sent = {file.path for file in differing(repo.files, remote)}

    def change(path: str) -> FileChange:
        return "same" if path not in sent else "changed" if path in remote else "new"

    files = tuple(PlannedFile(file.path, file.size, change(file.path)) for file in repo.files)
    return PlannedRepo(name, files, state is not None)
