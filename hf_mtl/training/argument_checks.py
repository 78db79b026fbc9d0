"""Refuse training arguments that would have no effect with tasks, all of them at once.

A stock Trainer, and so one of ours without tasks, is never asked: there every argument has its usual meaning.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import torch
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # offered, without `as`
from transformers import SchedulerType, TrainingArguments
from transformers.debug_utils import DebugOption
from transformers.trainer_pt_utils import AcceleratorConfig
from transformers.training_args import OptimizerNames

from hf_mtl.bounds import bound_problems
from hf_mtl.errors import listing
from hf_mtl.familiar import FAMILIAR
from hf_mtl.setting_bounds import ARGUMENTS
from hf_mtl.setting_names import ELEMENTWISE_OPTIMIZERS, SCHEDULES_BY_LOSS
from hf_mtl.tasks import Task
from hf_mtl.training.argument_sorts import sort_problems
from hf_mtl.training.argument_table import ACCELERATOR_FIELDS, FIELDS
from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.option_names import schedule_options_problem, unread_options
from hf_mtl.training.precision import precision_problem
from hf_mtl.training.trackers import tracker_problems
from hf_mtl.training.treatments import Refused, Treatment

__all__ = [
    "ArgumentProblem",
    "argument_problems",
    "eval_problems",
    "refused_arguments",
    "rounds_as_batches",
    "value_problems",
]

# Whose arguments somebody else would have to honour. Fields of a user's own class are for the user's own code.
_FOREIGN = ("transformers", "trl")

_UNKNOWN = Refused(
    "this version of hf_mtl does not know it, so nothing would follow from it",
    "leave it out, or give it to the trainer that it was made for",
)

# Fields that the class of our own adds: `SFTConfig.max_length` is the same.
_OURS = frozenset(own.name for own in dataclasses.fields(MultiTaskTrainingArguments)) - frozenset(
    own.name for own in dataclasses.fields(TrainingArguments)
)


@dataclass(frozen=True)
class ArgumentProblem:
    """One argument that is refused.

    Args:
        path: Its name; two names for a field of `accelerator_config`.
        value: What was found there.
        why: The reason and the way out.
    """

    path: tuple[str, ...]
    value: object
    why: str

    @property
    def text(self) -> str:
        """The message, for a place that is named beside it."""
        value = self.value.value if isinstance(self.value, Enum) else self.value
        return f"{value!r} is refused: {self.why}."

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}={self.text}"


def refused_arguments(args: TrainingArguments | None, tasks: Iterable[Task]) -> list[str]:
    """The messages of all arguments that would have no effect with some tasks, or fail after the first step.

    Args:
        args: The arguments of the run, of any class.
        tasks: Its tasks, which may ask for optimizers of their own.
    """
    if not isinstance(args, TrainingArguments):
        return []
    # Of another class, or changed since they were made.
    if wrong := [*bound_problems(ARGUMENTS, vars(args)), *sort_problems(args)]:
        return wrong
    asked = [(task.optim, task.lr_scheduler_type) for task in tasks]
    optimizers, schedules = [own for own, _ in asked], [own for _, own in asked]
    problems = [str(problem) for problem in argument_problems(args, optimizers, schedules)]
    return [*problems, *tracker_problems(args.report_to or ())]


def eval_problems(eval_strategy: str, evaluated: Collection[str]) -> list[str]:
    """What is wrong with an `eval_strategy` for the tasks that have rows to measure on.

    >>> eval_problems("steps", [])
    ["eval_strategy='steps' measures tasks while they train, and none has eval rows; give them, or leave it at 'no'."]
    """
    if evaluated or eval_strategy == "no":
        return []
    why = "measures tasks while they train, and none has eval rows; give them, or leave it at 'no'"
    return [f"eval_strategy={eval_strategy!r} {why}."]


def argument_problems(
    args: TrainingArguments, optimizers: Iterable[str | None] = (), schedules: Iterable[str | None] = ()
) -> list[ArgumentProblem]:
    """The arguments that have no effect with tasks.

    Args:
        args: The arguments of the run.
        optimizers: What each task asks for as its own `optim`.
        schedules: What each task asks for as its own `lr_scheduler_type`.

    Example:
        >>> args = TrainingArguments("out", label_names=["answer"], use_cpu=True)
        >>> print(*argument_problems(args))
        label_names=['answer'] is refused: a task's kind says what its labels are; name the rows' columns by \
