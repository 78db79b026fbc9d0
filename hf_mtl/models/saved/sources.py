"""Where an adapter is loaded from, and its files fetched: a folder, a repository on the Hub, a task of a suite.

>>> parse_source("user/suite@v2:question answering")
Source(folder=None, repo='user/suite', revision='v2', task='question answering')

From the Hub exactly the files of the adapter are fetched: its config, its weights in safetensors, its manifest. Of a
suite, the tokenizer or image processor beside the first adapter is fetched too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from hf_mtl.errors import CheckpointError, did_you_mean, listing
from hf_mtl.models.base_files import pickles_among
from hf_mtl.models.hub_files import download, exactly, files_of
from hf_mtl.models.saved.adapter_files import CONFIG_FILE, PROCESSOR_FILES, WEIGHTS_FILE
from hf_mtl.models.saved.manifest import MANIFEST_FILE, Manifest
from hf_mtl.paths import exists, expanded, folders_in, is_folder
from hf_mtl.repo_ids import is_owned_id

__all__ = ["AdapterFiles", "Source", "fetch", "fetch_suite", "parse_source"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_FORMS = "'user/repo', 'user/repo@revision', 'user/suite:task', './folder' or './suite:task'"


@dataclass(frozen=True)
class Source:
    """What a source's text means: a folder or a repository, and in either, a task of a suite.

    Args:
        folder: A folder of this machine.
        repo: A repository on the Hub, `user/name`.
        revision: A branch, tag or commit of it; None is its main branch.
        task: A task's name in the suite that lies there.
    """

    folder: Path | None = None
    repo: str | None = None
    revision: str | None = None
    task: str | None = None

    def __str__(self) -> str:
        place = str(self.folder) if self.repo is None else self.repo
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{place}{revision}" + ("" if self.task is None else f":{self.task}")


@dataclass(frozen=True)
class AdapterFiles:
    """The files of one adapter, on this machine.

    Args:
        where: What messages call it.
        folder: Where they lie.
        manifest: What is known of it beside PEFT's own files, if anything.
        task: Its name in the manifest.
        found: The names of all files beside it, as far as known.
    """

    where: str
    folder: Path
    manifest: Manifest | None = None
    task: str | None = None
    found: tuple[str, ...] = ()

    def check(self) -> None:
        """Check that the files are there.

        Raises:
            CheckpointError: If one is missing, or the weights are a pickle.
        """
        if all((self.folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE)):
            return
        pickles = pickles_among(self.found)
        if pickles and not (self.folder / WEIGHTS_FILE).is_file():
            raise CheckpointError(
                f"{self.where}: the weights are in {listing(pickles)} and not in {WEIGHTS_FILE!r}. Reading a pickle "
                f"can run any code that its author put into it, so it is refused. If you trust the author, convert it: "
                f"PeftModel.from_pretrained(base, SOURCE).save_pretrained(FOLDER) writes safetensors; then load FOLDER."
            )
        found = listing(self.found) if self.folder.is_dir() else "no such folder"
        raise CheckpointError(
            f"{self.where}: a PEFT adapter needs {CONFIG_FILE!r} and {WEIGHTS_FILE!r}; found {found or 'nothing'}."
        )


def parse_source(source: str | Path) -> Source:
    """Say what a source means; a folder that exists is meant before anything else.

    Args:
        source: `user/repo`, `user/repo@revision`, `user/suite:task`, `./folder` or `./suite:task`.

    Raises:
        CheckpointError: If it is none of these, or a path that leads nowhere.
    """
    text = str(source)
    if not text.strip():
        raise CheckpointError(f"No adapter is named; give {_FORMS}.")
    path = expanded(text)
    if exists(path):
        return Source(folder=path)
    splits = [i for i, letter in enumerate(text) if letter == ":"]
    for i in reversed(splits):  # a folder's name may hold a colon too
        if i and is_folder(folder := expanded(text[:i])):
            return Source(folder=folder, task=text[i + 1 :])
    if "://" in text:
        raise CheckpointError(f"An adapter is not named by an address; give {_FORMS}.")
    place, colon, task = text.partition(":")
    repo, at, revision = place.partition("@")
    looks_like_path = isinstance(source, Path) or text.startswith(("/", ".", "~"))
    if looks_like_path or not is_owned_id(repo):
        beside = _folders_beside(expanded(place))
        nor = "" if looks_like_path else ", and no repository can be called so"
        raise CheckpointError(f"There is no adapter {text!r}: no such folder{nor}.{beside} Give {_FORMS}.")
    if (at and not revision) or (colon and not task):
        raise CheckpointError(f"The adapter {text!r} has nothing after its last '@' or ':'; give {_FORMS}.")
    return Source(repo=repo, revision=revision or None, task=task or None)


def _folders_beside(path: Path) -> str:
    names = folders_in(path.parent)
    near = did_you_mean(path.name, names) or f" Folders there: {listing(names[:10])}."
    return near if names else ""


def fetch(source: Source, *, token: str | None = None, processor: bool = False) -> AdapterFiles:
    """Bring the files of one adapter to this machine, if they are not here.

    Args:
        source: Where it is.
        token: For a private repository; default: that of `hf auth login`.
        processor: Whether the tokenizer or image processor beside it is wanted too.

    Raises:
        CheckpointError: If it is not there, cannot be reached, or is a suite of which no task is named.
    """
    if source.repo is None:
        assert source.folder is not None
        return _in_folder(source.folder, source, token)
    if source.task is None:
        folder = _downloaded(source, ["."], token, processor=processor)
        pinned = replace(source, revision=folder.name)  # one commit, whatever is pushed in between
        return _picked(folder, source, _found(folder, pinned, ".", token))
    root = download(source.repo, source.revision, [MANIFEST_FILE], token=token)
    pinned = replace(source, revision=root.name)
    manifest = Manifest.load(root) if (root / MANIFEST_FILE).is_file() else None
    place = _place_of(manifest, source)
    if manifest is not None and source.task is not None and source.task in manifest.repos:
        return _elsewhere(manifest, source.task, token, processor=processor)
    folder = _downloaded(pinned, [place], token, processor=processor) / place
    found = _found(folder, pinned, place, token)
    return _known(folder, source, manifest, found)


def _in_folder(folder: Path, source: Source, token: str | None) -> AdapterFiles:
    if source.task is None:
        return _picked(folder, source, _names(folder))
    manifest = Manifest.load(folder) if (folder / MANIFEST_FILE).is_file() else None
    return _of_suite(folder, source, manifest, token)


def _of_suite(folder: Path, source: Source, manifest: Manifest | None, token: str | None) -> AdapterFiles:
    """A task's files in the folder of a suite."""
    place = _place_of(manifest, source)
    if (
        manifest is not None
        and source.task is not None
        and source.task in manifest.repos
        and not (folder / place).is_dir()
    ):
        return _elsewhere(manifest, source.task, token)
    return _known(folder / place, source, manifest, _names(folder / place))


