"""One of two processes that are two nodes: what arguments about nodes change there. `test_nodes.py` starts it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import transformers
from transformers import TrainingArguments

from runs import tasks, trainer_of

LEVELS = {"log_level": "info", "log_level_replica": "error"}


def _error_of_backend(folder: Path) -> str:
    """Before the processes have found each other: a backend that this torch was built without."""
    try:
        TrainingArguments(str(folder), ddp_backend="mpi")
    except (RuntimeError, ValueError) as error:
        return str(error)
    return ""


def main(base: Path, out: Path) -> None:
    rank = int(os.environ["RANK"])
    seen: dict[str, Any] = {"backend_error": _error_of_backend(out)}
    TrainingArguments(str(out), ddp_backend="gloo", ddp_timeout=77)
    group: Any = dist.group.WORLD
    seen["backend"] = dist.get_backend()
    seen["timeout"] = group._get_backend(torch.device("cpu")).options._timeout.total_seconds()
    for each in (True, False):
        folder = out / f"node-{rank}-{each}"
        changes: dict[str, Any] = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1, **LEVELS}
        trainer = trainer_of(
            base,
            folder,
            {"verbs": tasks()["verbs"]},
            log_on_each_node=each,
            save_on_each_node=each,
            **changes,
        )
        seen[f"level {each}"] = transformers.logging.get_verbosity()
        trainer.train()
        seen[f"checkpoints {each}"] = sorted(path.name for path in folder.rglob("checkpoint-*"))
    (out / f"{rank}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
