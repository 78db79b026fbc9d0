"""A saved suite on its way to the Hub: looked at, checked, adapters first, and the manifest that names them last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from hf_mtl.export.cards import Places, refresh_cards
from hf_mtl.export.hub.checks import check_account, check_places
from hf_mtl.export.hub.client import Hub, RepoState
from hf_mtl.export.hub.plan import Layout, PushPlan, plan_push
from hf_mtl.export.hub.upload import Change, PushedRepo, bring_up_to_date
from hf_mtl.notices import logger_of
from hf_mtl.terminal import say

__all__ = ["Pushed", "Upload", "push_suite", "upload_plan"]

logger = logger_of(__name__)

MESSAGE = "Adapters of hf_mtl"
MANIFEST_MESSAGE = "The suite, with its tasks' repositories"


@dataclass(frozen=True)
class Pushed:
    """What a push left on the Hub.

    Args:
        suite: The repository with the suite's manifest.
        adapters: The tasks' own repositories, by task; none where the suite's holds a folder for each.
        sources: By task, what `RoutedModel.load_adapter` and `from_pretrained` take: `user/name` or `user/suite:task`.
    """

    suite: PushedRepo
    adapters: Mapping[str, PushedRepo]
    sources: Mapping[str, str]

    @property
    def repos(self) -> tuple[PushedRepo, ...]:
        """All repositories, the suite's last."""
        return (*self.adapters.values(), self.suite)


@dataclass(frozen=True)
class Upload:
    """How a plan is carried out.

    Args:
        message: Of the commits; default one that says what they are.
        private: For repositories that are made: whether others cannot see them; None is the account's default.
        revision: The branch; default the main one.
        states: What the repositories hold, as far as that was looked at a moment ago.
    """

    message: str = MESSAGE
    private: bool | None = None
    revision: str | None = None
    states: Mapping[str, RepoState | None] = field(default_factory=dict)


def push_suite(
    folder: Path,
    namespace: str,
    *,
    name: str | None = None,
    layout: Layout = "folders",
    private: bool | None = None,
    token: str | None = None,
    console: Console | None = None,
) -> Pushed:
    """Put a saved suite on the Hub; only what has changed is sent, and what was interrupted goes on.

    Args:
        folder: What `save_suite` or `hf-mtl train` wrote. With the latter's `cards.json`, its cards are written anew,
            for the repositories that they go to.
        namespace: The user or organisation.
        name: The suite's name; default the folder's.
        layout: "folders": one repository, a folder per task. "repositories": one per task (`name-task`), and one for
            the suite, whose manifest names theirs with their commits.
        private: Whether repositories that are made now are private; default as the account has it.
        token: Default the one that `hf auth login` or `HF_TOKEN` left.
        console: Where each repository is reported; default nowhere.

    Raises:
        CheckpointError: If the folder is no whole suite.
        ConfigError: Before anything is sent: no token, one that may not write, a namespace that is not the user's, a
            name that is taken by something else.
        HubError: If the Hub failed too often. Call it again, and it goes on from there.
    """
    plan = plan_push(folder, namespace, name, layout)
    hub = Hub(token)
    check_account(hub.account(), plan.places, hub)
    states = check_places(hub, plan.places)
    _tell(plan, states, private)
    own = {task: adapter.place.repo for task, adapter in plan.adapters.items()}
    if refresh_cards(
        folder, Places(plan.suite.place.repo, own)
    ):  # they name the repositories that they are in
        plan = plan_push(folder, namespace, name, layout)
    return upload_plan(hub, plan, Upload(private=private, states=states), console)


def upload_plan(hub: Hub, plan: PushPlan, how: Upload, console: Console | None = None) -> Pushed:
    """Carry out a plan: each task's repository, one commit each; then the suite's, with the manifest.

    Where the suite's repository holds the adapters too, they and the manifest are one commit: nobody ever sees a
    manifest beside adapters of another push. Their weights are there before it.

    Raises:
        HubError: If the Hub failed too often; then the manifest on the Hub is that of the push before.
    """
    pushed = {}
    for task, own in plan.adapters.items():
        pushed[task] = _bring(hub, own.place.repo, Change(own.files, how.message, revision=how.revision), how)
        _show(console, pushed[task])
    suite = plan.suite_with_manifest({task: own.commit for task, own in pushed.items()})
    message = MANIFEST_MESSAGE if pushed and how.message == MESSAGE else how.message
    last = _bring(hub, suite.place.repo, Change(suite.files, message, revision=how.revision), how)
    _show(console, last)
    sources = {task: f"{last.repo}:{task}" for task in plan.manifest.tasks}
    return Pushed(last, pushed, sources | {task: own.repo for task, own in pushed.items()})


def _bring(hub: Hub, repo: str, change: Change, how: Upload) -> PushedRepo:
    if repo in how.states and how.states[repo] is None:
        hub.create(repo, private=how.private)
    return bring_up_to_date(hub, repo, change, known=how.states.get(repo))


def _tell(plan: PushPlan, states: Mapping[str, RepoState | None], private: bool | None) -> None:
    base = plan.manifest.base
    if base.hub_id is None:
        logger.warning(
            "The base has no Hub id: adapter_config.json names the folder of this machine that it came from, if any; "
            "plain PEFT finds it nowhere else. If it is on the Hub, save the suite with load_base(..., hub_id=...)."
        )
    public = [repo for repo, state in states.items() if private and state is not None and not state.private]
    if public:
        logger.warning(
            "private=True is for repositories that are made now; these are public already: %s",
            ", ".join(public),
        )


def _show(console: Console | None, pushed: PushedRepo) -> None:
    if console is None:
        return
    what = (
        f"{len(pushed.sent)} files, {pushed.size:,} bytes sent"
        if pushed.sent
        else "nothing new, nothing sent"
    )
    say(console, f"{pushed.url}  {what}, commit {pushed.commit[:8]}")
