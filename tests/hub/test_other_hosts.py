"""Answers that send the client to another host: the token does not come along, neither in a push nor in a pull."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hub_control import HubClient, HubControl
from hub_store import TOKENS
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.slow  # many pushes and pulls in processes of their own

WAYS = [301, 302, 303, 307, 308]


class OtherHost:
    """A server that answers everything with an empty object, and keeps all that it was sent."""

    def __init__(self) -> None:
        got: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """It is kept."""

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                got.append(f"{self.command} {self.path}\n{self.headers}\n{body.decode('latin-1')}")
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"[]")

            do_GET = do_HEAD = do_POST = do_PUT = _serve

        self.got = got
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://localhost:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def other() -> Iterator[OtherHost]:
    other = OtherHost()
    yield other
    other.close()


def _came_bare(other: OtherHost) -> None:
    """Something came, and no token with it."""
    assert other.got
    for request in other.got:
        assert "authorization" not in request.lower(), request
        assert not any(token in request for token in TOKENS), request
    other.got.clear()


PUSH = {
    "whoami": "GET /api/whoami-v2",
    "info": "GET /api/models/ada/my-suite$",
    "tree": "GET /api/models/.*/tree/",
    "create": "POST /api/repos/create",
    "preupload": "POST /api/models/.*/preupload/",
    "batch": "POST /.*/objects/batch",
    "put": "PUT /lfs/",
    "verify": "POST /lfs/.*/verify",
    "commit": "POST /api/models/.*/commit/",
}


@pytest.mark.parametrize("phase", PUSH)
def test_a_push(hub: HubControl, client: HubClient, suite: Path, other: OtherHost, phase: str) -> None:
    for status in WAYS if phase in ("whoami", "commit", "verify") else WAYS[:1] + WAYS[-1:]:
        hub.ask("reset")
        hub.fail(PUSH[phase], "redirect", times=1000, status=status, host=other.url)
        outcome = client.do("push", suite, "ada", {})
        assert outcome.error.partition(":")[0] in ("", "HubError", "ConfigError"), outcome.printed
        _came_bare(other)
    hub.ask("heal")
    client.must("push", suite, "ada", {})
    assert not other.got


@pytest.mark.parametrize("path", ["GET /api/models/.*/tree/", "POST /.*/objects/batch"])
def test_a_push_that_is_referred(
    hub: HubControl, client: HubClient, suite: Path, other: OtherHost, path: str
) -> None:
    """The Hub's own answer names another host for the next page, or for the confirmation of an upload."""
    hub.fail(path, "refer", times=1000, host=other.url)
    outcome = client.do("push", suite, "ada", {})
    _came_bare(other)
    assert "The Hub refers to another host, localhost." in outcome.printed


def test_a_dry_run(hub: HubControl, client: HubClient, suite: Path, other: OtherHost) -> None:
    client.must("push", suite, "ada", {})
    for path in ("GET /api/whoami-v2", "GET /api/models/", "GET|HEAD /.*/resolve/"):
        hub.fail(path, "redirect", times=1000, status=307, host=other.url)
        client.do("dry", suite, "ada", {})
        hub.ask("heal")
        if "resolve" not in path:
            _came_bare(other)
    hub.fail("GET /api/models/.*/tree/", "refer", times=1000, host=other.url)
    client.do("dry", suite, "ada", {})
    _came_bare(other)


@pytest.mark.parametrize("status", [302, 307])
def test_a_pull(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path, other: OtherHost, status: int
) -> None:
    """Of a suite, and of the base that it names."""
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    for place in suite.glob("*/adapter_model.safetensors"):  # weights that no cache has yet
        save_file({key: own + status for key, own in load_file(place).items()}, place)
    client.must("push", suite, "ada", {"name": f"pulled-{status}"})
    large = "(GET|HEAD) /ada/.*/resolve/.*safetensors"
    for path, kind in (("GET /api/models/", "redirect"), (large, "redirect"), (large, "refer")):
        hub.fail(path, kind, times=1000, status=status, host=other.url)
        outcome = client.do("suite_logits", f"ada/pulled-{status}")
        hub.ask("heal")
        assert outcome.error.split(":")[0] in ("CheckpointError", "SavedAdapterError"), outcome.error
        if (path, kind) == (large, "redirect"):
            assert not other.got  # a place that does not say what the file is, is not asked for it
        else:
            _came_bare(other)
    hub.fail("GET /api/models/.*/tree/", "refer", times=1000, host=other.url)
    client.must("base_of", "ada/tiny-llama")
    _came_bare(other)
