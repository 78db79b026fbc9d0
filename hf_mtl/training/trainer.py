"""The trainer: `transformers.Trainer` with rounds in the place of batches, and a step of its own for every task."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainingArguments
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK

from hf_mtl.adapters import renew_casts
from hf_mtl.errors import ConfigError
from hf_mtl.export import MANIFEST_FILE
from hf_mtl.keywords import collecting_keywords
from hf_mtl.models import RoutedModel, place_suite
from hf_mtl.notices import logger_of
from hf_mtl.relations import Relations
from hf_mtl.tasks import Processor, sharing_of
from hf_mtl.training.argument_checks import rounds_as_batches
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.building import processor_of, routed_model, row_sources
from hf_mtl.training.cards import draw_cards, trainer_facts
from hf_mtl.training.checkpoints import RunLock, remove_partials
from hf_mtl.training.combining import Combining
from hf_mtl.training.construction import (
    Collator,
    arguments_elsewhere,
    given_problems,
    run_arguments,
    split_third,
    stock_model,
    suite_of,
    task_model,
    with_lengths,
    without_defaults,
)
from hf_mtl.training.control import StopSignal
from hf_mtl.training.decay import undecayed
from hf_mtl.training.declared_tasks import Adapters, Tasks
from hf_mtl.training.hooks import hook_problems
from hf_mtl.training.last_good import LastGood
from hf_mtl.training.looping import LoopingTrainer
from hf_mtl.training.optimization import SuiteOptimizer, SuiteSchedule, TaskOptimizer
from hf_mtl.training.owners import owners_of
from hf_mtl.training.precision import forward_pass, passing_casts, refuse_scaling
from hf_mtl.training.processes import Replica, wait
from hf_mtl.training.progress import ProgressDisplay
from hf_mtl.training.pushing import remove_stages
from hf_mtl.training.random_state import RandomStreams
from hf_mtl.training.rounds import Round
from hf_mtl.training.settings import defaults_of_shared
from hf_mtl.training.soft import SoftSharing
from hf_mtl.training.state import Named
from hf_mtl.training.step import RoundStep
from hf_mtl.training.stock import stock_without_tasks
from hf_mtl.training.task_gradients import TaskGradients
from hf_mtl.training.trackers import trackers_writing

__all__ = ["MultiTaskTrainer"]

logger = logger_of(__name__)

SHARES = ("examples_share", "planned_examples_share", "tokens_share", "planned_tokens_share")


@stock_without_tasks
class MultiTaskTrainer(LoopingTrainer):
    """Fine-tunes one frozen model on many tasks at once, with one private adapter per task.

    In every round each task that is not finished makes one optimizer step on its own next batch; the base
    runs once per micro-batch, over the rows of all tasks, without padding. What a task ends with does not
    depend on the other tasks.

    Args:
        model: A Hub id, a folder, `asset:NAME`, a model object, or a `RoutedModel`. Adapters that a
            `RoutedModel` already has under a task's name are trained further.
        args: The arguments; default `MultiTaskTrainingArguments("tmp_trainer")`. Plain `TrainingArguments` get the
            defaults of the fields that they lack.
        tasks: The tasks, a suite, or a mapping of names: of tasks, of the keywords of `Task`, or of rows. None, or a
            function, which is then the data collator as in `Trainer`'s third place: a stock Trainer, which takes all
            other arguments and ignores none.
        train_dataset: A dict of data sets, in any form that `Task(train=...)` takes, is one task for each, named by its
            key; `eval_dataset` is then such a dict too. Anything else is as in `Trainer`.
            With `tasks` it is refused, as are `eval_dataset`, `model_init`,
            `compute_loss_func`, `optimizers`, `optimizer_cls_and_kwargs`, `preprocess_logits_for_metrics` and
            `data_collator`, each with the way to do it here. Their defaults may be passed.
        processing_class: The tokenizer, or the image processor; default the one that belongs to the model.
        compute_metrics: As in `Trainer`, called for each task: `predictions` are the most likely tokens at its labels
            `[rows, longest]`, `label_ids` the labels, both filled up with -100.
        callbacks: As in `Trainer`.
        peft_config: The adapter of every task that declares none; or adapters by the tasks' names.

    Raises:
        ConfigError: If the declaration cannot work, or a subclass overrides a method that tasks are not trained by.
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
    keyword_problems: list[str]  # of keywords that there are not, found before the constructor runs

    @collecting_keywords(arguments_elsewhere())
    def __init__(  # noqa: PLR0913  # the stock Trainer's own, in its order
        self,
        model: str | Path | nn.Module | None = None,
        args: TrainingArguments | None = None,
        tasks: Tasks | Collator | None = None,
        train_dataset: Any = None,  # Any: here and below as in the parent
        eval_dataset: Any = None,
        processing_class: Processor | None = None,
        model_init: Callable[..., PreTrainedModel] | None = None,
        compute_loss_func: Callable[..., Any] | None = None,
        compute_metrics: Callable[..., dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_cls_and_kwargs: tuple[type[Optimizer], dict[str, Any]] | None = None,
        preprocess_logits_for_metrics: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        data_collator: Collator | None = None,
        peft_config: Adapters | None = None,
    ) -> None:
        tasks, data_collator = split_third(tasks, data_collator)
        stock: dict[str, Any] = {
            "data_collator": data_collator,
            "train_dataset": train_dataset,
            "eval_dataset": eval_dataset,
            "model_init": model_init,
            "compute_loss_func": compute_loss_func,
            "optimizers": optimizers,
            "optimizer_cls_and_kwargs": optimizer_cls_and_kwargs,
            "preprocess_logits_for_metrics": preprocess_logits_for_metrics,
        }
        shared: dict[str, Any] = {"compute_metrics": compute_metrics, "callbacks": callbacks}
        suite, problems = suite_of(tasks, stock, peft_config)
        problems = [*self.keyword_problems, *problems]
        problems += [] if suite is None else hook_problems(self, MultiTaskTrainer)
        more = compute_metrics is not None or any(not isinstance(c, ProgressDisplay) for c in callbacks or ())
        if problems := problems + given_problems(suite, model, args, stock, more=more):
            raise ConfigError(problems)
        if suite is None:
            # Defaults are left out: a stock trainer behind this class (Seq2SeqTrainer) need not take them all.
            given = without_defaults({"processing_class": processing_class, **stock, **shared})
            super().__init__(stock_model(model), args, **given)
            return
        args = run_arguments(args)
        self.suite = with_lengths(suite, args)
        base = task_model(model)
        processor = processing_class or processor_of(base)
        routed = routed_model(base)
        self.sharing = sharing_of(args.sharing)
        place_suite(routed, self.suite, self.sharing, seed=args.seed)
        self.sources, self.task_settings = row_sources(self.suite, routed, processor, args)
        self.owners = owners_of(routed, self.suite.names)
        self.task_optimizers: dict[str, TaskOptimizer] = {}
        self._soft: SoftSharing | None = None
        self._signal = StopSignal()
        evaluated = {name: task.eval for name, task in self.suite.items() if task.eval is not None}
        super().__init__(routed, args, eval_dataset=evaluated or None, processing_class=processor, **shared)
        self.args: MultiTaskTrainingArguments = args
        refuse_scaling(self)
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

    def create_model_card(self, *, license: str | None = None) -> list[Path]:  # type: ignore[override]
        """Write a card beside each adapter in `output_dir`, and one of the suite, of what this run knows of itself.

        `push_to_hub` calls it. A recipe's run has cards that say more: where its rows come from, and what a task gave
        before training and alone.

        Args:
            license: The adapters' licence, by its id on the Hub.

        Returns:
            The cards; none in all processes but the first.
        """
        if not self.is_world_process_zero():
            return []
        folder = Path(self.args.output_dir or ".")
        if not (folder / MANIFEST_FILE).is_file():
            self.write_suite(folder)
        return draw_cards(trainer_facts(self, folder, license=license), folder)

    # ---- one step ----

    def training_step(self, model: nn.Module, inputs: Round, num_items_in_batch: None = None) -> Tensor:  # type: ignore[override]
        """Forward and backward of a whole round; returns the mean of the tasks' losses, for the log."""
        self.model.train()
        renew_casts()
        self._result = self._round_step.run(inputs)
        self.plan.stopped |= set(self._result.quarantined)
        self.plan.losses |= self._result.losses
        if self._result.quarantined and self.good.out >= set(self.sources):
            self.check_not_lost()
        self._control.stopping = self._result.stop
        self.meter.add_round(self._result, inputs.tokens)
        return torch.tensor(self._result.mean_loss, device=self.args.device)

    def floating_point_ops(self, inputs: Round) -> int:  # type: ignore[override]
        """Multiplications and additions of a round: 2 per base weight and token forward, 2 for the input's gradient."""
        own: int = sum(inputs.tokens.values()) // self.args.world_size
        parameters: int = self.model.base.num_parameters(exclude_embeddings=True)
        return 4 * own * parameters

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """One optimizer per owner, each over one flat buffer, of the class that the task's `optim` names."""
        self.task_optimizers = {}
        spared = undecayed(self, self.model, self.model.adapter_names)
        for owner, parameters in self.owners.parameters.items():
            if owner in self.task_settings:
                settings = replace(self.task_settings[owner], steps=self.plan.planned[owner])
            elif owner in self.owners.users:
                settings = defaults_of_shared(self.args, rounds=self.plan.rounds)
            else:
                continue  # a task that is only evaluated
            cls, options = self.get_optimizer_cls_and_kwargs(settings.arguments(self.args))
            factory = partial(cls, **options)
            self.task_optimizers[owner] = TaskOptimizer(parameters, settings, factory, spared)
        self.optimizer = self.suite_optimizer = SuiteOptimizer(self.task_optimizers)
        self.good = LastGood(self.task_optimizers, self.owners.users)
        streams = RandomStreams(self.args.process_index)  # last, for restoring others may draw
        self.registry.add({"optimizer": Named(self.task_optimizers), "good": self.good, "random": streams})
        if self.sharing.strength:
            self._soft = SoftSharing(self.model, self.suite.names, self.sharing)
        self._round_step = RoundStep(
            self.model,
            self.suite,
            self.suite_optimizer,
            self.owners.users,
            self.containment,
            self.good,
            backward=self.accelerator.backward,
            forward_pass=partial(forward_pass, self),
            asked_to_stop=lambda: bool(self._signal),
            combining=self._combining(),
            soft=self._soft,
        )
        return self.suite_optimizer

    @property
    def relations(self) -> Relations | None:
        """How much the tasks have in common: as `sharing` gives it, or as it was learned by now; None if neither."""
        return self.sharing.relations if self._soft is None else self._soft.relations

    def _combining(self) -> Combining | None:
        """What makes the shared gradients; None where adding the tasks' gradients up does it."""
        flats = {owner: self.task_optimizers[owner].flats[0] for owner in self.owners.users}
        size = sum(flat.flat.numel() for flat in flats.values())
        if self.shared_objective.needs_rows and (
            problem := self.shared_objective.effect_problem(size, self.suite.names)
        ):
            logger.warning("%s", problem)
        if self.args.gradient_cosines and not flats:
            logger.warning("gradient_cosines=True measures nothing: the tasks share no parameters.")
        if not flats or not (self.shared_objective.needs_rows or self.args.gradient_cosines):
            return None
        rows = TaskGradients(self.model, self.owners, flats)
        return Combining(self.shared_objective, rows, self.cosines if self.args.gradient_cosines else None)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> SuiteSchedule:  # type: ignore[override]
        """One schedule per owner, counted in the owner's own steps."""
        prepared = self.optimizer
        if not self.task_optimizers or prepared.optimizer is not self.suite_optimizer:
            raise ConfigError(
                f"{type(self).__name__}.create_optimizer must keep what super().create_optimizer() makes, which "
                f"holds an optimizer for each task. Change its param_groups, or set optim, learning_rate and "
                f"weight_decay in Task(...)."
            )
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
            CheckpointError: If there is no whole checkpoint, or only one of a run that was given something else.
            KeyboardInterrupt: After SIGINT, once a checkpoint is written.
            SystemExit: After SIGTERM or SIGHUP, in the same way.
        """
        self._checkpoint = None
        self.task_optimizers = {}
        if problems := hook_problems(self, MultiTaskTrainer):  # put on the object since it was made
            raise ConfigError(problems)
        self.begin_records()
        with (
            self._own_folder(),
            self._signal.listening(),
            rounds_as_batches(self.args, resumes=bool(resume_from_checkpoint)),
            passing_casts(self.model),
        ):
            folder = self.resume_folder(resume_from_checkpoint)
            self.meter.start()
            output = super().train(folder, trial, ignore_keys_for_eval)
        self._signal.obey()
        return output

    def hyperparameter_search(self, *args: Any, **kwargs: Any) -> Any:  # Any: as in the parent
        """Refused with tasks.

        Raises:
            ConfigError: Always; it says what to do instead.
        """
        raise ConfigError(
            "hyperparameter_search is not supported with tasks yet: it makes the model anew for each trial, and tasks "
            "keep theirs. Search over a function that makes one MultiTaskTrainer with a trial's arguments, trains it "
            "and returns trainer.evaluate()['eval_loss']; with optuna, study.optimize(function, n_trials=20)."
        )

    @contextlib.contextmanager
    def _own_folder(self) -> Iterator[None]:
        """Keep `output_dir` for this run, clear away what a killed one left half written, and let go in any case."""
        run_dir = Path(self.args.output_dir or ".")
        with RunLock(run_dir) if self.is_world_process_zero() else contextlib.nullcontext():
            if self.is_world_process_zero():
                remove_partials(run_dir)
                remove_stages(run_dir)
            wait()
            try:
                with trackers_writing(self.callback_handler.callbacks, run_dir):
                    yield
            finally:  # a terminal that an exception leaves with a bar in it is hard to read
                for callback in self.callback_handler.callbacks:
                    if isinstance(callback, ProgressDisplay):
                        callback.close()

    def _finalize_training(
        self, trial: Any, num_train_samples: int, start_time: float
    ) -> Any:  # Any: as in the parent
        """Tell what the mixture came to, and restore good and, where that is asked for, best weights."""
        self._load_rng_state(None)  # where there was no round, at the first of which the loop does it
        self.put_back_failing()
        summary: Any = self.plan.log.summary()  # Any: plain JSON
        for name, own in summary["tasks"].items() if self.args.mixture != "all" else ():
            logger.info(
                "task %r made %d steps: %.1f %% of the examples (planned %.1f), %.1f %% of the tokens (planned %.1f)",
                name, own["steps"], *(100 * own[key] for key in SHARES),
            )  # fmt: skip
        self.callback_handler.remove_callback(self._control)
        if self.args.load_best_model_at_end and self.state.best_model_checkpoint is None:
            self._load_best_model()  # the parent asks for it only where it knows of a checkpoint
        return super()._finalize_training(trial, num_train_samples, start_time)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log; entries about training get every task's loss, learning rate and gradient norm."""
        if "loss" in logs and self.is_in_train:
            logs |= self.meter.drain(self.task_optimizers)
        super().log(logs, start_time)