Task(..., columns={...}).
    """
    problems = value_problems(vars(args), type(args))
    problems += _limits(
        args, {OptimizerNames(args.optim).value, *optimizers}, _schedules(args, list(schedules))
    )
    if not args.fp16 and (why := precision_problem(args.mixed_precision)) is not None:
        problems.append(ArgumentProblem(("mixed_precision",), args.mixed_precision, why))
    if args.n_gpu > 1:
        one = "batches are not spread over GPUs by torch.nn.DataParallel; show the process one GPU "
        problems.append(
            ArgumentProblem(("n_gpu",), args.n_gpu, f"{one}(CUDA_VISIBLE_DEVICES=0), or use torchrun")
        )
    return problems


@contextlib.contextmanager
def rounds_as_batches(args: TrainingArguments, *, resumes: bool) -> Iterator[None]:
    """What the stock loop is to read while it runs; what the user set is there again afterwards.

    A round is one item of the loader, with its accumulation inside; and the plan itself knows where it stands. A run
    that resumes was evaluated at its start: once more would count for best weights and patience.
    """
    before = args.gradient_accumulation_steps, args.ignore_data_skip, args.eval_on_start
    args.gradient_accumulation_steps, args.ignore_data_skip = 1, True
    args.eval_on_start = args.eval_on_start and not resumes
    try:
        yield
    finally:
        args.gradient_accumulation_steps, args.ignore_data_skip, args.eval_on_start = before


def value_problems(
    values: Mapping[str, object], cls: type[TrainingArguments] = TrainingArguments
) -> list[ArgumentProblem]:
    """What is refused whatever else is set.

    Args:
        values: Arguments by name, before or after `__post_init__`; those that are left out have their defaults.
        cls: The class that they are for.
    """
    problems: list[ArgumentProblem] = []
    for name, default in _defaults(cls).items():
        treatment = FIELDS.get(name, _foreign(name) if _home(name, cls) in _FOREIGN else None)
        if name == "accelerator_config":
            problems += _accelerator_problems(values.get(name))
        elif name in values and _is_refused(values[name], treatment, (default, *_derived(name, values))):
            assert isinstance(treatment, Refused)
            problems.append(ArgumentProblem((name,), values[name], treatment.text))
    return problems


def _foreign(name: str) -> Treatment | None:
    """What becomes of a field of another trainer's arguments."""
    if name in _OURS:
        return None
    known = FAMILIAR.get(name)
    if known is None:
        return _UNKNOWN
    return Refused("it belongs to another trainer", known.instead, neutral=(None, *known.same))


def _is_refused(value: object, treatment: Treatment | None, defaults: Iterable[object]) -> bool:
    return isinstance(treatment, Refused) and all(value != own for own in (*defaults, *treatment.neutral))


def _defaults(cls: type) -> dict[str, object]:
    """The fields' declared defaults. An instance with all defaults is not made: it would set up devices anew."""
    return {
        own.name: own.default if own.default_factory is dataclasses.MISSING else own.default_factory()
        for own in {
            **{own.name: own for own in dataclasses.fields(cls)},
            **{own.name: own for own in dataclasses.fields(TrainingArguments)},
        }.values()
    }


def _home(name: str, cls: type) -> str:
    """The package of the class that a field was declared in."""
    homes = (base for base in reversed(cls.__mro__) if dataclasses.is_dataclass(base))
    return next(
        base.__module__.partition(".")[0]
        for base in homes
        if any(own.name == name for own in dataclasses.fields(base))
    )


