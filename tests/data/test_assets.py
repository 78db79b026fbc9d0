"""Assets: download with resume, verification, and a conversion that is either whole or not there.

A real HTTP server on this machine plays the file server, and pip itself resolves a tiny wheel from a folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest

from hf_mtl.data import assets
from hf_mtl.data.assets import ASSETS, BASE_FILE, Asset, PackageFile, cache_folder, resolve_asset
from hf_mtl.data.download import PublishedFile, download, locate
from hf_mtl.errors import ConfigError, DataError

PAYLOAD = bytes(range(256)) * 40
SUM = hashlib.sha256(PAYLOAD).hexdigest()


class FileServer:
    """Serves `payload` under every path; `ranges`, `cut_at` and `statuses` make it misbehave on purpose."""

    def __init__(self) -> None:
        self.payload = PAYLOAD
        self.ranges = True
        self.cut_at: list[int] = []  # a byte count for each of the next answers, after which the line breaks
        self.statuses: list[int] = []  # error statuses of the next answers
        self.seen: list[str | None] = []  # the Range header of every request
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/file.whl"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.seen.append(asked)
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(self.payload):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.payload)}")
            request.end_headers()
            return
        body = self.payload[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.payload) - 1}/{len(self.payload)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cut_at.pop(0)] if self.cut_at else body)

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[FileServer]:
    running = FileServer()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a retry would have waited; nobody waits in a test."""
    found: list[float] = []
    monkeypatch.setattr("hf_mtl.data.download.time.sleep", found.append)
    return found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- download ---------------------------------------------------------------------------------------------


def test_download_is_whole_and_leaves_no_part(server: FileServer, tmp_path: Path) -> None:
    target = download(server.url, tmp_path / "new" / "file.whl", SUM)
    assert target.read_bytes() == PAYLOAD
    assert [path.name for path in target.parent.iterdir()] == ["file.whl"]


