"""A run that ends badly ends with a message, lets go of its folder, and can be gone on with."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_writer import ForkedWriter
from run_processes import Job, await_round, begin
from small_disk import disk_of
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from hf_mtl import MultiTaskTrainer
from hf_mtl.errors import CheckpointDamagedError, CheckpointError, CheckpointWriteError
from hf_mtl.training.checkpoints import RunLock, last_checkpoint
from runs import Poison, logged, state_of, tasks, trainer_of, weights

SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2, "max_steps": 8}


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> MultiTaskTrainer:
    """A run that nothing happened to."""
    trainer = trainer_of(tiny_llama, tmp_path_factory.mktemp("whole"), tasks(), **SAVING)
    trainer.train()
    return trainer


class _At(TrainerCallback):
    """Does something at the end of a round."""

    def __init__(self, number: int, what: Callable[[], None]) -> None:
        self.number = number
        self.what = what

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.number:
            self.what()


def _leave_free(disk: Path, free: int) -> None:
    (disk / "others").write_bytes(bytes(shutil.disk_usage(disk).free - free))


def _same(one: MultiTaskTrainer, two: MultiTaskTrainer) -> None:
    expected, found = state_of(one), state_of(two)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert logged(one) == logged(two)


def _resumes(folder: Path, out: Path, whole: MultiTaskTrainer, found: str, **changes: Any) -> None:
    last = last_checkpoint(out)
    assert last is not None and last.name == found
    resumed = trainer_of(folder, out, tasks(), **(SAVING | changes))
    resumed.train(resume_from_checkpoint=True)
    _same(whole, resumed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    with disk_of(4, tmp_path / "disk") as folder:
        yield folder


def test_disk_full(tiny_llama: Path, small_disk: Path, whole: MultiTaskTrainer) -> None:
    trainer = trainer_of(tiny_llama, small_disk, tasks(), **SAVING)
    trainer.add_callback(_At(5, lambda: _leave_free(small_disk, 100_000)))
    with pytest.raises(CheckpointWriteError) as caught:
        trainer.train()
    assert str(caught.value).startswith(f"{small_disk}/checkpoint-6 could not be written: the disk is full")
    assert f"The last checkpoint, {small_disk}/checkpoint-4, is whole and usable." in str(caught.value)
    assert [path.name for path in small_disk.iterdir() if ".partial-" in path.name] == []
    (small_disk / "others").unlink()
    _resumes(tiny_llama, small_disk, whole, "checkpoint-4", save_total_limit=2)


def test_exception_in_a_callback(tiny_llama: Path, tmp_path: Path, whole: MultiTaskTrainer) -> None:
    def fail() -> None:
        raise ZeroDivisionError("of a user")

    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), **SAVING)
    trainer.add_callback(_At(5, fail))
    with pytest.raises(ZeroDivisionError, match="of a user"):
        trainer.train()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    with RunLock(tmp_path):
        pass
    _resumes(tiny_llama, tmp_path, whole, "checkpoint-4")


def test_the_same_trainer_goes_on_after_an_exception(
    tiny_llama: Path, tmp_path: Path, whole: MultiTaskTrainer
) -> None:
    """As in a notebook: nothing of the run that failed is left in the one that follows."""
    failing = [True]

    def fail_once() -> None:
        if failing.pop() if failing else False:
            raise ZeroDivisionError

    trainer = trainer_of(tiny_llama, tmp_path, tasks(), **SAVING)
    trainer.add_callback(_At(5, fail_once))
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    trainer.train(resume_from_checkpoint=True)
    _same(whole, trainer)


def test_a_second_call_of_train_remembers_nothing_of_the_first(tiny_llama: Path, tmp_path: Path) -> None:
    """Its best weights are its own, although the first one's were better."""
    changes = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True, "max_strikes": 2}
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), **(SAVING | changes))
    trainer.add_callback(Poison(trainer, "mlp", {3}))
    trainer.train()
    assert trainer.containment.strikes == {"mlp": 1}
    better = {name: record.value for name, record in trainer.best.records.items()}
    torch.manual_seed(0)
    for parameters in trainer.owners.parameters.values():
        for parameter in parameters.values():
            parameter.data.normal_()
    trainer.train()
    assert trainer.containment.strikes == {"mlp": 1} and trainer.plan.stopped == set()
    for name, record in trainer.best.records.items():
        value, before = record.value, better[name]
        assert value is not None and before is not None and value > before
        assert trainer.evaluate()[f"eval_{name}/loss"] == value


def test_two_runs_in_one_folder(tiny_llama: Path, tmp_path: Path, runner: ForkedWriter) -> None:
    job = Job(str(tiny_llama), str(tmp_path / "run"))
    [process] = begin(job, runner)
    await_round(job, 1)
    os.kill(process, signal.SIGSTOP)  # so that it has the folder for as long as this takes
    trainer = trainer_of(tiny_llama, tmp_path / "run", tasks(), **SAVING)
    start = weights(trainer, "mlp")
    with pytest.raises(CheckpointError, match=f"run is in use by another run: process {process} on "):
        trainer.train()
    assert all(torch.equal(value, start[key]) for key, value in weights(trainer, "mlp").items())
    os.kill(process, signal.SIGCONT)
    assert runner.end() == (0, "trained")
    assert last_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-28"


def test_truncated_file(tiny_llama: Path, tmp_path: Path, whole: MultiTaskTrainer) -> None:
    shutil.copytree(str(whole.args.output_dir), tmp_path / "run")
    for name in (
        "optimizer.safetensors",
        "state.json",
        "random.safetensors",
        "adapters/verbs/adapter_config.json",
    ):
        file = tmp_path / "run" / "checkpoint-6" / name
        content = file.read_bytes()
        os.truncate(file, len(content) // 2)
        trainer = trainer_of(tiny_llama, tmp_path / "run", tasks(), **SAVING)
        with pytest.raises(CheckpointDamagedError, match=re.escape(name)):
            trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-6"))
        file.write_bytes(content)
    os.truncate(tmp_path / "run" / "checkpoint-8" / "weights.safetensors", 10)
    _resumes(tiny_llama, tmp_path / "run", whole, "checkpoint-6")


def test_checkpoint_of_the_stock_trainer(tiny_llama: Path, tmp_path: Path) -> None:
    data = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 4
    args = TrainingArguments(
        str(tmp_path), max_steps=2, save_steps=2, report_to="none", disable_tqdm=True, use_cpu=True
    )
    Trainer(AutoModelForCausalLM.from_pretrained(tiny_llama), args, train_dataset=data).train()
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), **SAVING)
    with pytest.raises(CheckpointError, match="is a checkpoint of the stock Trainer of transformers"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    with pytest.raises(CheckpointError, match="there is no whole checkpoint"):
        trainer.train(resume_from_checkpoint=True)
