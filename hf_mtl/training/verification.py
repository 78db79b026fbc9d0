"""Whether isolation holds on a user's own model and data: each task alone and together, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_mtl.bounds import COUNT
from hf_mtl.errors import ConfigError, TrainingError
from hf_mtl.export import save_suite
from hf_mtl.files import scratch_folder
from hf_mtl.models import BaseIdentity, RoutedModel
from hf_mtl.tasks import Processor, Task, TaskSuite, sharing_of
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.export_check import plain_difference, routed_row
from hf_mtl.training.owners import owners_of
from hf_mtl.training.precision import autocast_dtype_of
from hf_mtl.training.trainer import MultiTaskTrainer
from hf_mtl.training.trial_runs import TaskState, TrialRuns, task_weights
from hf_mtl.training.verdict import LEAST_EFFECT, TaskFigures, Verification, limits_of, problems_of

__all__ = ["verify_isolation"]

# Of the noise that is added to weights before they are exported: it grows until their effect is plain, in small steps,
# for beyond that it makes a half-precision base's own rounding larger.
_NOISE = tuple(0.05 * 1.5**step for step in range(12))
_TF32_EPSILON = 2.0**-10

LoadBase = Callable[[], tuple[PreTrainedModel, BaseIdentity]]
Weights = Mapping[str, Tensor]


def verify_isolation(
    base: LoadBase,
    args: MultiTaskTrainingArguments,
    tasks: Iterable[Task] | TaskSuite,
    *,
    processing_class: Processor,
    rounds: int = 5,
    prepare: Callable[[RoutedModel], None] | None = None,
    trainer: type[MultiTaskTrainer] = MultiTaskTrainer,
) -> Verification:
    """Train each task alone and all together, a few rounds each, and compare.

    1. Drift: from their first step, each task makes `rounds` steps alone, on a model that has its adapters only, and
       once more with the rows of each batch in another order; then all together. Compared is what these rounds changed.
    2. Update: from where the tasks stand after these rounds alone (weights, moments, schedule), one more round
       in each of the three ways. Starting there and not at a LoRA's first step, every parameter has a gradient, and
       with its moments Adam sees the gradient's scale, which it would not see in its first step.
    3. Export: each adapter, its weights moved by noise so that it has a plain effect, is written as a PEFT folder,
       loaded with plain PEFT on a base loaded afresh, and its logits for one row compared.

    A relative difference is `||together - alone|| / ||change alone||` over all parameters that the task trains. It
    counts as broken isolation if it exceeds both 10 times the permutation's and the floor: the square root of the
    epsilon of the dtype that the base computes in (for the drift, times the rounds). The square root, because Adam
    moves an element whose gradient is mere rounding as far as any other, so that rounding of the relative size `eps`
    may change an update by `sqrt(eps)` of its norm. A task that shares an adapter with another is judged by the same
    rule: it is not what it would be alone.

    An export is broken beyond 1e-5 (float32), 1e-10 (float64), or 16 epsilon (half precision) of the largest logit,
    or if the difference is more than a third of the adapter's own effect.

    Every task takes part in every round, whatever the mixture. Nothing is left behind: no checkpoint, no tracker.

    Args:
        base: Loads the base, each time afresh: `lambda: load_base("HuggingFaceTB/SmolLM2-135M-Instruct")`.
        args: The arguments of the run.
        tasks: The tasks, or a suite; those without rows to learn from are left out.
        processing_class: The base's tokenizer.
        rounds: Rounds of the drift.
        prepare: Places adapters and routes of your own on a fresh model, the same ones each time.
        trainer: The class of trainer to try.

    Raises:
        ConfigError: If there is nothing to compare, several processes were started, or the arguments make the tasks
            share adapters, or the base is seen to tie tasks together and `isolation` is not "relaxed".
        TrainingError: If a task does not move at all.
    """
    given = tasks.values() if isinstance(tasks, TaskSuite) else tasks
    suite = TaskSuite(task for task in given if task.train is not None)
    if (problem := COUNT.problem(rounds)) is not None:
        raise ConfigError(f"rounds: {problem}")
    if args.world_size > 1:
        raise ConfigError(
            f"Isolation is verified in one process, found {args.world_size}; start it without torchrun."
        )
    _refuse_sharing(args)
    runs = TrialRuns(suite, args, processing_class, rounds=rounds + 1, trainer=trainer)
    return _Comparison(base, runs, prepare, rounds).verification()


def _refuse_sharing(args: MultiTaskTrainingArguments) -> None:
    sharing = sharing_of(args.sharing)
    if sharing.name != "private":
        raise ConfigError(
            f"sharing={sharing.name!r} makes the tasks learn from each other, so none is what it would be alone. "
            f"`hf-mtl compare` measures what that does; verify what stays isolated with sharing='private'."
        )


@dataclass(frozen=True)
class _Alone:
    """A task's three ways alone: as it is, and permuted; after the drift's rounds, and after one more."""

    start: TaskState
    drifted: TaskState
    drifted_permuted: TaskState
    updated: TaskState
    updated_permuted: TaskState


class _Comparison:
    """See `verify_isolation`."""

    def __init__(
        self, base: LoadBase, runs: TrialRuns, prepare: Callable[[RoutedModel], None] | None, rounds: int
    ) -> None:
        self.base = base
        self.runs = runs
        self.prepare = prepare
        self.rounds = rounds

    def verification(self) -> Verification:
        """Measure and judge all tasks."""
        names = list(self.runs.tasks)
        alone = {name: self._alone(name) for name in names}
        model = self._model(names)
        drifted = self.runs.run(model, names, self.rounds)
        updated = self.runs.run(model, names, 1, start={name: own.drifted for name, own in alone.items()})
        users = owners_of(model, names).users.values()
        shared = {name: tuple(n for own in users if name in own for n in own if n != name) for name in names}
        dtype, epsilon = _precision(model, self.runs.args)
        limits = limits_of(dtype, epsilon, rounds=self.rounds)
        exports = self._exports(model, alone, limits.export)
        tasks = []
        for name, own in alone.items():
            export, effect = exports.get(name, (None, None))
            figures = TaskFigures(
                task=name,
                update=_relative(name, own.drifted, own.updated, updated[name]),
                update_permuted=_relative(name, own.drifted, own.updated, own.updated_permuted),
                drift=_relative(name, own.start, own.drifted, drifted[name]),
                drift_permuted=_relative(name, own.start, own.drifted, own.drifted_permuted),
                export=export,
                export_effect=effect,
                shared=shared[name],
            )
            tasks.append(replace(figures, problems=tuple(problems_of(figures, limits))))
        findings = tuple(found.text for found in self.runs.findings)
        return Verification(tuple(tasks), self.rounds, str(dtype).removeprefix("torch."), limits, findings)

    def _model(self, names: Iterable[str]) -> RoutedModel:
        """A base loaded afresh, with the adapters of these tasks only (and what `prepare` places)."""
        base, identity = self.base()
        model = RoutedModel(base, identity=identity)
        if self.prepare is not None:
            self.prepare(model)
        self.runs.place_adapters(model, names)
        return model

    def _alone(self, name: str) -> _Alone:
        model = self._model([name])

        def run(start: TaskState, rounds: int, *, permuted: bool = False) -> TaskState:
            return self.runs.run(model, [name], rounds, start={name: start}, permuted=permuted)[name]

        weights = {key: p.detach().clone() for key, p in task_weights(model, name).items()}
        start = TaskState(weights, {}, 0)
        drifted = run(start, self.rounds)
        return _Alone(
            start,
            drifted,
            run(start, self.rounds, permuted=True),
            run(drifted, 1),
            run(drifted, 1, permuted=True),
        )

    def _exports(
        self, model: RoutedModel, alone: Mapping[str, _Alone], tolerance: float
    ) -> dict[str, tuple[float, float]]:
        """The difference in plain PEFT and the adapter's effect, of the tasks whose route is their own adapter."""
        own = [name for name in self.runs.tasks if model.routes[name] == {name: 1.0}]
        autocast = autocast_dtype_of(self.runs.args)
        rows = {}
        for name in own:
            row = self.runs.first_row(model, name)
            for noise in _NOISE:
                _disturb(task_weights(model, name), alone[name].drifted.weights, noise)
                rows[name] = routed_row(model, row, autocast=autocast)
                if rows[name].effect >= LEAST_EFFECT * tolerance:
                    break
        device = model.device
        with scratch_folder() as folder:
            places = save_suite(model, folder, names=own, processor=None).tasks
            return {
                name: (
                    plain_difference(
                        self.base()[0], folder / places[name], row, device=device, autocast=autocast
                    ),
                    row.effect,
                )
                for name, row in rows.items()
            }


