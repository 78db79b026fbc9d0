"""Data sets of strangers: cards that name files of this machine, archives that lead out or never end, broken cards."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_mtl.data import load_rows
from hf_mtl.data.strange_archives import check_archive
from hf_mtl.errors import DataError, HfMtlError
from hf_mtl.recipe.found_files import found_tasks

ROWS = "text,label\nhello,1\n"
LINKS = {
    "symbolic": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "pipe": tarfile.FIFOTYPE,
}
OUT = ["../out.csv", "/tmp/hf-mtl-out.csv", "a/../../out.csv", "..\\out.csv", "C:\\out.csv"]


@pytest.fixture
def data_set(tmp_path: Path) -> Callable[[str], Path]:
    """A folder with a card of these metadata and one file; beside it a file that is not its business."""
    (tmp_path / "secret.csv").write_text("text,label\nSECRET,1\n")

    def build(metadata: str) -> Path:
        folder = tmp_path / "stranger"
        folder.mkdir()
        (folder / "README.md").write_text(f"---\n{metadata}\n---\n", encoding="utf-8")
        (folder / "train.csv").write_text(ROWS)
        return folder

    return build


def _config(line: str) -> str:
    return f"configs:\n- config_name: default\n  {line}"


def test_an_honest_card(data_set: Callable[[str], Path]) -> None:
    folder = data_set("license: mit\n" + _config("data_files: '*.csv'"))
    for streaming in (False, True):
        assert list(load_rows(folder, streaming=streaming)) == [{"text": "hello", "label": 1}]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        "data_files: {outside}/secret.csv",
        "data_files: ../secret.csv",
        "data_files: [train.csv, ../*.csv]",
        "data_files: [{{split: train, path: train.csv}}, {{split: test, path: ../secret.csv}}]",
        "data_dir: ..",
        "data_files: file://{outside}/secret.csv",
    ],
)
def test_files_elsewhere(data_set: Callable[[str], Path], tmp_path: Path, line: str, streaming: bool) -> None:
    folder = data_set(_config(line.format(outside=tmp_path)))
    with pytest.raises(
        DataError, match=r"names files outside of its folder: '.*(\.\./|secret).*'\. .* Give these files"
    ):
        load_rows(folder, split="train", streaming=streaming)


@pytest.mark.parametrize(
    "metadata",
    [
        "x: !!python/object/apply:os.system ['touch {outside}/ran']",
        "license: \x01\x1b[31m",
        "? [a, b]\n: 1",
        "x: " + "[" * 1000,
        "- a\n- b",
        "configs: 5",
        _config("data_files: 7"),
        _config("data_files: train.csv\n  features: 7"),
        "x: " + "a" * (3 << 20),
    ],
)
def test_broken_cards(data_set: Callable[[str], Path], tmp_path: Path, metadata: str) -> None:
    folder = data_set(metadata.replace("{outside}", str(tmp_path)))
    for streaming in (False, True):
        with pytest.raises(HfMtlError, match=r"stranger") as caught:
            load_rows(folder, split="train", streaming=streaming)
        assert len(str(caught.value)) < 1500 and "\x1b" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_bomb_of_aliases_in_a_card(data_set: Callable[[str], Path]) -> None:
    lines = [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert len(load_rows(data_set("\n".join(["a0: &a0 [x,x,x,x,x,x,x,x,x]", *lines])))) == 1


def test_init_does_not_read_them_either(data_set: Callable[[str], Path], tmp_path: Path) -> None:
    folder = data_set(_config("data_files: ../secret.csv"))
    (folder / "train.csv").unlink()
    with pytest.raises(DataError, match="outside of its folder"):
        found_tasks([folder])


# --- archives ---------------------------------------------------------------------------------------------


def _tar(path: Path, name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # of a mode that is a variable
        for member, own in (("a.csv", tarfile.REGTYPE), (name, kind)):
            info = tarfile.TarInfo(member)
            info.type, info.linkname = own, link
            info.size = len(ROWS) if own == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(ROWS.encode()))
    return path


def _zip(path: Path, name: str, kind: int = stat.S_IFREG) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", ROWS)
        info = zipfile.ZipInfo(name)
        info.external_attr = (kind | 0o644) << 16
        archive.writestr(info, ROWS)
    return path


@pytest.mark.parametrize("name", OUT)
def test_a_name_that_leads_out(tmp_path: Path, name: str) -> None:
    tars = (_tar(tmp_path / f"{mode[-2:]}.tar", name, mode=mode) for mode in ("w:", "w:gz", "w:xz"))
    for archive in (_zip(tmp_path / "a.zip", name), *tars):
        with pytest.raises(DataError, match=r"it holds '.*out\.csv'; expected a plain path inside it"):
            check_archive(archive)


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_or_a_device(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"it holds 'b\.csv'; expected a plain file"):
        check_archive(_tar(tmp_path / "a.tar.gz", "b.csv", LINKS[kind], "/etc/hostname"))
    with pytest.raises(DataError, match=r"it holds 'b\.csv'; expected a plain file"):
        check_archive(_zip(tmp_path / "a.zip", "b.csv", stat.S_IFLNK))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("ending", ["zip", "tar.gz", "csv"])  # `datasets` goes by the first bytes
def test_datasets_does_not_unpack_it(tmp_path: Path, ending: str, streaming: bool) -> None:
    folder = tmp_path / "stranger"
    folder.mkdir()
    (_zip if ending == "zip" else _tar)(folder / f"train.{ending}", "/tmp/hf-mtl-out.csv")
    with pytest.raises(
        DataError, match=r"train\.(zip|tar\.gz|csv) is refused: it holds '/tmp/hf-mtl-out\.csv'"
    ):
        load_rows(folder, streaming=streaming)
    assert not Path("/tmp/hf-mtl-out.csv").exists()


BOMB = gzip.compress(bytes(1 << 24)) * 17  # 272 megabytes


def _large_header(path: Path) -> Path:
    """A tarball whose first header, of over 256 megabytes, tarfile would read into memory."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 28
    path.write_bytes(gzip.compress(info.tobuf()) + BOMB)
    return path