def _derived(name: str, values: Mapping[str, object]) -> Iterator[object]:
    """What `__post_init__` puts into a field that was left out, because of another one."""
    if name == "dataloader_pin_memory" and values.get("use_cpu"):
        yield False
    elif name == "torch_compile_backend" and values.get("torch_compile"):
        yield "inductor"
    elif name == "fsdp_config" and values.get("fsdp"):
        yield values[name]
    elif name == "dataloader_multiprocessing_context" and torch.backends.mps.is_available():
        yield "fork"


def _accelerator_problems(config: object) -> list[ArgumentProblem]:
    """Of `accelerator_config`; JSON and JSON files are left for `__post_init__` to read, and looked at afterwards."""
    values = config if isinstance(config, Mapping) else {}
    if isinstance(config, AcceleratorConfig):
        values = vars(config)
    defaults = {own.name: own.default for own in dataclasses.fields(AcceleratorConfig)}
    return [
        ArgumentProblem(("accelerator_config", name), value, treatment.text)
        for name, value in values.items()
        if isinstance(treatment := ACCELERATOR_FIELDS.get(name, _UNKNOWN), Refused)
        and name in defaults
        and _is_refused(value, treatment, (defaults[name],))
    ]


def _schedules(args: TrainingArguments, schedules: Collection[str | None]) -> set[str]:
    """The schedules in use; those driven by a loss are refused for themselves."""
    own = SchedulerType(args.lr_scheduler_type).value
    shared = isinstance(args, MultiTaskTrainingArguments) and args.sharing != "private"
    names = {name or own for name in schedules or (None,)} | ({own} if shared else set())
    return {SchedulerType(name).value for name in names} - set(SCHEDULES_BY_LOSS)


def _limits(
    args: TrainingArguments, optimizers: Collection[str | None], schedules: Collection[str]
) -> Iterator[ArgumentProblem]:
    """Values that are refused of arguments that are honoured."""
    if OptimizerNames(args.optim).value not in ELEMENTWISE_OPTIMIZERS:
        why = f"an adapter is one flat buffer; choose one of {listing(ELEMENTWISE_OPTIMIZERS)}"
        yield ArgumentProblem(("optim",), args.optim, why)
    if SchedulerType(args.lr_scheduler_type).value in SCHEDULES_BY_LOSS:
        why = "a schedule here is a function of the task's steps; choose another"
        yield ArgumentProblem(("lr_scheduler_type",), args.lr_scheduler_type, why)
    debug = " ".join(DebugOption(own).value for own in args.debug)
    if debug not in ("", DebugOption.UNDERFLOW_OVERFLOW.value):
        yield ArgumentProblem(
            ("debug",), debug, "its other options are for TPUs; choose 'underflow_overflow'"
        )
    given = args.lr_scheduler_kwargs or {}
    if isinstance(given, str):  # which was no JSON object, or it would be a mapping by now
        unread: str | None = "expected a mapping, or a JSON object such as '{\"num_cycles\": 2}'"
    else:
        unread = schedule_options_problem(schedules, list(map(str, given)))
    if unread is not None:
        yield ArgumentProblem(("lr_scheduler_kwargs",), args.lr_scheduler_kwargs, unread)
    if args.push_to_hub and args.hub_model_id is not None and (unfit := _id_problem(args.hub_model_id)):
        yield ArgumentProblem(("hub_model_id",), args.hub_model_id, unfit)
    if isinstance(args, MultiTaskTrainingArguments) and args.skip_spikes and not args.spike_factor:
        why = "spike_factor=0 looks for no spikes, so none would be left out; set it to 10, or leave skip_spikes out"
        yield ArgumentProblem(("skip_spikes",), True, why)
    known = [name for name in ELEMENTWISE_OPTIMIZERS if name in optimizers]
    if args.optim_args and known and (unread := unread_options(args, args.optim_args, known)):
        yield ArgumentProblem(("optim_args",), args.optim_args, unread)


def _id_problem(name: str) -> str | None:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return "no repository on the Hub has such a name; write 'name' or 'user/name' of letters, digits, '-', '_', '.'"
    return None
