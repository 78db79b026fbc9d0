"""What a resume means where the run is given something else than before: other tasks, settings, or planned steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from hf_mtl.errors import CheckpointError, listing
from hf_mtl.notices import logger_of
from hf_mtl.training.checkpoints import Checkpoint, as_damage, form_problem
from hf_mtl.training.mixtures import StopRule
from hf_mtl.training.rounds import RoundPlan
from hf_mtl.training.settings import TaskSettings

__all__ = ["check_new_tasks", "check_run", "check_trainer_state"]

logger = logger_of(__name__)

Json = dict[str, Any]  # Any: plain JSON

_OF_BASE = {
    "base": "the base has the fingerprint {now}, and the checkpoint's had {before}: other weights.",
    "seed": "the data seed is {now}, and was {before}: the batches would be others.",
    "dtype": "the base's dtype is {now}, and was {before}: what was learned on it would be added to other numbers.",
    "quantization": "the base's quantization is {now!r}, and was {before!r}: other weights.",
}
_ALWAYS = ("base", "seed")  # which checkpoints of every version hold
_ROUNDING = ("mixed_precision", "device")
_LOGGED_OF_SHARING = ("strength", "tau", "relations")


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


def check_run(saved: Json, now: Json, *, where: str, measured: Collection[str] = ()) -> None:
    """Compare what a run was given with what it is given now; differences that are well defined are logged.

    Older versions wrote less (`given.run_document`), and without weights less is known now; only what both hold is
    compared.

    Args:
        saved: What the run was given.
        now: What it is given now.
        where: The checkpoint.
        measured: The tasks that have a best figure.

    Raises:
        CheckpointError: With all differences that a resume cannot make sense of.
        KeyError: If the checkpoint lacks what every version wrote.
        ValueError: If what was saved is of another form.
    """
    if missing := [key for key in _ALWAYS if key not in saved]:
        raise KeyError(missing[0])
    for key, own in now.items():
        if isinstance(own, dict) and not isinstance(saved.get(key, own), dict | None):
            raise ValueError(f"{key}: expected an object, found {saved[key]!r:.60}")
    problems = [*_base_problems(saved, now), *_sharing_problems(saved, now), *_adapter_problems(saved, now)]
    problems += _argument_problems(saved, now, measured)
    for name in saved["tasks"].keys() & now["tasks"].keys():
        problems += _task_problems(name, saved["tasks"][name], now["tasks"][name], measured=name in measured)
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


def _base_problems(saved: Json, now: Json) -> Iterator[str]:
    for key, text in _OF_BASE.items():
        if key in saved and key in now and saved[key] != now[key]:
            yield text.format(now=now[key], before=saved[key])
    for key in _ROUNDING:
        if key in saved and key in now and saved[key] != now[key]:
            what = "resume: %s is %r now, and was %r; sums may round differently."
            logger.warning(what, key, now[key], saved[key])


def _sharing_problems(saved: Json, now: Json) -> Iterator[str]:
    """Another structure, and other settings of the parameters that several tasks share."""
    after: Json = now["sharing"]
    before: Json = saved.get("sharing", after)
    if before["name"] != after["name"]:
        yield (
            f"sharing is {after['name']!r}, and was {before['name']!r}: the tasks would go on with other adapters."
        )
        return
    for name in saved["tasks"].keys() & now["tasks"].keys():
        used, uses = saved["tasks"][name].get("uses"), now["tasks"][name].get("uses")
        if None not in (used, uses) and used != uses:
            yield (
                f"task {name!r}: it uses the adapters {listing(uses)}, and used {listing(used)}: another sharing, of "
                f"{after['name']!r}."
            )
    _log_changes("sharing: ", before, after, _LOGGED_OF_SHARING)
    usual, own = saved.get("shared"), now.get("shared")
    if usual is not None and own is not None:
        if usual["optim"] != own["optim"]:
            yield f"the optimizer of the shared parameters is {own['optim']!r}, and was {usual['optim']!r}."
        _log_changes("shared parameters: ", usual, own, [key for key in own if key != "optim"])


def _adapter_problems(saved: Json, now: Json) -> Iterator[str]:
    """Options of adapters beside their parameters; a field that another version of peft does not know is left out."""
    before, after = saved.get("adapters", {}), now.get("adapters", {})
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        changed = [key for key in new if key in old and old[key] != new[key]]
        dropout = [key for key in changed if key.endswith("dropout")]
        _log_changes(f"adapter {name!r}: ", old, new, dropout)
        for key in changed:
            if key not in dropout:
                why = "what it has learned would count otherwise"
                yield f"the adapter {name!r}: {key} is {new[key]!r}, and was {old[key]!r}: {why}."


def _argument_problems(saved: Json, now: Json, measured: Collection[str]) -> Iterator[str]:
    before, after = saved.get("arguments", {}), now["arguments"]
    changed = [key for key in after if key in before and before[key] != after[key]]
    refused = {"optim_args": "the optimizers would be others"}
    if saved["seed"] == now["seed"]:  # else it is the data seed that is reported
        refused["seed"] = "what is drawn, such as dropout, would be drawn otherwise"
    if measured and before.get("metric_for_best_model") and after["metric_for_best_model"]:
        refused["metric_for_best_model"] = "the best figure so far is of the other"
    for key in changed:
        if key in refused:
            yield f"{key} is {after[key]!r}, and was {before[key]!r}: {refused[key]}."
    _log_changes("", before, after, [key for key in changed if key not in (*refused, "seed")])


def _log_changes(what: str, before: Json, after: Json, keys: Iterable[str]) -> None:
    for key in keys:
        if before.get(key) != after[key]:
            logger.warning(
                "resume: %s%s is %.200r now, and was %.200r.", what, key, after[key], before.get(key)
            )


def _task_problems(name: str, saved: Json, now: Json, *, measured: bool) -> list[str]:
    problems = []
    if None not in (saved["rows"], now["rows"]) and saved["rows"] != now["rows"]:
        problems.append(
            f"task {name!r}: its training rows changed ({saved['count']} then, {now['count']} now, or other content)."
        )
    if (saved["rows"] is None) is not (now["rows"] is None):
        form, was = ("stored", "a stream") if saved["rows"] is None else ("a stream", "stored")
        problems.append(
            f"task {name!r}: its training rows are {form}, and were {was}: its place in them is not known."
        )
    elif now["rows"] is None:
        before, after = saved.get("reads", {}), now["reads"]
        problems += [
            f"task {name!r}: {key} is {after[key]!r:.200}, and was {before[key]!r:.200}: its rows would be others."
            for key in after
            if key in before and before[key] != after[key]
        ]
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
    handled = ["batch_size", "optim"]
    if measured:
        handled += (figure := ["metric", "greater_is_better"])
        problems += [
            f"task {name!r}: {key} is {after[key]!r}, and was {before[key]!r}: its best figure so far is of the other."
            for key in figure
            if before.get(key, after[key]) != after[key]
        ]
    _log_changes(f"task {name!r}: ", before, after, [key for key in after if key not in handled])
    return problems
