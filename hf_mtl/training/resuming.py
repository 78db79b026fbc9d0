"""What a resume means where the run is given something else than before: other tasks, settings, or planned steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from hf_mtl.errors import CheckpointError
from hf_mtl.notices import logger_of
from hf_mtl.training.checkpoints import Checkpoint, as_damage, form_problem
from hf_mtl.training.mixtures import StopRule
from hf_mtl.training.rounds import RoundPlan
from hf_mtl.training.settings import TaskSettings

__all__ = ["check_new_tasks", "check_run", "check_trainer_state"]

logger = logger_of(__name__)

Json = dict[str, Any]  # Any: plain JSON


def check_new_tasks(
    plan: RoundPlan,
    settings: Mapping[str, TaskSettings],
    planned_before: Mapping[str, int],
    *,
    max_steps: int,
    stop: StopRule,
    where: str,
) -> None:
    """Log what became of the tasks' planned steps at a resume.

    Args:
        plan: The run, where it goes on.
        settings: Each task's settings; its `steps` are what the task asks for.
        planned_before: Each task's planned steps in the run that was interrupted; a task that it lacks is new.
        max_steps: Of the training arguments.
        stop: When the run ends.
        where: The checkpoint.

    Raises:
        CheckpointError: If there is no room for even one step of a new task.
    """
    why = f"max_steps={max_steps} ends it at round {max_steps}" if max_steps > 0 else ""
    if not why or plan.rounds < max_steps:
        why = f"stop_rule={stop.value!r} ends it at round {plan.rounds}"
    new = [name for name in plan.planned if name not in planned_before]
    _refuse_without_steps([name for name in new if not plan.planned[name]], settings, plan, why, where)
    for name in new:
        if plan.planned[name] < settings[name].steps:
            logger.warning(
                "resume: task %r is new and makes %d of its %d steps, and its learning rate follows a schedule of "
                "these: the run stands at round %d, and %s.",
                name, plan.planned[name], settings[name].steps, plan.number, why,
            )  # fmt: skip
    for name, steps in plan.planned.items():
        if steps != planned_before.get(name, steps) and name not in plan.stopped:
            logger.warning(
                "resume: task %r makes %d steps in all now, and %d were planned; its learning rate follows the "
                "schedule of %d steps from here on.",
                name, steps, planned_before[name], steps,
            )  # fmt: skip


def _refuse_without_steps(
    names: Collection[str], settings: Mapping[str, TaskSettings], plan: RoundPlan, why: str, where: str
) -> None:
    problems = [
        f"task {name!r} is new, and could make none of its {settings[name].steps} steps" for name in names
    ]
    if problems:
        raise CheckpointError(
            f"{where} cannot be resumed: the run stands at round {plan.number}, and {why}:\n"
            + "\n".join(f"  - {problem}." for problem in problems)
            + "\nRaise max_steps (a task that is to make no more steps keeps a max_steps in Task(...)), use "
            "stop_rule='once' without max_steps, change the mixture, or train the task in a run of its own."
        )


def check_trainer_state(checkpoint: Checkpoint) -> None:
    """Check the form of the state that the loop of transformers reads by itself.

    Raises:
        CheckpointDamagedError: If it is another.
    """
    file = checkpoint.folder / TRAINER_STATE_NAME
    with as_damage(str(file)):
        state = vars(TrainerState.load_from_json(str(file)))
        if problem := form_problem(state, vars(TrainerState())):
            raise ValueError(problem)
        if any(not isinstance(entry, dict) for entry in state["log_history"]):
            raise ValueError("log_history: expected a list of objects")
        if not isinstance(state["train_batch_size"], int):
            raise ValueError(f"train_batch_size: expected a number, found {state['train_batch_size']!r:.60}")


def check_run(saved: Json, now: Json, *, where: str) -> None:
    """Compare what a run was given with what it is given now; differences that are well defined are logged.

    Raises:
        CheckpointError: With all differences that a resume cannot make sense of.
    """
    problems = []
    if saved["base"] != now["base"]:
        problems.append(
            f"the base has the fingerprint {now['base']}, and the checkpoint's had {saved['base']}: other weights."
        )
    if saved["seed"] != now["seed"]:
        problems.append(
            f"the data seed is {now['seed']}, and was {saved['seed']}: the batches would be others."
        )
    for name in saved["tasks"].keys() & now["tasks"].keys():
        problems += _task_problems(name, saved["tasks"][name], now["tasks"][name])
    if problems:
        raise CheckpointError(
            f"{where} cannot be resumed:\n" + "\n".join(f"  - {problem}" for problem in sorted(problems))
            + "\nSet back what changed, or give a changed task a new name: it then starts anew, the others go on."
        )  # fmt: skip
    for name in sorted(saved["tasks"].keys() - now["tasks"].keys()):
        logger.warning("resume: task %r is no longer there; its state in %s is left alone.", name, where)
    for name in sorted(now["tasks"].keys() - saved["tasks"].keys()):
        logger.warning("resume: task %r is new; it starts at its first step.", name)
    if saved["processes"] != now["processes"]:
        logger.warning(
            "resume: %d processes instead of %d; the batches stay the same, sums may round differently.",
            now["processes"],
            saved["processes"],
        )


def _task_problems(name: str, saved: Json, now: Json) -> list[str]:
    problems = []
    if None not in (saved["rows"], now["rows"]) and saved["rows"] != now["rows"]:
        problems.append(
            f"task {name!r}: its training rows changed ({saved['count']} then, {now['count']} now, or other content)."
        )
    if saved.get("labels", now["labels"]) != now["labels"]:
        problems.append(f"task {name!r}: its labels are {now['labels']!r}, and were {saved['labels']!r}.")
    if saved.get("kind", now["kind"]) != now["kind"]:
        logger.warning("resume: task %r: its kind is %s now, and was %s.", name, now["kind"], saved["kind"])
    before, after = saved["settings"], now["settings"]
    if before["batch_size"] != after["batch_size"]:
        problems.append(
            f"task {name!r}: a step takes {after['batch_size']} rows, and took {before['batch_size']}; its place in "
            f"the data would be another."
        )
    if before["optim"] != after["optim"]:
        problems.append(f"task {name!r}: the optimizer is {after['optim']!r}, and was {before['optim']!r}.")
    changed = [key for key in after if before.get(key) != after[key] and key not in ("batch_size", "optim")]
    for key in changed:
        logger.warning("resume: task %r: %s is %r now, and was %r.", name, key, after[key], before.get(key))
    return problems
