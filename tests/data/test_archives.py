"""Archives that were made to do harm: each is refused with its reason, and nothing is written outside of the folder."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hf_mtl.data.archives import extract
from hf_mtl.errors import DataError

NAME = "a/one.txt"
OUTSIDE = ("../out.txt", "/tmp/hf-mtl-out.txt", "a/../../out.txt", "C:\\out.txt", "..\\out.txt")
LINKS = {
    "symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE, "folder": tarfile.DIRTYPE,
}  # fmt: skip


def _tarball(path: Path, *entries: tuple[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def _wheel(
    path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in entries:
                archive.writestr(name, content)
    return path


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Expect an archive to be refused; in the end nothing may lie outside of the folder."""
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    archives: set[Path] = set()

    def check(archive: Path, match: str, *members: str, **options: int) -> None:
        archives.add(archive)
        with pytest.raises(DataError, match=match):
            extract(archive, members or (NAME,), folder, **options)

    yield check
    there = {Path(root, name) for root, _, names in os.walk(tmp_path) for name in names}
    assert all(path in archives or path.parent == folder for path in there)
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert not Path("/tmp/hf-mtl-out.txt").exists()


@pytest.mark.parametrize("name", OUTSIDE)
def test_paths_that_lead_out(tmp_path: Path, refused: Callable[..., None], name: str) -> None:
    for archive in (_tarball(tmp_path / "x.tgz", (name, b"1")), _wheel(tmp_path / "x.whl", (name, b"1"))):
        refused(archive, "refused to unpack .* expected a plain path inside it", name)
        refused(archive, f"does not hold '{NAME}'")


@pytest.mark.parametrize("kind", LINKS)
def test_what_is_no_plain_file(tmp_path: Path, refused: Callable[..., None], kind: str) -> None:
    info = tarfile.TarInfo(NAME)
    info.type, info.linkname = LINKS[kind], "/etc/hostname"
    refused(_tarball(tmp_path / "x.tgz", ("", info)), "refused to unpack .* expected a plain file")
    modes = {"symbolic": stat.S_IFLNK, "device": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}
    if kind in modes:
        member = zipfile.ZipInfo(NAME)
        member.create_system, member.external_attr = 3, (modes[kind] | 0o777) << 16
        refused(_wheel(tmp_path / "x.whl", (member, b"/etc/hostname")), "expected a plain file")


def test_a_file_through_a_link_of_the_archive(tmp_path: Path, refused: Callable[..., None]) -> None:
    """The folder of the member is a link to another: bare names go nowhere else than into the folder."""
    link = tarfile.TarInfo("a")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    archive = _tarball(tmp_path / "x.tgz", ("", link), (NAME, b"1"))
    refused(archive, "does not hold 'a/two.txt'", NAME, "a/two.txt")
    assert not (tmp_path / "one.txt").exists()


def test_names_that_are_there_twice(tmp_path: Path, refused: Callable[..., None]) -> None:
    twice = ((NAME, b"1"), (NAME, b"2"), ("a/two.txt", b"3"))
    for archive in (_tarball(tmp_path / "x.tgz", *twice), _wheel(tmp_path / "x.whl", *twice)):
        refused(archive, f"refused to unpack '{NAME}' .* it is there several times", NAME, "a/two.txt")


def test_names_that_are_one_on_some_disks(tmp_path: Path, refused: Callable[..., None]) -> None:
    alike = (("a/one.txt", b"1"), ("a/ONE.txt", b"2"), ("b/one.txt", b"3"))
    archive = _wheel(tmp_path / "x.whl", *alike)
    for other in ("a/ONE.txt", "b/one.txt"):
        refused(archive, "expected names that differ in any folder", NAME, other)


def test_more_than_is_allowed(tmp_path: Path, refused: Callable[..., None]) -> None:
    large = b"\0" * (3 << 20)
    for archive in (
        _tarball(tmp_path / "x.tgz", (NAME, large)),
        _tarball(tmp_path / "before.tgz", ("a/other", large), (NAME, b"1")),  # passed over, and yet unpacked
        _wheel(tmp_path / "x.whl", (NAME, large)),
    ):
        assert archive.stat().st_size < 10_000
        refused(archive, r"holds more than the 2,097,152 bytes that are allowed", limit=2 << 20)
    both = _wheel(tmp_path / "both.whl", (NAME, large), ("a/two.txt", large))
    refused(both, "holds more than the", NAME, "a/two.txt", limit=4 << 20)


def test_a_size_that_is_not_the_declared_one(tmp_path: Path, refused: Callable[..., None]) -> None:
    archive = _wheel(tmp_path / "x.whl", (NAME, b"\0" * (3 << 20)))
    raw, size = archive.read_bytes(), (3 << 20).to_bytes(4, "little")
    assert raw.count(size) == 2
    for declared in (10, 0xFFFF_FFF0):
        archive.write_bytes(raw.replace(size, declared.to_bytes(4, "little")))
        refused(archive, "cannot be unpacked|holds more than", limit=1 << 30)
    info = tarfile.TarInfo(NAME)
    info.size = 1 << 50
    refused(_tarball(tmp_path / "x.tgz", ("", info)), "holds more than the")


def test_archives_that_are_locked_or_broken(tmp_path: Path, refused: Callable[..., None]) -> None:
    archive = _wheel(tmp_path / "x.whl", (NAME, b"text " * 100))
    raw = archive.read_bytes()
    locked = bytearray(raw)
    locked[6] |= 1
    locked[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(locked)
    refused(archive, "expected a file without a password")
    unknown = bytearray(raw)
    unknown[8] = unknown[raw.index(b"PK\x01\x02") + 10] = 97
    archive.write_bytes(unknown)
    refused(archive, "cannot be unpacked .NotImplementedError")
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        raw = _wheel(archive, (NAME, os.urandom(2000)), method=method).read_bytes()
        for cut in (0, 10, 60, 500, len(raw) - 30):
            archive.write_bytes(raw[:cut])
            refused(archive, "cannot be unpacked")
        archive.write_bytes(raw[:200] + bytes(300) + raw[500:])
        refused(archive, "cannot be unpacked")
