"""The tests' side of the server, and of the process in which the real client runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forked_writer import ForkedWriter
from hub_store import TOKENS, WRITER

HERE = Path(__file__).parent
NAMES = (
    "mlp",
    "q&a",
    "weight",
    "a/b",
    "..",
    "ärger",
    "Q&A",
    "past tense",
)  # the tasks of the suite that is pushed


class HubControl:
    """A running server."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(HERE / "hub_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._server.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._server.stdout.readline())}"

    def ask(self, what: str, content: object = None) -> Any:
        request = urllib.request.Request(f"{self.url}/_control/{what}", json.dumps(content).encode())
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def fail(self, path: str, kind: str = "status", **options: int | str) -> None:
        """Make the next requests to a path fail, see `hub_server.Fault`."""
        self.ask("faults", [{"path": path, "kind": kind, **options}])

    def log(self, *, clear: bool = False) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("log", "clear" if clear else None)
        return found

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60) -> None:
        """Wait until a request has come."""
        end = time.monotonic() + seconds
        while not any(map(wanted, self.log())):
            assert time.monotonic() < end, "the request never came"
            time.sleep(0.05)

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        """What a branch of a repository holds, without what the Hub itself puts there."""
        found = self.ask("repos")[repo]
        commit = next(own for own in found["commits"] if own["sha"] == found["branches"][branch])
        return {
            path: text.encode("latin-1") for path, text in commit["files"].items() if path != ".gitattributes"
        }

    def commits(self, repo: str) -> list[str]:
        """The messages of a repository's commits after the first."""
        return [commit["message"] for commit in self.ask("repos")[repo]["commits"][1:]]

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=20)
        self._server.stdout.close()


@dataclass(frozen=True)
class Outcome:
    """What a job in the client's process came to.

    Args:
        result: What it returned.
        error: The error's class and text, if it raised.
        printed: Everything that it printed and logged, with the traceback.
        pauses: The seconds that it wanted to wait between attempts.
    """

    result: Any
    error: str
    printed: str
    pauses: list[float]

    @property
    def done(self) -> Any:
        """The result of a job that must not fail."""
        assert not self.error, self.printed
        return self.result


class HubClient:
    """A process with the real client, in whose children the jobs of `hub_jobs` run."""

    def __init__(self, hub: HubControl, home: Path) -> None:
        changes = {
            "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONWARNINGS": "ignore", "NO_PROXY": "127.0.0.1", "TERM": "dumb", "COLUMNS": "200",
        }  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changes.items():
                patch.setenv(name, value)
            for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
                patch.delenv(name, raising=False)
            self._jobs = ForkedWriter(str(HERE / "hub_jobs.py"))
        self._home = home
        self._count = 0

    def start(self, job: str, *arguments: object, token: str | None = WRITER) -> int:
        """Start a job; returns the number of its process."""
        self._count += 1
        return self._jobs.start(job, str(self._answer), token, *map(_plain, arguments))

    def end(self) -> Outcome | None:
        """Wait for the job; None if it was killed."""
        status, text = self._jobs.end()
        if status < 0:
            return None
        assert status == 0, text
        outcome = Outcome(**json.loads(self._answer.read_text(encoding="utf-8")))
        for token in TOKENS:
            assert token not in outcome.printed + outcome.error + str(outcome.result)
        return outcome

    def do(self, job: str, *arguments: object, token: str | None = WRITER) -> Outcome:
        self.start(job, *arguments, token=token)
        outcome = self.end()
        assert outcome is not None
        return outcome

    def must(self, job: str, *arguments: object, token: str | None = WRITER) -> Any:
        """The result of a job that has to work."""
        return self.do(job, *arguments, token=token).done

    @property
    def _answer(self) -> Path:
        return self._home / f"answer-{os.getpid()}-{self._count}.json"

    def close(self) -> None:
        self._jobs.close()


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
