"""A server that speaks the Hub's HTTP protocol, for the real client: `python hub_server.py` prints its port.

Uploads are regular or, for weights, through large file storage (batch, PUT, verify). What it is asked is logged, and
`POST /_control/faults` makes next requests fail; see `Fault`. `hub_control.HubControl` is the tests' side of it.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_metadata import problems_of
from hub_store import LARGE, LARGE_SIZE, ORGANISATIONS, STRANGERS, TOKENS, WRITER, Blob, Repo, Token


@dataclasses.dataclass
class Fault:
    """What happens to the next requests to a path.

    Args:
        path: A regular expression that the method and path must match from the start, as "PUT /lfs".
        kind: "status" answers with an error; "drop" closes the connection without an answer; "lost" does what is asked
            and closes it then; "half" reads or sends half of the body and closes it; "stall" waits; "redirect" sends
            the client to another host with `status`; "refer" answers, and names that host for what comes next; "held"
            does what is asked and keeps the answer back; "pause" does it when the faults are healed.
        times: How many requests.
        skip: How many matching requests go well before.
        status: Of the answer.
        retry_after: The header's value.
        host: The other host, as `http://localhost:1`.
    """

    path: str
    kind: str = "status"
    times: int = 1
    skip: int = 0
    status: int = 503
    retry_after: int | None = None
    host: str = ""


class State:
    """All that the server knows; one lock for everything."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.kept: dict[str, Repo] = {}
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.repos: dict[str, Repo] = {}
            self.faults: list[Fault] = []
            self.log: list[dict[str, Any]] = []
            self.released = threading.Event()

    def fault_for(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if re.match(fault.path, line):
                    if fault.skip:
                        fault.skip -= 1
                    elif fault.times:
                        fault.times -= 1
                        return fault
        return None


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status, self.message, self.code = status, message, code


def not_found(what: str) -> Refused:
    return Refused(404, what, what)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, *_: object) -> None:
        """The log is kept as data."""

    # ---- one request ----

    def _serve(self) -> None:
        split = urlsplit(self.path)
        self.place, self.asked = unquote(split.path), split.query
        if self.place.startswith("/_control/"):
            self._control(json.loads(self._body() or b"null"))
            return
        self.entry: dict[str, Any] = {"method": self.command, "path": self.place, "status": None}
        with self.state.lock:
            self.state.log.append(self.entry)
        self.fault = self.state.fault_for(f"{self.command} {self.place}")
        kind = self.fault.kind if self.fault else ""
        self.entry["fault"] = kind or None
        if kind == "half" and self.command in ("PUT", "POST"):
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            self._hang_up()
            return
        body = self._body()
        if kind == "drop":
            self._hang_up()
            return
        if kind == "stall":
            self.state.released.wait(60)
            self._hang_up()
            return
        if kind == "pause":
            self.state.released.wait(60)
        if kind == "redirect" and self.fault is not None:
            self._send(self.fault.status, {}, {"Location": self.fault.host + self.path})
            return
        try:
            if kind == "status" and self.fault is not None:
                raise Refused(self.fault.status, "the test wants it so")
            with self.state.lock:
                self._answer(body)
        except Refused as refused:
            headers = {"X-Error-Message": refused.message}
            if refused.code:
                headers["X-Error-Code"] = refused.code
            if self.fault is not None and self.fault.retry_after is not None:
                headers["Retry-After"] = str(self.fault.retry_after)
            self._send(refused.status, {"error": refused.message}, headers)
        if kind == "held":  # without the lock
            self.state.released.wait(60)
            self._hang_up()

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, content: Any = None, headers: dict[str, str] | None = None) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        self.entry["status"] = status
        fault = self.fault.kind if self.fault else ""
        if fault == "lost":
            self._hang_up()
        if fault in ("lost", "held"):
            return
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw[: len(raw) // 2] if fault == "half" else raw)
        if fault == "half":
            self.wfile.flush()
            self._hang_up()

    # ---- for the tests ----

    def _control(self, asked: Any) -> None:
        self.entry, self.fault = {}, None
        state, what = self.state, self.place.removeprefix("/_control/")
        answer: Any = None
        with state.lock:
            if what == "reset":
                state.released.set()
                state.reset()
            elif what == "keep":  # all repositories as they are, for "restore"
                state.kept = copy.deepcopy(state.repos)
            elif what == "restore":
                state.released.set()
                state.reset()
                state.repos = copy.deepcopy(state.kept)
            elif what == "faults":
                state.faults += [Fault(**fault) for fault in asked]
            elif what == "heal":
                state.faults.clear()
                state.released.set()
                state.released = threading.Event()
            elif what == "log":
                answer = list(state.log)
                if asked == "clear":
                    state.log.clear()
            elif what == "put":  # files of somebody else's making
                repo = state.repos.setdefault(asked["repo"], Repo(private=asked.get("private", False)))
                repo.gated = asked.get("gated", repo.gated)
                files = {path: Blob(text.encode()) for path, text in asked["files"].items()}
                answer = repo.add("main", repo.commits[-1].files | files, "by hand").sha
            elif what == "drop":  # somebody deletes it
                del state.repos[asked]
            elif what == "move":  # somebody force-pushes an older commit
                repo = state.repos[asked["repo"]]
                repo.branches["main"] = repo.commits[asked["to"]].sha
            elif what == "branch":
                repo = state.repos[asked["repo"]]
                repo.branches[asked["branch"]] = repo.branches["main"]
            elif what == "repos":
                answer = {
                    name: {
                        "private": repo.private,
                        "branches": repo.branches,
                        "commits": [
                            {
                                "sha": commit.sha,
                                "message": commit.message,
                                "files": {
                                    path: blob.content.decode("latin-1")
                                    for path, blob in commit.files.items()
                                },
                            }
                            for commit in repo.commits
                        ],
                    }
                    for name, repo in state.repos.items()
                }
        self._send(200, answer)

    # ---- the Hub ----

    def _answer(self, body: bytes) -> None:
        for (method, pattern), action in ROUTES.items():
            match = re.fullmatch(pattern, self.place)
            if match and self.command in method.split("|"):
                action(self, body, *match.groups())
                return
        raise not_found("EntryNotFound")

    def _next_host(self) -> str:
        """Where the client is to go with what comes next."""
        refers = self.fault is not None and self.fault.kind == "refer"
        return self.fault.host if refers and self.fault is not None else f"http://{self.headers['Host']}"

    def _token(self) -> Token | None:
        value = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not value:
            return None
        if value not in TOKENS:
            raise Refused(401, "Invalid credentials in Authorization header")
        return TOKENS[value]

    def _check_write(self, repo: str) -> None:
        token = self._token()
        if token is None:
            raise Refused(401, "Invalid username or password.")
        if not token.may_write(repo, ORGANISATIONS):
            raise Refused(403, f"You don't have the rights to write to {repo}")

    def _repo(self, name: str) -> Repo:
        token, repo = self._token(), self.state.repos.get(name)
        if repo is None or (repo.private and token is None):
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        return repo

    def _commit_of(self, name: str, revision: str | None) -> tuple[Repo, Any]:
        repo = self._repo(name)
        commit = repo.at(revision or "main")
        if commit is None:
            raise not_found("RevisionNotFound")
        return repo, commit

    def whoami(self, body: bytes) -> None:
        token = self._token()
        if token is None:
            raise Refused(401, "Invalid username or password.")
        self._send(200, token.whoami(ORGANISATIONS))

    def overview(self, body: bytes, kind: str, name: str) -> None:
        users = {token.user for token in TOKENS.values()} | set(STRANGERS)
        if name not in (users if kind == "users" else ORGANISATIONS):
            raise Refused(404, "This user does not exist")
        self._send(200, {"user": name, "name": name, "fullname": name, "avatarUrl": "", "type": kind})

    def create(self, body: bytes) -> None:
        asked, token = json.loads(body), self._token()
        owner = asked.get("organization") or (token.user if token else "")
        name = f"{owner}/{asked['name']}"
        self._check_write(name)
        url = f"http://{self.headers['Host']}/{name}"
        if name in self.state.repos:
            raise Refused(409, "You already created this model repo")
        self.state.repos[name] = Repo(private=asked.get("visibility") == "private")
        self._send(200, {"url": url, "name": name, "id": name})

    def validate_yaml(self, body: bytes) -> None:
        errors = [{"message": problem} for problem in problems_of(json.loads(body)["content"])]
        self._send(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        self._check_write(name)
        _, commit = self._commit_of(name, revision)
        self._send(
            200,
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs"
                        if file["path"].endswith(LARGE) or file["size"] > LARGE_SIZE
                        else "regular",
                        "shouldIgnore": False,
                        "oid": commit.files[file["path"]].oid if file["path"] in commit.files else None,
                    }
                    for file in json.loads(body)["files"]
                ]
            },
        )

    def commit(self, body: bytes, name: str, revision: str) -> None:
        self._check_write(name)
        repo, before = self._commit_of(name, revision)
        files, message, sent = dict(before.files), "", []
        for line in filter(bytes.strip, body.splitlines()):
            operation = json.loads(line)
            kind, value = operation["key"], operation["value"]
            if kind == "header":
                message = value["summary"]
                if value.get("parentCommit", before.sha) != before.sha:
                    raise Refused(412, "A commit has happened since. Please refresh and try again.")
            elif kind == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"], validate=True))
                sent.append(value["path"])
            elif kind == "lfsFile":
                if value["oid"] not in repo.large:
                    raise Refused(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = Blob(repo.large[value["oid"]], large=True)
                sent.append(value["path"])
            elif kind == "deletedFile":
                files.pop(value["path"])
            else:
                raise Refused(400, f"Unknown operation {kind}")
        made = repo.add(revision, files, message)
        self.entry |= {"sent": sent, "commit": made.sha, "message": message}
        url = f"http://{self.headers['Host']}/{name}/commit/{made.sha}"
        self._send(200, {"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""})

    def info(self, body: bytes, name: str, revision: str | None) -> None:
        repo, commit = self._commit_of(name, revision)
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        dates = dict.fromkeys(("createdAt", "lastModified"), "2026-01-01T00:00:00.000Z")
        self._send(
            200,
            {
                "_id": name,
                "id": name,
                "modelId": name,
                "author": name.split("/")[0],
                "sha": commit.sha,
                "tags": [],
            }
            | {"private": repo.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
            | {"siblings": siblings, **dates},
        )

    def tree(self, body: bytes, name: str, revision: str, under: str | None) -> None:
        _, commit = self._commit_of(name, revision)
        start = f"{under}/" if under else ""
        deep, found = "recursive=true" in self.asked.lower(), {}
        for path, blob in sorted(commit.files.items()):
            if not path.startswith(start):
                continue
            parts = path.removeprefix(start).split("/")
            for i in range(1, len(parts)):
                if deep or i == 1:
                    folder = start + "/".join(parts[:i])
                    found[folder] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
            if deep or len(parts) == 1:
                found[path] = _listed(path, blob)
        if under and not found:
            raise not_found("EntryNotFound")
        link = f'<{self._next_host()}{self.path}&cursor=2>; rel="next"'
        referred = self.fault is not None and self.fault.kind == "refer"
        self._send(200, list(found.values()), {"Link": link} if referred else None)

    def paths_info(self, body: bytes, name: str, revision: str) -> None:
        _, commit = self._commit_of(name, revision)
        paths = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
        self._send(200, [_listed(path, commit.files[path]) for path in paths if path in commit.files])

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        repo, commit = self._commit_of(name, revision)
        if repo.gated and (token := self._token()) != TOKENS[WRITER]:
            reason = f"Access to model {name} is restricted. "
            raise Refused(
                403 if token else 401, reason + "You must be authenticated to access it.", "GatedRepo"
            )
        if path not in commit.files:
            raise not_found("EntryNotFound")
        blob = commit.files[path]
        etag = blob.sha256 if blob.large else blob.oid
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if self.fault is not None and self.fault.kind == "refer":  # as the Hub does with large files
            headers |= {"Location": self._next_host() + self.path, "X-Linked-Size": str(len(blob.content))}
            self._send(302, {}, headers | {"X-Linked-ETag": headers["ETag"]})
            return
        self._send(200, blob.content, headers)

    # ---- large files ----

    def batch(self, body: bytes, name: str) -> None:
        self._check_write(name)
        repo, base = self._repo(name), f"http://{self.headers['Host']}"
        verify = self._next_host()
        objects = []
        for wanted in json.loads(body)["objects"]:
            found: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in repo.large:
                found["actions"] = {
                    "upload": {"href": f"{base}/lfs/{name}/{wanted['oid']}"},
                    "verify": {"href": f"{verify}/lfs/{name}/verify"},
                }
            objects.append(found)
        self._send(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, name: str, sha256: str) -> None:
        if hashlib.sha256(body).hexdigest() != sha256:
            raise Refused(400, "The content is not what its name says")
        self.state.repos[name].large[sha256] = body  # the real addresses are signed, and need no token
        self._send(200, {})

    def verify(self, body: bytes, name: str) -> None:
        self._check_write(name)
        asked = json.loads(body)
        if len(self._repo(name).large.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(404, "The object is not there")
        self._send(200, {})


def _listed(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": len(blob.content), "path": path}
    if blob.large:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return entry


NAME, REST = r"([^/]+/[^/]+)", r"([^/]+)"
ROUTES: dict[tuple[str, str], Callable[..., None]] = {
    ("GET", r"/api/whoami-v2"): Handler.whoami,
    ("GET", rf"/api/(users|organizations)/{REST}/overview"): Handler.overview,
    ("POST", r"/api/repos/create"): Handler.create,
    ("POST", r"/api/validate-yaml"): Handler.validate_yaml,
    ("POST", rf"/api/models/{NAME}/preupload/{REST}"): Handler.preupload,
    ("POST", rf"/api/models/{NAME}/commit/{REST}"): Handler.commit,
    ("GET", rf"/api/models/{NAME}(?:/revision/{REST})?"): Handler.info,
    ("GET", rf"/api/models/{NAME}/tree/{REST}(?:/(.+))?"): Handler.tree,
    ("POST", rf"/api/models/{NAME}/paths-info/{REST}"): Handler.paths_info,
    ("POST", rf"/{NAME}\.git/info/lfs/objects/batch"): Handler.batch,
    ("PUT", rf"/lfs/{NAME}/([0-9a-f]{{64}})"): Handler.store,
    ("POST", rf"/lfs/{NAME}/verify"): Handler.verify,
    ("GET|HEAD", rf"/{NAME}/resolve/{REST}/(.+)"): Handler.resolve,
}


def main() -> None:
    handler = type("Bound", (Handler,), {"state": State()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # until the tests are over


if __name__ == "__main__":
    main()
