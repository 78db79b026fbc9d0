from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kind_bases import save_base


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny base by its name in `kind_bases.BASES`."""
    root = tmp_path_factory.mktemp("kind-bases")

    def folder(name: str) -> Path:
        own = root / name
        if not own.is_dir():
            save_base(name, own)
        return own

    return folder
