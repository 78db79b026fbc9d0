"""Downloads that never end, lead elsewhere or carry a password: bounded, refused, and the password stays here."""

from __future__ import annotations

import base64
import email.message
import hashlib
import io
import threading
import urllib.error
import urllib.request
import urllib.response
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hf_mtl.data.download import download, opened
from hf_mtl.data.package_index import locate_sdist
from hf_mtl.errors import DataError

BODY = b"x" * 3000
SUM = hashlib.sha256(BODY).hexdigest()


class Server:
    """Answers by the path; keeps the headers that it was sent."""

    def __init__(self) -> None:
        got: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """They are kept."""

            def do_GET(self) -> None:
                got.append(dict(self.headers.items()))
                what = self.path.strip("/").partition("/")[0]
                if what == "to":
                    self.send_response(302)
                    self.send_header("Location", server.location)
                    self.end_headers()
                    return
                self.send_response(200)
                if what != "endless":
                    said = {"larger": "999999999999", "odd": "-1"}.get(what, str(len(BODY)))
                    self.send_header("Content-Length", said)
                self.end_headers()
                self.wfile.write(BODY)
                if what == "endless":
                    self._more()

            def _more(self) -> None:
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    server.ended.set()

        self.got, self.location, self.ended = got, "", threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def test_a_whole_file(server: Server, tmp_path: Path) -> None:
    for path in ("whole", "odd"):
        target = tmp_path / path
        assert download(f"http://{server.place}/{path}", target, SUM, limit=len(BODY)).read_bytes() == BODY


@pytest.mark.parametrize("path", ["whole", "larger", "endless"])
def test_more_than_is_wanted(server: Server, tmp_path: Path, path: str) -> None:
    with pytest.raises(
        DataError, match=r"no file that is wanted here has more than 2,000\. What had come was del"
    ):
        download(f"http://{server.place}/{path}", tmp_path / "file", SUM, limit=2000)
    assert not list(tmp_path.iterdir())
    assert path != "endless" or server.ended.wait(10)  # nobody goes on reading


def test_a_password_in_an_address_is_neither_sent_nor_shown(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://me:s3cret@{server.place}"
    download(f"{address}/whole", tmp_path / "file", SUM)
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
    with pytest.raises(DataError, match="lists no such file") as caught:
        locate_sdist("tiny", "tiny-1.0.tar.gz")
    assert "s3cret" not in str(caught.value)
    secret = base64.b64encode(b"me:s3cret").decode()
    assert server.got and all("s3cret" not in str(got) and secret not in str(got) for got in server.got)


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://localhost/x", "data:,x"])
def test_an_address_of_another_kind(server: Server, tmp_path: Path, to: str) -> None:
    server.location = to
    with pytest.raises(DataError, match="could not download"):
        download(f"http://{server.place}/to", tmp_path / "file", SUM)


def test_another_host_is_followed(server: Server, tmp_path: Path) -> None:
    server.location = f"http://{server.place.replace('127.0.0.1', 'localhost')}/whole"
    assert download(f"http://{server.place}/to", tmp_path / "file", SUM).read_bytes() == BODY


def test_https_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of a redirect is looked at before it is asked; a server that speaks TLS takes no part."""

    def answer(self: urllib.request.HTTPSHandler, request: urllib.request.Request) -> object:
        headers = email.message.Message()
        headers["Location"] = "http://me:s3cret@127.0.0.1:9/x"
        found = urllib.response.addinfourl(io.BytesIO(), headers, request.full_url, 302)
        vars(found)["msg"] = "Found"
        return found

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", answer)
    with pytest.raises(
        urllib.error.URLError, match=r"leads from https to http://127\.0\.0\.1:9/x, which is refused"
    ):
        opened("https://localhost/x", {})


def test_an_index_without_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_mtl.data.package_index._LONGEST", 1 << 18)
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{server.place}/endless")
    with pytest.raises(DataError, match="its page has more than 262,144 bytes"):
        locate_sdist("tiny", "tiny-1.0.tar.gz")
    assert server.ended.wait(10)
