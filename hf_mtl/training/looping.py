"""The part of the trainer that hands rounds to the stock training loop, in the place of batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch

from hf_mtl.errors import ConfigError
from hf_mtl.models.probes import Finding
from hf_mtl.training.control import LoopState, RunControl
from hf_mtl.training.isolation import check_isolation
from hf_mtl.training.measuring import MeasuringTrainer
from hf_mtl.training.mixtures import StopRule
from hf_mtl.training.rounds import Cut, Round, RoundLoader, RoundPlan
from hf_mtl.training.stock import stock_without_tasks

__all__ = ["LoopingTrainer"]


@stock_without_tasks
class LoopingTrainer(MeasuringTrainer):
    """Abstract: a trainer whose loop sees one round after the other, each as one item of its loader."""

    isolation: tuple[Finding, ...] = ()  # what the probes found, where the run goes on nevertheless
    _control: RunControl
    _is_probed = False  # since the last run

    def round_plan(self) -> RoundPlan:
        """All rounds of this run, from the first.

        Raises:
            ConfigError: If no task has training rows, or the mixture is invalid.
        """
        if not self.sources:
            raise ConfigError("No task has train rows, so there is nothing to train on.")
        cut = Cut(
            self.args.token_budget,
            self.args.max_chunk_tokens,
            self.model.layout,
            rank=self.args.process_index,
            world=self.args.world_size,
            alone=self.args.full_determinism,
        )
        return RoundPlan(
            self.sources,
            self.task_settings,
            cut,
            mixture=self.args.mixture,
            stop=StopRule(self.args.stop_rule),
            max_rounds=self.args.max_steps if self.args.max_steps > 0 else None,
        )

    def check_start(self, resume_from_checkpoint: str | bool | None = None) -> None:
        """Raise now what `train` would raise before its first round: that spares a measurement before it.

        Args:
            resume_from_checkpoint: As `train` takes it.

        Raises:
            CheckpointError: As `train` does.
            ConfigError: If the base is seen to tie tasks together, or the mixture does not fit the tasks' rows.
        """
        self.check_resume(resume_from_checkpoint)
        self.round_plan()
        self._probe()
        self._is_probed = True

    def _probe(self) -> None:
        if len(self.sources) > 1 and not self._is_probed:
            self.isolation = check_isolation(self.model, self.sources.values(), self.args)
        self._is_probed = False  # the next run may be of another model

    def get_train_dataloader(self) -> RoundLoader:  # type: ignore[override]  # rounds are made in this process
        """The rounds, one item each; after a resume those that are left.

        Raises:
            ConfigError: If the base is seen to tie tasks together, unless `isolation="relaxed"`.
        """
        self._probe()
        if self._checkpoint is None:  # else the plan has been restored
            self.begin_plan()
        self.loader = RoundLoader(self.plan, epochs=self._epochs())
        self._control = RunControl(self.loader)
        self.registry.add({"loop": LoopState(self, self._control)})
        self.callback_handler.remove_callback(RunControl)  # of a run that ended by an exception
        # Before all others, so that they see the epoch as it is.
        self.callback_handler.callbacks.insert(0, self._control)
        return self.loader

    def check_not_lost(self) -> None:
        """Make sure that a task has good weights.

        Raises:
            TrainingError: If all tasks have gone bad and none has any.
        """
        if self.good.lost(self.sources):
            raise self.containment.failure(tuple(self.sources))

    def put_back_failing(self) -> None:
        """At the end of a run, put tasks that were bad the last time back to their last good weights.

        Raises:
            TrainingError: As `check_not_lost`.
        """
        self.check_not_lost()
        for name in sorted(self.good.failing):
            self.containment.bad_end(name, self.state.global_step, self.good.outcome(name))
            self.good.put_back(name)

    def _epochs(self) -> Fraction:
        """Into how many epochs the run is divided: what was asked for, or what `max_steps` comes to.

        An epoch ends where the slowest task has seen all its rows; a run of streams alone is one epoch.
        """
        if self.args.max_steps <= 0:
            return Fraction(math.ceil(self.args.num_train_epochs))
        plan = self.plan
        steps = {
            n: math.ceil(s.rows / self.task_settings[n].batch_size) for n, s in self.sources.items() if s.rows
        }
        rounds = (
            -(-own * plan.rounds // plan.planned[name]) for name, own in steps.items() if plan.planned[name]
        )
        return Fraction(plan.rounds, min(plan.rounds, max(rounds, default=plan.rounds)))

    def set_initial_training_values(  # type: ignore[override]
        self,
        args: Any,  # Any: as in the parent
        dataloader: RoundLoader,
    ) -> tuple[int, int, int, int, int, int, int]:
        """Count in rounds: epochs, rounds per epoch, rows, rows in all, rows per round, rounds per epoch, rounds.

        Raises:
            ConfigError: If `get_train_dataloader` was overridden by one that gives something else than rounds.
        """
        if not isinstance(dataloader, RoundLoader):
            raise ConfigError(
                f"{type(self).__name__}.get_train_dataloader gave a {type(dataloader).__name__}; with tasks "
                f"it must return "
                f"what super().get_train_dataloader() gives. Rows of your own are Task(train=<Dataset or "
                f"IterableDataset>), "
                f"who takes part in a round is said by `mixture`."
            )
        rounds, per_epoch = self.plan.rounds, len(dataloader)
        rows = sum(source.rows or 0 for source in self.sources.values())
        per_round = sum(settings.batch_size for settings in self.task_settings.values())
        all_rows = sum(self.task_settings[n].batch_size * steps for n, steps in self.plan.planned.items())
        return math.ceil(rounds / per_epoch), per_epoch, rows, all_rows, per_round, per_epoch, rounds

    def get_batch_samples(
        self, epoch_iterator: Iterator[Round], num_batches: int, device: torch.device
    ) -> tuple[list[Round], None]:
        """The next round. It brings its accumulation and its label counts along, so the parent counts nothing."""
        round_ = next(epoch_iterator, None)
        return ([] if round_ is None else [round_]), None