def _known(folder: Path, source: Source, manifest: Manifest | None, found: tuple[str, ...]) -> AdapterFiles:
    """A task's folder with what its suite's manifest knows of it; without one, what its own does."""
    if manifest is None:
        return _picked(folder, source, found)
    return AdapterFiles(str(source), folder, manifest, source.task, found)


def _picked(folder: Path, source: Source, found: tuple[str, ...]) -> AdapterFiles:
    """The one adapter that lies in a folder itself."""
    if not (folder / MANIFEST_FILE).is_file():
        return AdapterFiles(str(source), folder, found=found)
    manifest = Manifest.load(folder)
    here = [task for task, place in manifest.tasks.items() if PurePosixPath(place) == PurePosixPath(".")]
    if len(here) == 1 and here[0] not in manifest.repos:
        return AdapterFiles(str(source), folder, manifest, here[0], found)
    if (folder / CONFIG_FILE).is_file() and not here:
        return AdapterFiles(str(source), folder, found=found)
    raise CheckpointError(
        f"{source} is a suite of {listing(manifest.tasks)}. Name one of them, for example "
        f"{f'{source}:{next(iter(manifest.tasks), None)}'!r}, or load them all with load_suite."
    )


def _place_of(manifest: Manifest | None, source: Source) -> str:
    """The folder of a source's task in its suite; without a manifest, one of the task's name."""
    assert source.task is not None
    if manifest is None:
        path = PurePosixPath(source.task)
        if path.is_absolute() or ".." in path.parts:
            raise CheckpointError(
                f"{source}: {source.task!r} leads out of the suite's folder. It is refused."
            )
        return str(path)
    if source.task not in manifest.tasks:
        raise CheckpointError(
            f"{source}: the suite has no task {source.task!r}; it has {listing(manifest.tasks)}."
            f"{did_you_mean(source.task, manifest.tasks)}"
        )
    return manifest.tasks[source.task]