def _disturb(parameters: Mapping[str, torch.nn.Parameter], weights: Weights, deviation: float) -> None:
    """Set the parameters to the weights and noise of a standard deviation."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, parameter in parameters.items():
            noise = torch.randn(parameter.shape, generator=generator) * deviation
            parameter.copy_(weights[key] + noise.to(parameter.device, parameter.dtype))


def _relative(task: str, start: TaskState, alone: TaskState, other: TaskState) -> float:
    """`||other - alone|| / ||alone - start||`, over all parameters."""

    def distance(a: Weights, b: Weights) -> float:
        parts = [(a[key].double() - b[key].double()).norm() for key in a]
        return float(torch.stack(parts).norm())

    moved = distance(alone.weights, start.weights)
    if moved == 0:
        raise TrainingError(
            f"task {task!r}: its weights do not move when it is trained alone, so there is nothing to compare. Look at "
            f"its loss and its learning rate, or verify more rounds."
        )
    return distance(other.weights, alone.weights) / moved


def _precision(model: RoutedModel, args: MultiTaskTrainingArguments) -> tuple[torch.dtype, float]:
    """The dtype that the base computes in, and the epsilon of its products."""
    dtype = autocast_dtype_of(args) or model.base.dtype
    tf32 = model.device.type == "cuda" and torch.backends.cuda.matmul.fp32_precision == "tf32"
    return dtype, _TF32_EPSILON if tf32 and dtype == torch.float32 else torch.finfo(dtype).eps