def test_download_resumes_a_part(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file.whl.part").write_bytes(PAYLOAD[:1000])
    assert download(server.url, tmp_path / "file.whl", SUM).read_bytes() == PAYLOAD
    assert server.seen == ["bytes=1000-"]


def test_download_begins_anew_where_the_server_knows_no_ranges(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "file.whl.part").write_bytes(b"stale" * 100)
    assert download(server.url, tmp_path / "file.whl", SUM).read_bytes() == PAYLOAD


def test_a_part_that_is_whole_already_is_taken(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file.whl.part").write_bytes(PAYLOAD)
    assert download(server.url, tmp_path / "file.whl", SUM).read_bytes() == PAYLOAD
    assert server.seen == [f"bytes={len(PAYLOAD)}-"]


def test_a_part_longer_than_the_file_is_dropped(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file.whl.part").write_bytes(PAYLOAD + b"!")
    assert download(server.url, tmp_path / "file.whl", SUM).read_bytes() == PAYLOAD
    assert server.seen == [f"bytes={len(PAYLOAD) + 1}-", None]


def test_a_broken_line_is_resumed(server: FileServer, tmp_path: Path, waits: list[float]) -> None:
    server.cut_at = [100, 200, 300]
    assert download(server.url, tmp_path / "file.whl", SUM).read_bytes() == PAYLOAD
    assert server.seen == [None, "bytes=100-", "bytes=300-", "bytes=600-"]
    assert waits == [1, 1, 1], "an attempt that brought bytes must not lengthen the wait"


def test_a_busy_server_is_asked_again_and_then_given_up(
    server: FileServer, tmp_path: Path, waits: list[float]
) -> None:
    server.statuses = [503, 503]
    assert download(server.url, tmp_path / "file.whl", SUM).read_bytes() == PAYLOAD
    assert waits == [1, 2]
    server.statuses = [503] * 9
    with pytest.raises(DataError, match="could not download"):
        download(server.url, tmp_path / "other.whl", SUM)
    assert waits == [1, 2, 1, 2, 4, 8]


def test_a_missing_file_is_not_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(DataError, match="404"):
        download(server.url, tmp_path / "file.whl", SUM)
    assert len(server.seen) == 1


def test_other_bytes_than_pinned_are_deleted_and_reported(server: FileServer, tmp_path: Path) -> None:
    server.payload = PAYLOAD[:-1] + b"?"
    found = hashlib.sha256(server.payload).hexdigest()
    with pytest.raises(DataError, match=rf"expected sha256 {SUM}, found {found}.*Try again"):
        download(server.url, tmp_path / "file.whl", SUM)
    assert list(tmp_path.iterdir()) == []


def test_download_takes_file_addresses(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(PAYLOAD)
    (tmp_path / "file.whl.part").write_bytes(b"stale")
    assert download((tmp_path / "source").as_uri(), tmp_path / "file.whl", SUM).read_bytes() == PAYLOAD
    with pytest.raises(DataError, match="could not download"):
        download((tmp_path / "nowhere").as_uri(), tmp_path / "other.whl", SUM)


# --- pip --------------------------------------------------------------------------------------------------


def make_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    info = "tiny_model-1.0.dist-info"
    metadata = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | metadata).items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_pip_says_where_a_wheel_lies(shelf: Path) -> None:
    wheel = make_wheel(shelf, {"tiny_model/model.bin": b"weights"})
    found = locate("tiny-model", "1.0")
    assert found.url == wheel.as_uri()
    assert found.sha256 in (None, hashlib.sha256(wheel.read_bytes()).hexdigest())


def test_pip_finding_nothing_is_explained(shelf: Path) -> None:
    with pytest.raises(DataError, match=r"pip could not find tiny-model==1\.0.*(?s:.)*check the network"):
        locate("tiny-model", "1.0")


# --- assets -----------------------------------------------------------------------------------------------


def register(
    monkeypatch: pytest.MonkeyPatch, wheel: Path, conversion: Callable[[Path, Path], None], **changes: str
) -> None:
    """Make `tiny` the only asset, converted by `conversion`."""
    file = PackageFile(
        registry="wheel",
        package="tiny-model",
        version="1.0",
        filename=wheel.name,
        sha256=changes.get("sha256", hashlib.sha256(wheel.read_bytes()).hexdigest()),
        members=(changes.get("member", "tiny_model/model.bin"),),
    )
    asset = Asset(
        kind="model",
        hub_id="someone/tiny",
        licence="mit",
        note="a test",
        convert=changes.get("convert", "copy"),
        file=file,
    )
    monkeypatch.setattr(assets, "ASSETS", MappingProxyType({"tiny": asset}))
    monkeypatch.setattr("hf_mtl.data.conversions.CONVERSIONS", {"copy": conversion})


def copy(source: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "weights").write_bytes((source / "model.bin").read_bytes())


def test_an_asset_is_built_once(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = make_wheel(shelf, {"tiny_model/model.bin": b"weights"})
    register(monkeypatch, wheel, copy)
    folder = resolve_asset("tiny")
    assert folder == cache / "assets" / "tiny"
    assert (folder / "weights").read_bytes() == b"weights"
    assert json.loads((folder / BASE_FILE).read_text()) == {
        "format_version": 1,
        "hub_id": "someone/tiny",
        "origin": "PyPI tiny-model==1.0, model.bin",
        "note": "a test",
        "licence": "mit",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    assert "Converting model.bin" in capsys.readouterr().err
    assert list((cache / "downloads").iterdir()) == [], "the wheel takes no place once it is converted"

    wheel.unlink()
    monkeypatch.setattr(assets, "locate", pytest.fail)
    monkeypatch.setattr(assets, "download", pytest.fail)
    assert resolve_asset("tiny") == folder
    assert capsys.readouterr().err == ""


def test_a_conversion_that_is_cut_off_leaves_nothing_behind(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(source: Path, folder: Path) -> None:
        copy(source, folder)
        raise KeyboardInterrupt

    wheel = make_wheel(shelf, {"tiny_model/model.bin": b"weights"})
    register(monkeypatch, wheel, cut_off)
    with pytest.raises(KeyboardInterrupt):
        resolve_asset("tiny")
    assert [path.name for path in (cache / "assets").iterdir() if path.suffix != ".lock"] == []

    monkeypatch.setattr(assets, "locate", pytest.fail)  # the wheel is still there: no second download
    monkeypatch.setattr("hf_mtl.data.conversions.CONVERSIONS", {"copy": copy})
    assert (resolve_asset("tiny") / "weights").exists()


def test_what_a_killed_process_left_is_cleared(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tiny", ".tiny-abc123"):  # a folder without the base file, and a scratch folder
        (cache / "assets" / name).mkdir(parents=True)
        (cache / "assets" / name / "half").write_text("x")
    register(monkeypatch, make_wheel(shelf, {"tiny_model/model.bin": b"weights"}), copy)
    folder = resolve_asset("tiny")
    assert sorted(path.name for path in folder.iterdir()) == [BASE_FILE, "weights"]
    assert not (cache / "assets" / ".tiny-abc123").exists()


def test_two_at_once_convert_once(cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conversions: list[Path] = []

    def counted(source: Path, folder: Path) -> None:
        conversions.append(folder)
        copy(source, folder)

    register(monkeypatch, make_wheel(shelf, {"tiny_model/model.bin": b"weights"}), counted)
    threads = [threading.Thread(target=resolve_asset, args=("tiny",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(conversions) == 1


@pytest.mark.parametrize(
    "member", ["../escape.bin", "/etc/escape.bin", "a/../../escape.bin", "..\\escape.bin"]
)
def test_members_must_stay_inside(
    member: str, cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(cache / "downloads", {member: b"evil"})
    register(monkeypatch, wheel, copy, member=member)
    with pytest.raises(DataError, match="refused to unpack"):
        resolve_asset("tiny")
    assert not list(cache.parent.rglob("escape.bin"))


def test_a_wheel_without_the_model_is_explained(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, make_wheel(shelf, {"tiny_model/other.bin": b"x"}), copy)
    with pytest.raises(DataError, match=r"does not hold 'tiny_model/model\.bin'"):
        resolve_asset("tiny")


def test_another_sum_at_the_index_stops_before_the_download(
    cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, make_wheel(shelf, {"tiny_model/model.bin": b"x"}), copy, sha256="0" * 64)
    monkeypatch.setattr(assets, "locate", lambda *_: PublishedFile("http://x/y", "1" * 64))
    with pytest.raises(DataError, match=r"another tiny_model.*Nothing was downloaded"):
        resolve_asset("tiny")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"smollm2-135m-instruct.*Did you mean 'smollm2-135m-instruct'\?"):
        resolve_asset("smollm2-135m-instuct")


def test_missing_gguf_names_the_extra(cache: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, make_wheel(shelf, {"tiny_model/model.bin": b"x"}), copy, convert="gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConfigError, match=r"pip install 'hf-mtl\[quickstart\]'"):
        resolve_asset("tiny")


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_MTL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "hf_mtl"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hf_mtl"
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of the GGUF reader are not ours to mend
def test_smollm2_from_the_index_to_logits(cache: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve_asset("smollm2-135m-instruct")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert model.config.num_hidden_layers == 30
    assert tokenizer.chat_template and len(tokenizer) == model.config.vocab_size
    batch = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        best = int(model(**batch).logits[0, -1].argmax())
    assert tokenizer.decode([best]) == " Paris"
    assert json.loads((folder / BASE_FILE).read_text())["hub_id"] == ASSETS["smollm2-135m-instruct"].hub_id
    assert not any((cache / "downloads").iterdir())
