"""What a push puts where: the folders of a saved suite as repositories of the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # offered, without `as`

from hf_mtl.errors import CheckpointError, ConfigError, SavedAdapterError, listing
from hf_mtl.export.hub.files import UploadFile, adapter_files, card_files
from hf_mtl.files import repo_name, repo_names
from hf_mtl.models.saved import MANIFEST_FILE, Manifest, read_adapters
from hf_mtl.paths import exists, expanded

__all__ = ["LAYOUTS", "Layout", "Place", "PushPlan", "RepoPlan", "plan_push"]

Layout = Literal["folders", "repositories"]
LAYOUTS: tuple[Layout, ...] = ("folders", "repositories")

ROOT = "."


@dataclass(frozen=True)
class Place:
    """A repository, and what it is for.

    Args:
        repo: `user/name`.
        tasks: The tasks whose adapters, or whose manifest, it holds.
        single: Whether its root is one adapter.
    """

    repo: str
    tasks: tuple[str, ...]
    single: bool = False


@dataclass(frozen=True)
class RepoPlan:
    """A repository and the files that belong into it."""

    place: Place
    files: tuple[UploadFile, ...]


@dataclass(frozen=True)
class PushPlan:
    """A whole push.

    Args:
        suite: The repository of the suite, without the manifest.
        adapters: The tasks' own repositories, by task; none where the suite's holds a folder for each.
        manifest: The manifest, as far as it is known before the tasks' repositories have their commits.
    """

    suite: RepoPlan
    adapters: dict[str, RepoPlan]
    manifest: Manifest

    @property
    def places(self) -> tuple[Place, ...]:
        """All repositories, the suite's last."""
        return (*(own.place for own in self.adapters.values()), self.suite.place)

    def suite_with_manifest(self, commits: dict[str, str]) -> RepoPlan:
        """The suite's repository with its manifest, as the last of its files.

        Args:
            commits: The commit of each task's own repository, by task.
        """
        repos = {task: f"{own.place.repo}@{commits[task]}" for task, own in self.adapters.items()}
        file = UploadFile(MANIFEST_FILE, replace(self.manifest, repos=repos).text().encode())
        return replace(self.suite, files=(*self.suite.files, file))


def plan_push(folder: Path, namespace: str, name: str | None = None, layout: Layout = "folders") -> PushPlan:
    """Look at a saved suite and say what a push of it puts where.

    Args:
        folder: A folder with `hf_mtl.json`.
        namespace: A user or an organisation of the Hub.
        name: The suite's name there; default the folder's.
        layout: "folders": one repository, a folder per task. "repositories": one per task, and one for the suite.

    Raises:
        CheckpointError: If the folder is no suite, or an adapter of it is not whole.
        ConfigError: If a name cannot be one of the Hub's, or there is no such layout.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"layout must be one of {listing(LAYOUTS)}, found {layout!r}.")
    manifest = _public(Manifest.load(folder))
    _check_whole(folder, manifest)
    suite = f"{namespace}/{name or repo_name(folder.resolve().name)}"
    tasks = tuple(manifest.tasks)
    if layout == "folders":
        files = [UploadFile(path.name, path) for path in card_files(folder)]
        for task, place in manifest.tasks.items():
            own = (
                None if place == ROOT else manifest.of_one(task)
            )  # the suite's manifest is the adapter's there
            files += _adapter(folder / place, own, prefix="" if place == ROOT else f"{place}/")
        single = ROOT in manifest.tasks.values()
        plan = PushPlan(RepoPlan(Place(suite, tasks, single), _once(files)), {}, manifest)
    else:
        plan = _own_repositories(folder, manifest, suite)
    _check_names(plan)
    return plan


def _own_repositories(folder: Path, manifest: Manifest, suite: str) -> PushPlan:
    adapters = {}
    namespace, name = suite.split("/", 1)
    for task, own_name in repo_names(name, manifest.tasks).items():
        place = Place(f"{namespace}/{own_name}", (task,), single=True)
        files = _adapter(folder / manifest.tasks[task], manifest.of_one(task), prefix="")
        adapters[task] = RepoPlan(place, _once(files))
    cards = () if ROOT in manifest.tasks.values() else card_files(folder)
    own = RepoPlan(Place(suite, tuple(manifest.tasks)), tuple(UploadFile(path.name, path) for path in cards))
    return PushPlan(own, adapters, replace(manifest, tasks=dict.fromkeys(manifest.tasks, ROOT)))


def _adapter(folder: Path, manifest: Manifest | None, *, prefix: str) -> Iterator[UploadFile]:
    """An adapter's files, and a manifest with which it stands alone."""
    for path in adapter_files(folder):
        yield UploadFile(prefix + path.relative_to(folder).as_posix(), path)
    if manifest is not None:
        yield UploadFile(prefix + MANIFEST_FILE, manifest.text().encode())


def _once(files: list[UploadFile] | Iterator[UploadFile]) -> tuple[UploadFile, ...]:
    return tuple({file.path: file for file in files}.values())


def _public(manifest: Manifest) -> Manifest:
    """Without where this machine has the base: nobody else has it there."""
    base = manifest.base
    source = base.source if base.hub_id is None and not exists(expanded(base.source or "")) else None
    return replace(manifest, base=replace(base, source=source))


def _check_whole(folder: Path, manifest: Manifest) -> None:
    """Read every adapter as it will be read from the Hub, but for its weights."""
    try:
        read_adapters({task: folder / place for task, place in manifest.tasks.items()})
    except SavedAdapterError as error:
        raise CheckpointError(
            f"{folder} cannot be pushed, it is not whole; nothing was sent. {error}"
        ) from error


def _check_names(plan: PushPlan) -> None:
    problems = []
    lower = [place.repo.lower() for place in plan.places]
    for place in plan.places:
        if lower.count(place.repo.lower()) > 1:
            problems.append(
                f"{place.repo!r} would be the repository of several tasks. Give them other names."
            )
        try:
            validate_repo_id(place.repo)
        except HFValidationError as error:
            problems.append(f"{place.repo!r} cannot be a name on the Hub: {error} Give another name.")
    if problems:
        raise ConfigError(problems)
