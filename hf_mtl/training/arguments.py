"""The arguments of a run: those of `transformers`, and a few of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from transformers import TrainingArguments

from hf_mtl.bounded_json import parse_json
from hf_mtl.bounds import bound_problems, plain
from hf_mtl.errors import CheckpointError, ConfigError, listing
from hf_mtl.keywords import explained_keywords
from hf_mtl.launch import launch_problems
from hf_mtl.objectives import Objective
from hf_mtl.setting_bounds import ARGUMENTS
from hf_mtl.tasks import Sharing, sharing_of, suite_objective
from hf_mtl.training.argument_sorts import sort_problems
from hf_mtl.training.mixtures import Mixture, StopRule

__all__ = ["MultiTaskTrainingArguments"]

Options: TypeAlias = Mapping[str, Any]  # Any: options of a mixture, a structure or an objective
if TYPE_CHECKING:
    MixtureChoice: TypeAlias = Options | str | Mixture
    SharingChoice: TypeAlias = Options | str | Sharing
    ObjectiveChoice: TypeAlias = Options | str | Objective
else:
    # HfArgumentParser keeps a command line's text as text only where None is allowed beside it; so do the fields of
    # transformers that take a mapping. None itself is refused.
    MixtureChoice = Options | str | Mixture | None
    SharingChoice = Options | str | Sharing | None
    ObjectiveChoice = Options | str | Objective | None


@explained_keywords
@dataclass
class MultiTaskTrainingArguments(TrainingArguments):
    """`TrainingArguments` for many tasks; all other fields keep their meaning.

    Steps (`max_steps`, `logging_steps`, `eval_steps`) count *rounds*: in a round every task that is not
    finished makes one optimizer step on a batch of its own. `per_device_train_batch_size`, `learning_rate`,
    `num_train_epochs` and the like are defaults that a task may override.

    With `full_determinism=True` every chunk of a task's batch is a micro-batch of its own: then a task's private
    weights are, on one CPU thread, bit for bit those of the task trained alone. Without it they are the same up to
    the rounding of matrix products, which may depend on what else is in the batch.

    `push_to_hub` and the `hub_*` fields mean what they mean in `transformers`, for the adapters of all tasks: one
    repository, a folder per task, and the manifest. See `hf_mtl.training.pushing`.

    A trainer with tasks refuses arguments that would have no effect on it (docs/arguments.md); without tasks all mean
    what they mean in `transformers`. `HfArgumentParser` reads them from a command line, options as JSON:
    `--mixture '{"kind": "temperature", "temperature": 2.0}'`.

    Args:
        max_length: Most tokens of an example of tasks that do not set it; None keeps all.
        token_budget: Most tokens of a micro-batch on one device. It changes memory, never results.
        max_chunk_tokens: Most tokens of one task that are computed together. It changes results by rounding.
        mixture: Who takes part in a round: "all", "proportional", "temperature", "rates", "round_robin", "annealed" or
            "sequential"; options as a mapping with the name under `kind`; or a `Mixture` object.
        sharing: Which adapters the tasks have in common: "private", "shared", "shared+private", "groups" or "soft";
            options as a mapping with the name under `name`; or a `Sharing` object.
        objective: What makes one update of the shared parameters of the tasks' losses and gradients: a name
            (`hf_mtl.objectives.OBJECTIVES`), a mapping of `name` and options, or an `Objective`.
        gradient_cosines: Whether to keep the mean cosines of the tasks' gradients of the shared parameters.
        stop_rule: The run ends when every task has made its steps and left ("once"), as soon as one has
            ("first_exhausted"), or when all have, the others going on meanwhile ("all_exhausted").
        nonfinite: What becomes of a task's loss or gradient that is not finite: "skip" leaves its update out and
            counts a strike, "raise" ends the run.
        max_strikes: Strikes after which a task leaves the run with its last good weights.
        spike_factor: A gradient norm beyond so many times the task's own running median is reported; 0 looks for none.
        skip_spikes: Whether the update of such a round is left out.
        isolation: What becomes of a run on a base that is seen to tie tasks together (docs/bases.md): "required"
            refuses it, "relaxed" lets it go on, and the report and the cards say so.
    """

    max_length: int | None = field(default=None, metadata={"help": "Most tokens of an example of a task."})
    token_budget: int = field(default=4096, metadata={"help": "Most tokens of a micro-batch on one device."})
    max_chunk_tokens: int = field(
        default=1024, metadata={"help": "Most tokens of one task computed together."}
    )
    mixture: MixtureChoice = field(default="all", metadata={"help": "Which tasks take part in a round."})
    sharing: SharingChoice = field(
        default="private", metadata={"help": "Which adapters the tasks have in common."}
    )
    objective: ObjectiveChoice = field(
        default="equal", metadata={"help": "What the update of the shared parameters is made by."}
    )
    gradient_cosines: bool = field(
        default=False, metadata={"help": "Keep the mean cosines of the tasks' shared gradients."}
    )
    stop_rule: str = field(default="once", metadata={"help": "When the run ends."})
    nonfinite: str = field(
        default="skip", metadata={"help": "What becomes of a loss or gradient that is not finite."}
    )
    max_strikes: int = field(default=3, metadata={"help": "Bad rounds after which a task leaves the run."})
    spike_factor: float = field(default=10.0, metadata={"help": "Times the running median that are a spike."})
    skip_spikes: bool = field(default=False, metadata={"help": "Leave out updates of spikes."})
    isolation: str = field(
        default="required", metadata={"help": "What becomes of a run on a base that ties tasks together."}
    )

    def __post_init__(self) -> None:
        vars(self).update({name: plain(vars(self)[name]) for name in ARGUMENTS if name in vars(self)})
        wrong = [*bound_problems(ARGUMENTS, vars(self)), *sort_problems(self), *launch_problems()]
        if not wrong:  # with which transformers goes on to compute
            try:
                super().__post_init__()  # type: ignore[no-untyped-call]
            except (ImportError, OSError, TypeError, ValueError) as error:
                wrong = [f"transformers refuses these training arguments: {error}"]
        problems = [*(wrong or self._size_problems()), *self._choice_problems(), *self._named_problems()]
        if problems:
            raise ConfigError(problems)

    def to_dict(self) -> dict[str, Any]:  # Any: as in the parent
        """The arguments as plain data, as trackers want them; a `Mixture` object and the like as it prints."""
        values: dict[str, Any] = super().to_dict()  # type: ignore[no-untyped-call]
        for name in ("mixture", "sharing", "objective"):
            if not isinstance(vars(self)[name], str | Mapping):
                values[name] = repr(vars(self)[name])
        return values

    def _size_problems(self) -> list[str]:
        if self.token_budget >= self.max_chunk_tokens:
            return []
        return [
            f"token_budget={self.token_budget} cannot hold a chunk of max_chunk_tokens={self.max_chunk_tokens}; "
            f"lower max_chunk_tokens or raise token_budget."
        ]

    def _choice_problems(self) -> list[str]:
        named = {
            "nonfinite": ("skip", "raise"),
            "stop_rule": tuple(map(str, StopRule)),
            "isolation": ("required", "relaxed"),
        }
        return [
            f"{name} must be one of {listing(choices)}, found {getattr(self, name)!r}."
            for name, choices in named.items()
            if getattr(self, name) not in choices
        ]

    def _named_problems(self) -> list[str]:
        builders: dict[str, Callable[[Any], object] | None] = {  # Any: each takes its field's value
            "mixture": None,  # it is built when the names of the tasks are known
            "sharing": sharing_of,
            "objective": suite_objective,
        }
        problems: list[str] = []
        for name, build in builders.items():
            try:
                value = vars(self)[name] = _read_json(name, vars(self)[name])
                if build is not None:
                    build(value)
            except ConfigError as error:
                problems += error.problems
            except CheckpointError as error:  # of a file of relations
                problems.append(str(error))
        return problems


def _read_json(name: str, value: object) -> object:
    """The value of a field that a name or a mapping chooses; a mapping may be JSON, as a command line has it."""
    if value is None:
        raise ConfigError(f"{name} must not be None; leave it out for the default.")
    if not (isinstance(value, str) and value.startswith("{")):
        return value
    try:
        read: object = parse_json(value)
    except ValueError as error:
        raise ConfigError(
            f"{name}={value!r:.200} is not JSON: {error}. Write a name, or a JSON object."
        ) from None
    return read
