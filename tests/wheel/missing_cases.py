"""Runs in the plain environment: what the program and the library say where a package is missing; prints JSON.

`python missing_cases.py program CALLS.json`, or
`python missing_cases.py library BASE VISION_BASE QUANTISED_BASE ROWS_WITH_IMAGES`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from datasets import Dataset, load_from_disk
from typer.testing import CliRunner

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, Task, load_base
from hf_mtl.cli import app
from hf_mtl.errors import ConfigError
from hf_mtl.evaluation import plot_losses
from hf_mtl.metrics import METRICS
from hf_mtl.models import load_processor


def program(calls: str) -> list[tuple[int, str, str]]:
    """Each call's exit status and what it printed to both outputs."""
    found = []
    for arguments in json.loads(Path(calls).read_text(encoding="utf-8")):
        done = CliRunner().invoke(app, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
        found.append((done.exit_code, done.stdout, done.stderr))
    return found


def _refusal(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except ConfigError as error:
        return str(error)
    return "nothing was refused"


def library(base: str, vision: str, quantised: str, pictures: str) -> dict[str, str]:
    """By name, what each attempt was refused with; and a run of the trainer with its cards."""
    rows = Dataset.from_list([{"prompt": "walk:", "completion": " walked"}] * 4)
    images = Dataset.from_list(
        [{"image": [[0, 255], [255, 0]], "label": "a"}, {"image": [[0, 0]], "label": "b"}]
    )
    reported = MultiTaskTrainingArguments("out", report_to=["wandb"], use_cpu=True)
    told = {
        "metric": _refusal(lambda: Task("a", train=rows, metrics=["rouge"])),
        "metric by hand": _refusal(lambda: METRICS["chrf"].compute(predictions=["a"], references=["a"])),
        "images": _refusal(lambda: Task("a", train=images, kind="image-classification", labels=["a", "b"])),
        "column of images": _refusal(lambda: Task("a", train=rows, eval=load_from_disk(pictures))),
        "processor": _refusal(lambda: load_processor(vision)),
        "base": _refusal(lambda: load_base(base, quantization="8bit")),
        "quantised base": _refusal(lambda: load_base(quantised)),
        "objective": _refusal(lambda: MultiTaskTrainingArguments("out", objective="torchjd:upgrad")),
        "tracker": _refusal(lambda: MultiTaskTrainer(base, reported, [Task("a", train=rows)])),
        "picture": _refusal(lambda: plot_losses([], ["a"], "losses.png")),
    }
    args = MultiTaskTrainingArguments("run", max_steps=3, logging_steps=1, use_cpu=True, save_strategy="no")
    trainer = MultiTaskTrainer(base, args, [Task("a", train=rows, eval=rows)])
    trainer.train()
    trainer.save_model()
    notices: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: notices.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("hf_mtl").addHandler(handler)
    told["card"] = trainer.create_model_card()[-1].read_text(encoding="utf-8")
    told["notices"] = "\n".join(notices)
    trainer.push_to_hub()
    return told


if __name__ == "__main__":
    result = program(*sys.argv[2:]) if sys.argv[1] == "program" else library(*sys.argv[2:])
    sys.stdout.write(f"\n{json.dumps(result)}\n")
