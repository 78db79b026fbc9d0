"""The trainer: `transformers.Trainer` with rounds in the place of batches, and a step of its own for every task."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from hf_mtl.errors import ConfigError
from hf_mtl.evaluation import Evaluator, means
from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel
from hf_mtl.tasks import Task, TaskSuite
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.building import routed_model, row_sources, tokenizer_of
from hf_mtl.training.checkpointing import CheckpointingTrainer
from hf_mtl.training.checkpoints import RunLock, remove_partials
from hf_mtl.training.control import RunControl, StopSignal
from hf_mtl.training.mixtures import StopRule
from hf_mtl.training.optimization import SuiteOptimizer, SuiteSchedule, TaskOptimizer
from hf_mtl.training.owners import owners_of
from hf_mtl.training.processes import Replica, wait
from hf_mtl.training.progress import ProgressDisplay
from hf_mtl.training.rounds import Cut, Round, RoundLoader, RoundPlan
from hf_mtl.training.settings import defaults_of_shared
from hf_mtl.training.step import RoundStep

__all__ = ["MultiTaskTrainer"]

logger = logging.getLogger(__name__)


class MultiTaskTrainer(CheckpointingTrainer):
    """Fine-tunes one frozen model on many tasks at once, with one private adapter per task.

    In every round each task that is not finished makes one optimizer step on its own next batch; the base
    runs once per micro-batch, over the rows of all tasks, without padding. What a task ends with does not
    depend on the other tasks.

    Args:
        model: A Hub id, a folder, `asset:NAME`, a model object, or a `RoutedModel`. Adapters that a
            `RoutedModel` already has under a task's name are trained further.
        args: The arguments; default `MultiTaskTrainingArguments("tmp_trainer")`.
        tasks: The tasks, or a suite.
        processing_class: The tokenizer; default the one that belongs to the model.
        callbacks: As in `Trainer`.

    Raises:
        ConfigError: If the declaration cannot work.
        DataError: If a row cannot be used; every row is checked here, before training.

    Example:
        >>> trainer = MultiTaskTrainer("HuggingFaceTB/SmolLM2-135M-Instruct", args, tasks)  # doctest: +SKIP
        >>> trainer.train()  # doctest: +SKIP
        >>> trainer.evaluate()  # doctest: +SKIP
        >>> trainer.save_model("adapters")  # doctest: +SKIP
    """

    model: RoutedModel
    optimizer: Any  # Any: accelerate wraps the SuiteOptimizer
    lr_scheduler: Any  # Any: a SuiteSchedule, where the parent declares torch's class

    def __init__(
        self,
        model: str | Path | PreTrainedModel | RoutedModel,
        args: MultiTaskTrainingArguments | None = None,
        tasks: Iterable[Task] | TaskSuite = (),
        *,
        processing_class: PreTrainedTokenizerBase | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.suite = tasks if isinstance(tasks, TaskSuite) else TaskSuite(tasks)
        args = args or MultiTaskTrainingArguments("tmp_trainer")
        tokenizer = processing_class or tokenizer_of(model)
        self.tokenizer: PreTrainedTokenizerBase = tokenizer
        routed = routed_model(model)
        for name, task in self.suite.items():
            if name not in routed.routes and task.adapter is not None:
                routed.add_adapter(name, task.adapter, seed=args.seed)
        self.sources, self.task_settings = row_sources(self.suite, routed, tokenizer, args)
        self.owners = owners_of(routed, self.suite.names)
        args = copy.copy(args)
        # A round is one item of the loader, with its accumulation inside; and the plan itself knows where it stands.
        args.gradient_accumulation_steps = 1
        args.ignore_data_skip = True
        self.task_optimizers: dict[str, TaskOptimizer] = {}
        self._evaluator: Evaluator | None = None
        self._signal = StopSignal()
        super().__init__(
            model=routed,
            args=args,
            eval_dataset={name: task.eval for name, task in self.suite.items() if task.eval is not None}
            or None,
            processing_class=tokenizer,
            callbacks=callbacks,
        )
        self.args: MultiTaskTrainingArguments = args
        self.begin_records()
        self._show_progress(callbacks or [])

    def _show_progress(self, callbacks: list[TrainerCallback]) -> None:
        """One display of ours in the place of the parent's, unless `disable_tqdm` asks for plain log entries."""
        own = any(isinstance(callback, ProgressDisplay) for callback in callbacks)
        if own or not self.args.disable_tqdm:
            for stock in (PrinterCallback, DEFAULT_PROGRESS_CALLBACK):
                self.remove_callback(stock)
        if not own and not self.args.disable_tqdm:
            self.add_callback(ProgressDisplay(self.suite.names))

    # ---- rounds ----

    def round_plan(self) -> RoundPlan:
        """All rounds of this run, from the first.

        Raises:
            ConfigError: If no task has training rows, or the mixture is none.
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

    def get_train_dataloader(self) -> RoundLoader:  # type: ignore[override]  # rounds are made in this process
        """The rounds, one item each; after a resume those that are left."""
        self.plan = self.round_plan()
        self.restore_run()
        epochs = 1 if self.args.max_steps > 0 else math.ceil(self.args.num_train_epochs)
        loader = RoundLoader(self.plan, epochs=epochs)
        self._control = RunControl(loader)
        self.callback_handler.remove_callback(RunControl)  # of a run that ended by an exception
        # Before all others, so that they see the epoch as it is.
        self.callback_handler.callbacks.insert(0, self._control)
        return loader

    def set_initial_training_values(  # type: ignore[override]
        self,
        args: Any,
        dataloader: RoundLoader,  # Any: as in the parent
    ) -> tuple[int, int, int, int, int, int, int]:
        """Count in rounds: epochs, rounds per epoch, rows, rows in all, rows per round, rounds per epoch, rounds."""
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

    # ---- one step ----

    def training_step(self, model: nn.Module, inputs: Round, num_items_in_batch: None = None) -> Tensor:  # type: ignore[override]
        """Forward and backward of a whole round; returns the mean of the tasks' losses, for the log."""
        self.model.train()
        self._result = self._round_step.run(inputs)
        self.plan.stopped |= set(self._result.quarantined)
        self.plan.losses |= self._result.losses
        self._control.stopping = self._result.stop
        self.meter.add_round(self._result, inputs.tokens)
        return torch.tensor(self._result.mean_loss, device=self.args.device)

    def floating_point_ops(self, inputs: Round) -> int:  # type: ignore[override]
        """Multiplications and additions of a round: 2 per base weight and token forward, 2 for the input's gradient."""
        parameters = int(self.model.base.num_parameters(exclude_embeddings=True))
        return 4 * sum(inputs.tokens.values()) // self.args.world_size * parameters

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """One optimizer per owner, each over one flat buffer, of the class that the task's `optim` names."""
        self.task_optimizers = {}
        for owner, parameters in self.owners.parameters.items():
            if owner in self.task_settings:
                settings = replace(self.task_settings[owner], steps=self.plan.planned[owner])
            elif owner in self.owners.users:
                settings = defaults_of_shared(self.args, rounds=self.plan.rounds)
            else:
                continue  # a task that is only evaluated
            cls, options = self.get_optimizer_cls_and_kwargs(settings.arguments(self.args))
            factory = partial(cls, **options)
            self.task_optimizers[owner] = TaskOptimizer(parameters, settings, factory)
        self.suite_optimizer = SuiteOptimizer(self.task_optimizers)
        self.optimizer = self.suite_optimizer
        self._round_step = RoundStep(
            self.model,
            self.suite_optimizer,
            self.owners.users,
            self.containment,
            backward=self.accelerator.backward,
            autocast=self.compute_loss_context_manager,
            asked_to_stop=lambda: bool(self._signal),
        )
        return self.suite_optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> SuiteSchedule:  # type: ignore[override]
        """One schedule per owner, counted in the owner's own steps."""
        schedule = SuiteSchedule(self.task_optimizers)
        self.lr_scheduler = schedule
        self._created_lr_scheduler = True
        return schedule

    def _wrap_model(
        self,
        model: nn.Module,
        training: bool = True,
        dataloader: Any = None,  # Any: as in the parent
    ) -> nn.Module:
        """Several processes: kept out of `DistributedDataParallel`, see `Replica`."""
        return Replica(model) if self.args.world_size > 1 and not isinstance(model, Replica) else model

    def _clip_grad_norm(self, model: nn.Module) -> None:
        """Nothing here: one norm over all tasks would couple them. See `_get_grad_norm`."""

    def _get_grad_norm(self, model: nn.Module, grad_norm: float | None = None) -> float:
        """Clip each owner to its own norm; returns the norm of all gradients before clipping, for the log."""
        self.suite_optimizer.clip(self._result.norms)
        return math.hypot(*(self._result.norms[owner] for owner in self.suite_optimizer.present()))

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,  # Any: as in the parent
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Any:  # Any: the parent's TrainOutput
        """Train all tasks.

        Args:
            resume_from_checkpoint: A checkpoint's folder, or True for the last whole one in `output_dir`.
            trial: As in the parent.
            ignore_keys_for_eval: As in the parent.

        Raises:
            CheckpointError: If there is no whole checkpoint, or what the run was given has changed so that a resume has
                no meaning.
            KeyboardInterrupt: After SIGINT, once a checkpoint is written.
            SystemExit: After SIGTERM, in the same way.
        """
        self._checkpoint = None
        self.begin_records()
        with self._own_folder(), self._signal.listening():
            folder = self.resume_folder(resume_from_checkpoint)
            self.meter.start()
            output = super().train(
                resume_from_checkpoint=folder, trial=trial, ignore_keys_for_eval=ignore_keys_for_eval
            )
        self._signal.obey()
        return output

    @contextlib.contextmanager
    def _own_folder(self) -> Iterator[None]:
        """Keep `output_dir` for this run, and clear away what a killed one left half written."""
        run_dir = Path(self.args.output_dir or ".")
        with RunLock(run_dir) if self.is_world_process_zero() else contextlib.nullcontext():
            if self.is_world_process_zero():
                remove_partials(run_dir)
            wait()
            yield

    def _finalize_training(
        self, trial: Any, num_train_samples: int, start_time: float
    ) -> Any:  # Any: as in the parent
        """Give every task its best weights back, where `load_best_model_at_end` asks for it."""
        self.callback_handler.remove_callback(self._control)
        if self.args.load_best_model_at_end:
            self.best.restore(self.owners.parameters)
        return super()._finalize_training(trial, num_train_samples, start_time)  # type: ignore[no-untyped-call]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log; entries about training get every task's loss, learning rate and gradient norm."""
        if "loss" in logs and self.is_in_train:
            logs |= self.meter.drain(self.task_optimizers)
        super().log(logs, start_time)

    # ---- measuring and saving ----

    def evaluate(  # type: ignore[override]  # the parent takes one data set; here they are keyed by task
        self,
        eval_dataset: Mapping[str, Dataset] | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measure every task on its `eval` rows.

        Args:
            eval_dataset: Other rows, by task, to measure on; default each task's `eval`.
            ignore_keys: Must be None: packed evaluation gathers no outputs that could be left out.
            metric_key_prefix: As in `Trainer`.

        Returns:
            `eval_<task>/loss`, `/rows`, `/constant` (what the best constant answer would score) and
            `/<metric>` for every task; `eval_loss` and `eval_<metric>` are the means over the tasks that have such a
            figure, which `metric_for_best_model` of the arguments may name.
        """
        if ignore_keys:
            raise ConfigError(
                f"ignore_keys={ignore_keys} has no meaning here: no model outputs are gathered."
            )
        started = time.perf_counter()
        evaluator = self._evaluator_for(eval_dataset)
        figures = evaluator.run()
        metrics = {
            f"{metric_key_prefix}_{name}/{key}": value
            for name, task in figures.items()
            for key, value in task.items()
        }
        metrics |= {f"{metric_key_prefix}_{key}": value for key, value in means(figures).items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - started, 4)
        self.log(metrics)
        if self.is_in_train and eval_dataset is None:
            self.plan.stopped |= set(
                self.best.evaluated(figures, self.owners.parameters, self.state.global_step)
            )
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.meter.pause(time.perf_counter() - started)
        return metrics

    def _evaluator_for(self, eval_dataset: Mapping[str, Dataset] | None) -> Evaluator:
        if eval_dataset is None and self._evaluator is not None:
            return self._evaluator
        suite = self.suite
        if eval_dataset is not None:
            suite = TaskSuite(replace(suite[name], eval=rows) for name, rows in eval_dataset.items())
        if all(task.eval is None for task in suite.values()):
            raise ConfigError("No task has eval rows; give Task(..., eval=...) or evaluate({'task': rows}).")
        evaluator = Evaluator(self.model, self.tokenizer, suite, token_budget=self.args.token_budget)
        if eval_dataset is None:
            self._evaluator = evaluator
        return evaluator

    def predict(  # the parent's form, one array of logits, does not fit tasks whose answers are text
        self,
        test_dataset: Any,
        ignore_keys: Any = None,
        metric_key_prefix: str = "test",
    ) -> Any:
        """Refused; use `evaluate` for figures and `hf_mtl.inference.predict` for answers.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "Use evaluate({'task': rows}) for figures, or hf_mtl.inference.predict(...) for answers."
        )

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write one ordinary PEFT folder per task and the manifest `hf_mtl.json`."""
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir or ".")
            save_suite(self.model, folder, names=self.suite.names, tokenizer=self.tokenizer)

    def task_seconds(self) -> dict[str, float]:
        """Each trained task's share of the training time, by its tokens, in seconds; evaluation is not counted."""
        total = sum(self.meter.tokens.values())
        return {name: self.meter.seconds * count / total for name, count in self.meter.tokens.items()}
