"""Whether a package is here is asked by importing it: one that is there and broken is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hf_mtl.errors import ConfigError
from hf_mtl.packages import MATPLOTLIB, PILLOW, Package


def test_what_is_here() -> None:
    assert PILLOW.is_here() and PILLOW.problem("a picture") is None
    PILLOW.require("a picture")


@pytest.mark.parametrize("module", ["matplotlib", "matplotlib.backends.backend_agg"])
def test_what_is_absent(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert not MATPLOTLIB.is_here()
    with pytest.raises(ConfigError) as caught:
        MATPLOTLIB.require("a picture")
    assert str(caught.value) == (
        "a picture needs the package matplotlib, which is not installed: pip install 'hf-mtl[plots]'"
    )


def test_what_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_broken_package.py").write_text("import no_such_module_at_all\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    problem = Package("a_broken_package", "a-broken-package").problem("a report")
    assert problem is not None and "cannot be imported (No module named 'no_such_module_at_all')" in problem
