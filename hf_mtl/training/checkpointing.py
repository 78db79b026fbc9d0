"""The part of the trainer that writes and reads checkpoints, in the places where the stock Trainer does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from transformers import Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_mtl.errors import ConfigError
from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel
from hf_mtl.notices import logger_of
from hf_mtl.relations import CosineMeter
from hf_mtl.tasks import TaskSuite, suite_objective
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.best import BestWeights
from hf_mtl.training.checkpoints import (
    Checkpoint,
    as_damage,
    asked_checkpoint,
    read_checkpoint,
    rotate_checkpoints,
    write_checkpoint,
)
from hf_mtl.training.containment import Containment
from hf_mtl.training.control import RunControl
from hf_mtl.training.given import run_document
from hf_mtl.training.last_good import LastGood
from hf_mtl.training.meter import TaskMeter
from hf_mtl.training.mixtures import StopRule
from hf_mtl.training.optimization import TaskOptimizer
from hf_mtl.training.owners import Owners
from hf_mtl.training.processes import wait
from hf_mtl.training.resuming import check_new_tasks, check_run, check_trainer_state
from hf_mtl.training.rounds import RoundLoader, RoundPlan
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.sources import RowSource
from hf_mtl.training.state import Registry
from hf_mtl.training.state_file import save_state
from hf_mtl.training.stock import stock_without_tasks

__all__ = ["CheckpointingTrainer"]

logger = logger_of(__name__)


@stock_without_tasks
class CheckpointingTrainer(Trainer):
    """Abstract: a trainer whose checkpoints are whole or absent, and hold all that its future depends on."""

    # Until the constructor says otherwise there are no tasks, and this is a stock Trainer.
    suite: TaskSuite = MappingProxyType({})  # type: ignore[assignment]
    model: RoutedModel
    args: MultiTaskTrainingArguments
    owners: Owners
    sources: Mapping[str, RowSource]
    task_settings: dict[str, TaskSettings]
    plan: RoundPlan
    loader: RoundLoader
    task_optimizers: dict[str, TaskOptimizer]
    good: LastGood
    _checkpoint: Checkpoint | None = None  # while a resume is under way
    _mean_loss: float | None = None  # of all rounds, while a run is being ended
    _control: RunControl

    def begin_records(self) -> None:
        """Forget what an earlier call of `train` remembered of its tasks: figures, strikes, best weights."""
        self.meter = TaskMeter(self.args.device.type)
        self.shared_objective = suite_objective(self.args.objective, seed=self.args.seed)
        if problems := self.shared_objective.problems(self.suite.names):
            raise ConfigError(problems)
        if (problem := self.shared_objective.resume_problem()) and self.args.save_strategy != "no":
            logger.warning("%s", problem)
        self.cosines = CosineMeter(self.suite.names)
        self.containment = Containment(
            max_strikes=self.args.max_strikes,
            strict=self.args.nonfinite == "raise",
            spike_factor=self.args.spike_factor,
            skip_spikes=self.args.skip_spikes,
        )
        groups = self.owners.groups(self.suite.names)
        self.best = BestWeights(self.task_settings, groups, keep=self.args.load_best_model_at_end)
        self.registry = Registry()  # a subclass adds what it carries on itself in `create_optimizer`
        self.registry.add({
            "meter": self.meter, "objective": self.shared_objective, "cosines": self.cosines,
            "containment": self.containment, "best": self.best,
        })  # fmt: skip

    def resume_folder(self, asked: str | bool | None) -> str | None:
        """The folder to resume from.

        Raises:
            CheckpointError: If there is no such checkpoint.
        """
        folder = asked_checkpoint(Path(self.args.output_dir or "."), asked)
        return None if folder is None else str(folder)

    def check_resume(self, asked: str | bool | None) -> None:
        """Raise now what `train` would raise of a checkpoint.

        Raises:
            CheckpointError: If there is no such checkpoint, it is not whole, or this run is given something else.
        """
        if (folder := self.resume_folder(asked)) is not None:
            self._check_given(read_checkpoint(Path(folder)))

    def round_plan(self) -> RoundPlan:
        """All rounds of this run, from the first."""
        raise NotImplementedError

    def begin_plan(self) -> None:
        """Make the plan of this run, as a part of it; weights come after it, where no other part has refused."""
        self.plan = self.round_plan()
        self.registry.add({"plan": self.plan, "weights": self.owners})

    @property
    def data_seed(self) -> int:
        """The seed of the tasks' streams."""
        return self.args.seed if self.args.data_seed is None else self.args.data_seed

    def _run_document(self) -> dict[str, Any]:  # Any: plain JSON
        """What this run is given, as far as a resume must know it."""
        return run_document(self.model, self.suite, self.args, self.sources, self.task_settings, self.owners)

    def _check_given(self, checkpoint: Checkpoint) -> None:
        """Compare what this run is given with what the checkpoint's was.

        Raises:
            CheckpointError: If it is something else, so that going on would have no meaning.
        """
        saved: Any = checkpoint.document("run")  # Any: plain JSON
        state: Any = checkpoint.document("state")
        now = self._run_document()
        with as_damage(str(checkpoint.folder / "run.json")):
            records = state["best"]["records"].items()
            measured = [name for name, record in records if record["value"] is not None]
            check_run(saved, now, where=str(checkpoint.folder), measured=measured)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:  # Any: as in the parent
        """Write a checkpoint, whole or not at all, and delete what `save_total_limit` has no room for."""
        self.store_flos()
        if self.control.should_epoch_stop:  # a resume goes on where this run does
            self.loader.end_epoch()
        tensors, state = self.registry.state()
        run_dir = Path(self._get_output_dir(trial=trial))
        folder = run_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        self._note_best_checkpoint(run_dir, folder)
        if self.args.should_save:
            documents = {"run": self._run_document(), "state": state}
            write_checkpoint(folder, tensors, documents, also=self._save_public)
            if self.args.push_to_hub:
                self._push_from_checkpoint(str(folder))
            best = self.state.best_model_checkpoint
            rotate_checkpoints(
                run_dir, self.args.save_total_limit, keep=() if best is None else (Path(best),)
            )
        wait()

    def _note_best_checkpoint(self, run_dir: Path, current: Path) -> None:
        """Tell callbacks and users, as `Trainer` does, which checkpoint was written at the run's best figure."""
        if not self.state.best_global_step:
            return
        best = run_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
        if best == current or best.is_dir():
            self.state.best_model_checkpoint = str(best)

    def _load_best_model(self) -> None:
        """Restore the best weights, which are kept in memory and in every checkpoint; see `BestWeights`."""
        self.best.restore(self.owners.parameters)

    def _save_public(self, folder: Path) -> None:
        """What others read: the trainer's state as `Trainer` writes it, and each adapter as a PEFT folder."""
        states: dict[str, list[Any]] = {}  # Any: plain JSON
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                states.setdefault(type(callback).__name__, []).append(callback.state())
        own: Any = {name: found if len(found) > 1 else found[0] for name, found in states.items()}
        self.state.stateful_callbacks = own
        save_state(self.state, folder / TRAINER_STATE_NAME)
        used = {adapter for task in self.suite for adapter in self.model.routes[task]}
        others = [name for name in self.model.adapter_names if name not in used]
        save_suite(self.model, folder / "adapters", names=[*self.suite, *others], processor=None)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Check what the run is given, and restore all parts that there are before the loop begins.

        The plan is among them, for the loop, the optimizers and their schedules are made by it.

        Raises:
            CheckpointError: If the run is given something else, so that going on would have no meaning.
        """
        self._checkpoint = read_checkpoint(Path(resume_from_checkpoint))
        state: Any = self._checkpoint.document("state")  # Any: plain JSON
        self._check_given(self._checkpoint)
        check_trainer_state(self._checkpoint)
        self.begin_plan()
        self.registry.restore(self._checkpoint)
        check_new_tasks(
            self.plan,
            self.task_settings,
            state["plan"]["planned"],
            max_steps=self.args.max_steps,
            stop=StopRule(self.args.stop_rule),
            where=resume_from_checkpoint,
        )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Nothing here: each owner's optimizer and schedule are a part like others."""

    def _finalize_training(
        self, trial: Any, num_train_samples: int, start_time: float
    ) -> Any:  # Any: as in the parent
        """Give `train_loss` as the mean over all rounds of the run, those before a resume included."""
        total = self._total_loss_scalar + self._tr_loss.item()
        self._mean_loss = total / max(self.state.global_step, 0.001)
        try:
            output = super()._finalize_training(trial, num_train_samples, start_time)  # type: ignore[no-untyped-call]
            return output._replace(training_loss=self._mean_loss)
        finally:
            self._mean_loss = None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log; of newer versions of transformers `train_loss` would be the mean of the rounds since a resume."""
        if self._mean_loss is not None and "train_loss" in logs:
            logs["train_loss"] = self._mean_loss
        super().log(logs, start_time)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Just before the first round, restore the other parts. The loop has made its sums of losses anew by now."""
        if self._checkpoint is None:
            return
        self.registry.restore(self._checkpoint)
        self._checkpoint = None
        if self._control.in_epoch:
            # The checkpoint is of the epoch's last round, and what ends an epoch comes after it.
            self.control = self.callback_handler.on_epoch_end(self.args, self.state, self.control)
            grad_norm, rate = self._control.last_step
            epoch = self.state.epoch or 0.0
            self._maybe_log_save_evaluate(
                self._tr_loss, grad_norm, self.model, None, epoch, None, time.time(), learning_rate=rate
            )

    def _maybe_log_save_evaluate(  # noqa: PLR0913  # as in the parent
        self,
        tr_loss: torch.Tensor,
        grad_norm: torch.Tensor | float | None,
        model: nn.Module,
        trial: Any,  # Any: as in the parent
        epoch: float,
        ignore_keys_for_eval: list[str] | None,
        start_time: float,
        learning_rate: float | None = None,
    ) -> None:
        """At the end of a round and of an epoch; nothing at that of an epoch which a signal broke off."""
        self._control.last_step = (None if grad_norm is None else float(grad_norm), learning_rate)
        if self._control.breaks_off:
            self.control.should_log = self.control.should_evaluate = self.control.should_save = False
        super()._maybe_log_save_evaluate(
            tr_loss, grad_norm, model, trial, epoch, ignore_keys_for_eval, start_time, learning_rate
        )