def _says_gigabytes(path: Path) -> Path:
    """A zip file of a kilobyte that says of one member that it has four gigabytes."""
    _zip(path, "b.csv")
    raw = bytearray(path.read_bytes())
    place = raw.rindex(b"PK\x01\x02")
    raw[place + 24 : place + 28] = (0xFFFFFFFE).to_bytes(4, "little")
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("kind", ["gzip", "header", "zip"])
def test_a_bomb(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "train.csv.gz"
    if kind == "gzip":
        path.write_bytes(BOMB)
    else:
        (_large_header if kind == "header" else _says_gigabytes)(path)
    with pytest.raises(
        DataError, match=r"train\.csv\.gz is refused: its [\d,]+ bytes .* more than 268,435,456"
    ):
        check_archive(path)


@pytest.mark.parametrize("magic", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"])
def test_what_cannot_be_measured(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "rows.zst").write_bytes(magic + bytes(20))
    with pytest.raises(DataError, match=r"rows\.zst is compressed with .*Unpack it"):
        check_archive(tmp_path / "rows.zst")


def test_honest_compressed_rows(tmp_path: Path) -> None:
    folder = tmp_path / "honest"
    folder.mkdir()
    (folder / "train.csv.gz").write_bytes(gzip.compress(ROWS.encode()))
    _zip(folder / "test.zip", "more/b.csv")
    assert len(load_rows(folder, split="train")) == 1
    assert len(load_rows(folder, split="test")) == 2


def test_a_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "rows.gz").write_bytes(BOMB[:20])
    with pytest.raises(DataError, match=r"rows\.gz cannot be unpacked .*EOFError"):
        check_archive(tmp_path / "rows.gz")
