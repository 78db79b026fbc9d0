"""How the tests start a program in two processes."""

from __future__ import annotations

import sys

__all__ = ["torchrun"]


def torchrun(*program: str, processes: int = 2) -> list[str]:
    """The command: `program` is a script, or `-m` and a module, with its arguments."""
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
    ]
    return [*launcher, *program]
