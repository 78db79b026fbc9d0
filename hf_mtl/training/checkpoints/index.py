"""The index of a checkpoint: every file with its size and digest, written after all of them.

A folder with an index whose files agree with it is whole; any other is not a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from hf_mtl.bounded_json import read_json
from hf_mtl.errors import CheckpointDamagedError, CheckpointError

__all__ = ["FORMAT_VERSION", "INDEX_FILE", "FileEntry", "Index", "files_in"]

INDEX_FILE = "checkpoint.json"
FORMAT_VERSION = 3  # 1 had no last good weights, and no plan of what is left; 2 no parts by name

_KIND = "hf_mtl checkpoint"


@dataclass(frozen=True)
class FileEntry:
    """What a file must be.

    Args:
        size: In bytes.
        sha256: Of its bytes, in hexadecimal digits.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, file: Path) -> FileEntry:
        """Read a file."""
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return cls(stream.tell(), digest)


@dataclass(frozen=True)
class Index:
    """What a whole checkpoint holds.

    Args:
        hf_mtl_version: The version that wrote it.
        files: By path, relative to the folder, with "/" between its parts.
    """

    hf_mtl_version: str
    files: Mapping[str, FileEntry]

    @classmethod
    def of(cls, folder: Path, *, hf_mtl_version: str) -> Index:
        """Read every file of a folder, in the order of their names."""
        entries = {file.relative_to(folder).as_posix(): FileEntry.of(file) for file in files_in(folder)}
        return cls(hf_mtl_version, entries)

    def text(self) -> str:
        """The content of the index file, which covers itself by a digest too."""
        content: dict[str, object] = {
            "format": _KIND,
            "format_version": FORMAT_VERSION,
            "hf_mtl_version": self.hf_mtl_version,
            "files": {path: asdict(entry) for path, entry in self.files.items()},
        }
        return json.dumps({**content, "sha256": _digest(content)}, indent=2) + "\n"

    @classmethod
    def load(cls, folder: Path) -> Index:
        """Read the index of a folder that has one.

        Raises:
            CheckpointDamagedError: If it is not an index.
            CheckpointError: If its format is newer or older, or it names files outside the folder.
            OSError: If it cannot be read.
        """
        file = folder / INDEX_FILE
        try:
            content = read_json(file)
            if content["format"] != _KIND:
                raise ValueError(f"format {content['format']!r}")
            version = int(content["format_version"])
            if version > FORMAT_VERSION:
                raise CheckpointError(
                    f"{file} has format {version}; this hf_mtl reads up to {FORMAT_VERSION}. Upgrade hf-mtl "
                    f"(the checkpoint was written by {content.get('hf_mtl_version')})."
                )
            if version < FORMAT_VERSION:
                raise CheckpointError(
                    f"{file} has format {version}; this hf_mtl resumes from format {FORMAT_VERSION}. Finish the run "
                    f"with the version that wrote it ({content.get('hf_mtl_version')}), or start anew: the adapters "
                    f"under {folder / 'adapters'} can be loaded as a suite."
                )
            if content.pop("sha256") != _digest(content):
                raise ValueError("its own digest is another")
            files = {path: FileEntry(**entry) for path, entry in content["files"].items()}
            index = cls(content["hf_mtl_version"], files)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise CheckpointDamagedError(
                f"{file}: expected the index of a checkpoint of hf_mtl, found something else ({error!r}). The "
                f"checkpoint is damaged: use an earlier one, or copy it again from where it is whole."
            ) from error
        outside = [path for path in files if PurePosixPath(path).is_absolute() or ".." in path.split("/")]
        if outside:
            raise CheckpointError(f"{file} names files outside its folder: {outside}. It is refused.")
        return index

    def check(self, folder: Path, *, digests: bool) -> None:
        """Compare the folder's files with the index. Files that it does not name are nobody's business here.

        Args:
            folder: The folder.
            digests: Read all files; otherwise only their sizes are compared.

        Raises:
            CheckpointDamagedError: If a file is missing, or its size or content is another; all are named.
            OSError: If a file cannot be read.
        """
        found = {path: _difference(folder / path, entry, digests) for path, entry in self.files.items()}
        problems = [f"  {path}: {problem}" for path, problem in found.items() if problem]
        if problems:
            raise CheckpointDamagedError(
                "\n".join(
                    [
                        f"{folder} is damaged: it is not as hf_mtl wrote it.",
                        *problems,
                        "Use an earlier checkpoint, or copy this one again from where it is whole.",
                    ]
                )
            )


def _difference(file: Path, wanted: FileEntry, digests: bool) -> str:
    if not file.is_file():
        return f"expected a file of {wanted.size} bytes, found none"
    size = file.stat().st_size
    if size != wanted.size:
        return f"expected {wanted.size} bytes, found {size}"
    if digests and (found := FileEntry.of(file).sha256) != wanted.sha256:
        return f"expected the sha256 {wanted.sha256[:12]}…, found {found[:12]}…: its bytes were changed"
    return ""


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def files_in(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders but the index, sorted.

    Raises:
        CheckpointError: If there is something else, such as a link, whose content would be elsewhere.
    """
    inside = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    odd = [str(path) for path in inside if path.is_symlink() or not path.is_file()]
    if odd:
        raise CheckpointError(
            f"A checkpoint holds plain files and folders only; found {odd}. Copy the content."
        )
    return [path for path in inside if path != folder / INDEX_FILE]