def _elsewhere(manifest: Manifest, task: str, token: str | None, *, processor: bool = False) -> AdapterFiles:
    """A task of a suite that is in a repository of its own."""
    repo, _, commit = manifest.repos[task].partition("@")
    if not is_owned_id(repo) or not _COMMIT.fullmatch(commit):
        raise CheckpointError(
            f"the suite's manifest has task {task!r} in {manifest.repos[task]!r}; expected 'user/name@commit', with "
            f"the commit's 40 digits."
        )
    own = Source(repo=repo, revision=commit)
    place = manifest.tasks[task]
    folder = _downloaded(own, [place], token, processor=processor) / place
    found = _found(folder, own, place, token)
    return AdapterFiles(str(own), folder, manifest.of_one(task), task, found)


def fetch_suite(source: Source, *, token: str | None = None) -> tuple[Manifest, dict[str, AdapterFiles]]:
    """Bring the files of all tasks of a suite to this machine.

    Args:
        source: The suite; with a task, that one alone.
        token: As in `fetch`.

    Returns:
        Its manifest, and the files by task.

    Raises:
        CheckpointError: As `fetch`, or if there is no manifest.
    """
    if source.task is not None:
        one = fetch(source, token=token, processor=True)
        if one.manifest is None:
            raise CheckpointError(
                f"{source}: there is no {MANIFEST_FILE}, so its base is not known. "
                f"RoutedModel.from_pretrained(base, {{'name': {str(source)!r}}}) loads it on a base that you name."
            )
        return one.manifest.of_one(source.task), {source.task: one}
    if source.repo is None:
        assert source.folder is not None
        manifest = Manifest.load(source.folder)
        tasks = {task: replace(source, task=task) for task in manifest.tasks}
        return manifest, {task: _of_suite(source.folder, own, manifest, token) for task, own in tasks.items()}
    root = download(source.repo, source.revision, [MANIFEST_FILE], token=token)
    manifest = Manifest.load(root)
    pinned = replace(source, revision=root.name)
    places = {task: place for task, place in manifest.tasks.items() if task not in manifest.repos}
    if places:
        _downloaded(pinned, list(places.values()), token, processor=True)
    files = {
        task: AdapterFiles(
            f"{source}:{task}", root / place, manifest, task, _found(root / place, pinned, place, token)
        )
        for task, place in places.items()
    }
    first = next(iter(manifest.tasks), None)
    files |= {task: _elsewhere(manifest, task, token, processor=task == first) for task in manifest.repos}
    return manifest, {task: files[task] for task in manifest.tasks}


def _downloaded(source: Source, places: list[str], token: str | None, *, processor: bool) -> Path:
    """The repository's folder here, with the adapters' files at some places, and at the first the processor's."""
    assert source.repo is not None
    names = (CONFIG_FILE, WEIGHTS_FILE, MANIFEST_FILE)
    patterns = [exactly(str(PurePosixPath(place) / name)) for place in places for name in names]
    if processor:
        first = exactly("" if PurePosixPath(places[0]) == PurePosixPath(".") else f"{places[0]}/")
        patterns += [first + name for name in PROCESSOR_FILES]
    return download(source.repo, source.revision, patterns, token=token)


def _found(folder: Path, source: Source, place: str, token: str | None) -> tuple[str, ...]:
    """The names of the files beside an adapter; the Hub is asked only where one of its files is missing."""
    whole = all((folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE))
    if source.repo is None or whole:
        return _names(folder)
    every = [PurePosixPath(name) for name in files_of(source.repo, source.revision, token=token)]
    beside = [path.name for path in every if path.parent == PurePosixPath(place)]
    return tuple(sorted({*beside, *_names(folder)}))


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()
