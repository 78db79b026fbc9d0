"""Fetch one published file: ask pip where it lies, download it with resume, check its sha256."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from hf_mtl.errors import DataError
from hf_mtl.files import is_forbidden, is_full, make_folder, write_error, writing
from hf_mtl.terminal import Terminal

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["PublishedFile", "check_sha256", "download", "locate", "opened", "shown"]

_CHUNK = 1 << 20
_LIMIT = 2 << 30  # bytes; twice as large as any file of the catalogue
_TIMEOUT_S = 60
# Waits between attempts that brought no byte; an attempt that brought some starts the list anew.
_BACKOFF_S = (1, 2, 4, 8)
_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416


@dataclass(frozen=True)
class PublishedFile:
    """Where the package index says that a file lies, and the sha256 that it states (None: it states none)."""

    url: str
    sha256: str | None


def locate(package: str, version: str) -> PublishedFile:
    """Ask pip, with whatever index the user has configured, for the address of a package's wheel.

    Raises:
        DataError: pip is missing or finds no such wheel.
    """
    requirement = f"{package}=={version}"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--report", "-", "-q", requirement]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise DataError(
            f"pip could not find {requirement} (exit status {ran.returncode}).\n{ran.stderr.strip()}\n"
            f"Expected `pip install --dry-run --report - {requirement}` to work (pip 22.2 or newer): check "
            "the network, the index and the proxy that pip is configured with."
        )
    return _read_report(ran.stdout, requirement)


def _read_report(report: str, requirement: str) -> PublishedFile:
    try:
        found = json.loads(report)["install"][0]["download_info"]
        return PublishedFile(found["url"], found.get("archive_info", {}).get("hashes", {}).get("sha256"))
    except (ValueError, LookupError) as error:
        raise DataError(
            f"pip's report on {requirement} could not be read ({error!r}): expected an `install` list with a "
            f"`download_info`, found {report[:200]!r}. Upgrade pip (22.2 or newer) and try again."
        ) from error


def download(url: str, target: Path, sha256: str, *, limit: int = _LIMIT) -> Path:
    """Download `url` to `target`, resuming `<target>.part`; `target` appears only whole and verified.

    Args:
        url: an http, https or file address; proxies are taken from the environment.
        target: where the file goes; if it is there with the right sum, nothing is fetched.
        sha256: the sum that we pinned, in hexadecimal.
        limit: most bytes that are taken before the sum can be known.

    Raises:
        DataError: the server cannot be reached, answers with an error, or sends other or more bytes than pinned.
    """
    if target.exists():
        check_sha256(target, sha256)
        return target
    part = target.with_name(target.name + ".part")
    make_folder(part.parent)
    _fetch_with_retries(url, part, limit)
    check_sha256(part, sha256)
    with writing(target):
        part.replace(target)
    return target


def shown(url: str) -> str:
    """The address as it may be printed: without a user's name and password, and without a query.

    >>> shown("https://me:secret@index.example/a/b.whl?key=1")
    'https://index.example/a/b.whl'
    """
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def opened(url: str, headers: Mapping[str, str]) -> Any:  # Any: what urllib gives differs by the address
    """Open an http, https or file address, without the user's name and password that may stand in it.

    Raises:
        OSError: It cannot be opened, or leads from https to an address that is not.
    """
    parts = urllib.parse.urlsplit(url)
    bare = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(bare, headers=dict(headers))
    return urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT_S)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # of urllib
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        to = urllib.parse.urlsplit(newurl).scheme
        if to != "https" and (to, req.type) != ("http", "http"):
            raise urllib.error.URLError(f"it leads from {req.type} to {shown(newurl)}, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_sha256(path: Path, expected: str) -> None:
    """Delete `path` and raise unless its sha256 is `expected`.

    Raises:
        DataError: the sums differ.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    found = digest.hexdigest()
    if found == expected:
        return
    size = path.stat().st_size
    path.unlink()
    raise DataError(
        f"{path.name} is not the file that was expected: expected sha256 {expected}, found {found} "
        f"({size} bytes). It was deleted. Try again; if the sums still differ, the index or a proxy serves "
        "another file under this name."
    )


def _fetch_with_retries(url: str, part: Path, limit: int) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch(url, part, limit)
            return
        except (OSError, http.client.HTTPException) as error:
            if _is_of_the_disk(error):
                raise write_error(part, error) from error
            failures = failures + 1 if _size(part) <= before else 1
            if not _is_worth_retrying(error) or failures > len(_BACKOFF_S):
                raise DataError(
                    f"could not download {shown(url)}: {error!r}. {_size(part)} bytes are kept in {part}; the next "
                    "call goes on from there. Check the network and the proxy, then try again."
                ) from error
        time.sleep(_BACKOFF_S[failures - 1])


def _is_of_the_disk(error: Exception) -> bool:
    """Whether the file could not be written; what the network says comes wrapped."""
    return not isinstance(error, urllib.error.URLError) and (is_full(error) or is_forbidden(error))


def _is_worth_retrying(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _RETRIED_STATUS
    if isinstance(error, urllib.error.URLError):
        # A missing local file (file://) or a malformed address does not mend itself.
        return isinstance(error.reason, OSError) and not isinstance(error.reason, FileNotFoundError)
    return isinstance(error, (ConnectionError, TimeoutError, http.client.HTTPException))


def _fetch(url: str, part: Path, limit: int) -> None:
    """One attempt: append to `part` where the server honours the range, begin anew where it does not."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = opened(url, headers)
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE or not have:
            raise
        error.close()
        _settle_unsatisfiable(error, part, have)
        return
    with response:
        resumed = response.status == _PARTIAL_CONTENT
        if resumed and _range_start(response.headers.get("Content-Range")) != have:
            part.unlink()
            raise ConnectionError(f"the server sent another range than the one asked for (from byte {have})")
        length = response.headers.get("Content-Length", "")
        start = have if resumed else 0
        total = start + int(length) if length.isdecimal() else None
        try:
            if total is not None and total > limit:
                raise _TooLarge(f"{total:,} bytes are announced")
            with part.open("ab" if resumed else "wb") as file:
                _copy(response, file, start, total, part.stem, limit)
        except _TooLarge as error:
            part.unlink(missing_ok=True)
            raise DataError(
                f"could not download {shown(url)}: {error}, and no file that is wanted here has more than {limit:,}. "
                f"What had come was deleted. The index or a proxy serves something else under this name."
            ) from error


class _TooLarge(Exception):
    """More comes than is wanted."""


def _settle_unsatisfiable(error: urllib.error.HTTPError, part: Path, have: int) -> None:
    """Nothing lies behind our last byte: the part is whole, or it is longer than the file and of no use."""
    if error.headers.get("Content-Range", "").removeprefix("bytes */") != str(have):
        part.unlink()
        raise ConnectionError(f"the partial file ({have} bytes) does not fit the server's file") from error


def _range_start(content_range: str | None) -> int | None:
    if content_range is None or not content_range.startswith("bytes "):
        return None
    start = content_range.removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else None


def _copy(source: BinaryIO, file: BinaryIO, start: int, total: int | None, title: str, limit: int) -> None:
    done = start
    with _progress() as progress:
        bar = progress.add_task(title, total=total, completed=start)
        while chunk := source.read(_CHUNK):
            done += len(chunk)
            if done > limit:
                raise _TooLarge("more and more bytes come")
            file.write(chunk)
            progress.update(bar, completed=done)
    # A read with a size gives what came when the line breaks off, and raises nothing.
    if total is not None and done < total:
        raise ConnectionError(f"the connection closed after {done} of {total} bytes")


def _progress() -> Progress:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Terminal(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
