from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from plain_folders import OF_CASE, lora, save_plain, stock
from tiny_bases import CASES


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny base."""
    root = tmp_path_factory.mktemp("bases")

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            case = CASES[OF_CASE[name]]
            case.config.pad_token_id = 1
            case.base(torch.float32).save_pretrained(root / name)
        return root / name

    return folder


@pytest.fixture
def plain_lora(base: Callable[[str], Path], tmp_path: Path) -> Path:
    """A LoRA of the tiny Llama."""
    save_plain(tmp_path / "plain", stock(base("llama"), "causal"), lora(task_type="CAUSAL_LM"))
    return tmp_path / "plain"
