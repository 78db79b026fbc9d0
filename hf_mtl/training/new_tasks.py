"""What a resume means for the steps of its tasks: of new ones, and of others that are planned to make fewer or more."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from hf_mtl.errors import CheckpointError
from hf_mtl.training.mixtures import StopRule
from hf_mtl.training.rounds import RoundPlan
from hf_mtl.training.settings import TaskSettings

__all__ = ["check_new_tasks"]

logger = logging.getLogger(__name__)


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
