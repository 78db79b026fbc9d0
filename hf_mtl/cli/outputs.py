"""Where a command is to write: looked at before the work, so that a mistake costs no waiting."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.errors import ConfigError

__all__ = ["expect_file", "expect_folder"]


def expect_file(path: Path, option: str = "--output", *, makes_folder: bool = False) -> Path:
    """Return the path if a file can be written there.

    Args:
        path: The file; what is there is written over.
        option: What messages call it.
        makes_folder: Whether the command makes the file's folder.

    Raises:
        ConfigError: It is a folder, or its folder is missing or a file.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{option} {path}: expected a file, found a folder. Name a file in it.")
        if not makes_folder and not path.parent.exists():
            raise ConfigError(f"{option} {path}: there is no folder {str(path.parent)!r}; make it first.")
        _expect_folders(path.parent, path, option)
    except (OSError, ValueError) as error:
        raise _no_path(path, option, error) from error
    return path


def expect_folder(path: Path, option: str = "--output") -> Path:
    """Return the path if it is a folder, or one can be made there.

    Raises:
        ConfigError: A file is in its place, or in that of a folder around it.
    """
    try:
        _expect_folders(path, path, option)
    except (OSError, ValueError) as error:
        raise _no_path(path, option, error) from error
    return path


def _expect_folders(folder: Path, asked: Path, option: str) -> None:
    nearest = next((place for place in (folder, *folder.absolute().parents) if place.exists()), None)
    if nearest is not None and not nearest.is_dir():
        raise ConfigError(
            f"{option} {asked}: {str(nearest)!r} is a file, where a folder is expected. Choose another place."
        )


def _no_path(path: Path, option: str, error: OSError | ValueError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigError(f"{option} {str(path)[:80]!r}: no file can be called so: {reason}.")
