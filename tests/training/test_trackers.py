"""A tracker that cannot write: the run neither hangs nor ends with a traceback."""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from bounded import bounded
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from hf_mtl.errors import WriteError
from hf_mtl.training.trackers import trackers_writing


def _reports(folder: Path, bytes_of_a_file: int) -> None:
    """As `Trainer` does; more figures than the queue of tensorboardX has room for."""
    args = TrainingArguments(output_dir=str(folder), use_cpu=True)
    state, callback = TrainerState(is_world_process_zero=True), TensorBoardCallback()
    callback.logging_dir = str(folder / "log")
    with trackers_writing([callback], folder):
        callback.on_train_begin(args, state, TrainerControl())
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_of_a_file, bytes_of_a_file))
        for step in range(3):
            state.global_step = step
            callback.on_log(args, state, TrainerControl(), logs={f"loss/{n}": 1.0 for n in range(400)})
        callback.on_train_end(args, state, TrainerControl())


@pytest.mark.parametrize("room", [0, 10_000])
def test_a_disk_that_is_full(room: int, tmp_path: Path) -> None:
    outcome = bounded(lambda: _reports(tmp_path, room))
    assert outcome.kind == "WriteError", outcome
    assert outcome.text.startswith(
        "the log of the tracker 'tensorboard' could not be written: a file would be larger"
    )
    assert "--resume last" in outcome.text


def test_a_thread_of_a_tracker(tmp_path: Path) -> None:
    """Which ends unseen: what it should have written is missing at the end of the run."""
    module: dict[str, Any] = {"__name__": "tensorboardX.writer"}  # Any: what a module holds
    exec("def write():\n    raise OSError(28, 'No space left on device')", module)
    thread = threading.Thread(target=module["write"])
    message = "^the log of the tracker 'tensorboard' could not be written: the disk is full"
    with pytest.raises(WriteError, match=message), trackers_writing([], tmp_path):
        thread.start()
        thread.join()


def test_a_disk_with_room(tmp_path: Path) -> None:
    outcome = bounded(lambda: _reports(tmp_path, resource.RLIM_INFINITY))
    assert outcome.kind == "", outcome


def test_errors_of_others_pass(tmp_path: Path) -> None:
    hook = threading.excepthook
    for error in (OSError(28, "full"), ValueError("x")):
        with pytest.raises(type(error)) as caught, trackers_writing([], tmp_path):
            raise error
        assert caught.value is error
    assert threading.excepthook is hook
