"""What a release would publish, installed as a user without extras has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_control import HubControl
from hub_store import WRITER
from plain_install import RECIPE, Built, PlainInstall, build_in, install_in


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_in(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def hub() -> Iterator[HubControl]:
    hub = HubControl()
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def plain(built: Built, hub: HubControl, tmp_path_factory: pytest.TempPathFactory) -> PlainInstall:
    home = tmp_path_factory.mktemp("plain")
    # To work on these tests without installing each time: an environment that has the wheel.
    ready = os.environ.get("PLAIN_PYTHON")
    python = Path(ready) if ready else install_in(home / "environment", built.wheel)
    return PlainInstall(python, home, hub.url, WRITER)


@pytest.fixture(scope="session")
def folder(
    tiny_llama: Path, two_tasks_rows: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An empty folder but for a recipe and its rows."""
    folder = tmp_path_factory.mktemp("work")
    for name, text in two_tasks_rows.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    return folder
