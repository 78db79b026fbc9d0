"""Sharing: which adapters the tasks have in common, and which they have for themselves.

| structure | the adapters of a task's route |
|---|---|
| `private` | its own |
| `shared` | one that all tasks use (hard sharing, Caruana 1997); heads stay private |
| `shared+private` | that one, times a scalar that the task learns, and its own |
| `groups` | one of each group that it is in (and that of all tasks), times a scalar that it learns, and its own |
| `soft` | its own, drawn towards the others' by a penalty (Duong et al. 2015, https://aclanthology.org/P15-2139) |

All but `soft` are one thing: named sets of tasks, each with an adapter. The effects of a route's adapters add up, so it
folds into one LoRA of the summed rank when it is saved.

>>> sharing = Sharing("groups", groups={"news": ["topic", "entities"]}, everyone=True)
>>> sharing.shared_by(["topic", "entities", "mood"])
{'shared': ('topic', 'entities', 'mood'), 'news': ('topic', 'entities')}
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from peft import LoraConfig, PeftConfig

from hf_mtl.bounds import COUNT, NOT_NEGATIVE, POSITIVE, bound_problems
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.relations import Relations, groups_of
from hf_mtl.setting_bounds import adapter_problems
from hf_mtl.tasks.suite import TaskSuite

__all__ = ["Sharing", "SharingPlan"]

EVERYONE = "shared"  # the adapter that all tasks use


@dataclass(frozen=True)
class SharingPlan:
    """The adapters of a suite.

    Args:
        shared: By shared adapter, its config.
        private: By task, the config of its own adapter; None if it has none.
        stacks: By task, the shared adapters that it uses, from the widest to the narrowest.
    """

    shared: Mapping[str, LoraConfig]
    private: Mapping[str, PeftConfig | None]
    stacks: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Sharing:
    """A sharing structure; `sharing_of` makes one of its name.

    Args:
        name: Which structure, for messages and reports.
        groups: By the name of a group's adapter, the tasks that use it.
        everyone: Whether there is an adapter that all tasks use.
        private: Whether each task has an adapter of its own besides.
        learned_scales: Whether a task with an adapter of its own learns a scalar for each shared one.
        adapter: The config of shared adapters; default: that of the tasks that use it, if it is the same one.
        match_parameters: Whether the tasks divide their ranks over the adapters that they use, so that all adapters
            together have as many parameters as private ones would. A task of rank r with n adapters brings about r/n
            to each, and a shared adapter's rank is what its tasks bring.
        strength: Of the penalty `strength / 2 sum_i ||D_i - mean D||^2` over the adapters' changes `D = s B A` of each
            layer's weight; with `relations` R, `strength / 4 sum_ij R_ij ||D_i - D_j||^2`. 0 has no penalty.
        relations: How much which tasks have in common; negative entries count as 0.
        tau: In the place of `relations`, these are learned in every round of the adapters as they are then: each task
            spreads a weight of 1 over the others by `softmax_j(-||D_i - D_j||^2 / (tau m))`, with m the mean of all
            squared distances (`hf_mtl.relations.LearnedRelations`).
        count: How many groups to form of the relations, in the place of `groups`.

    Raises:
        ConfigError: If a number is out of its bounds.
    """

    name: str = "private"
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    everyone: bool = False
    private: bool = True
    learned_scales: bool = True
    adapter: LoraConfig | None = None
    match_parameters: bool = False
    strength: float = 0.0
    relations: Relations | None = None
    tau: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        bounds = {"strength": NOT_NEGATIVE, "tau": POSITIVE.or_none(), "count": COUNT.or_none()}
        problems = bound_problems(bounds, vars(self))
        problems += [f"adapter.{problem}" for problem in adapter_problems(self.adapter)]
        if problems:
            raise ConfigError([f"sharing: {problem}" for problem in problems])

    def shared_by(self, tasks: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The tasks that use each shared adapter, the widest adapter first.

        Raises:
            ConfigError: If a group names a task that there is not, or none, or is called like a task.
        """
        problems = [
            f"sharing: the group {group!r} names a task {task!r} that there is not.{did_you_mean(task, tasks)} Tasks: "
            f"{listing(tasks)}."
            for group, own in self.groups.items()
            for task in own
            if task not in tasks
        ]
        everyone = {EVERYONE: tuple(tasks)} if self.everyone else {}
        groups = everyone | {
            name: tuple(task for task in tasks if task in own)
            for name, own in (*self.groups.items(), *self._clusters(tasks).items())
        }
        problems += [
            f"sharing: the adapter {group!r} is called like a task; rename the task or the group."
            for group in groups
            if group in tasks
        ]
        problems += [
            f"sharing: the group {group!r} has no tasks." for group, own in self.groups.items() if not own
        ]
        if problems:
            raise ConfigError(problems)
        return dict(sorted(groups.items(), key=lambda item: -len(item[1])))

    def _clusters(self, tasks: Collection[str]) -> Mapping[str, Sequence[str]]:
        if self.count is None or self.relations is None:
            return {}
        return groups_of(self.relations.subset(tuple(tasks)), count=self.count)

    def plan(self, suite: TaskSuite) -> SharingPlan:
        """The adapters of a suite.

        Raises:
            ConfigError: If groups do not fit the tasks, or adapters that add up are no plain LoRAs.
        """
        configs = {name: task.adapter for name, task in suite.items() if task.adapter is not None}
        return self.plan_of(configs, suite.names)

    def plan_of(self, configs: Mapping[str, PeftConfig], names: Sequence[str]) -> SharingPlan:
        """The adapters of tasks with these names, by their own configs; as `plan`."""
        users = self.shared_by(names)
        stacks = {task: tuple(group for group, own in users.items() if task in own) for task in names}
        alone = {task for task in names if self.private or not stacks[task]}
        if not users and not self.strength:
            return SharingPlan({}, configs, stacks)
        plain = _plain_loras(configs)
        shared = {
            group: self.adapter or _common(group, {t: plain[t] for t in own}) for group, own in users.items()
        }
        own = {task: plain[task] for task in alone}
        if self.match_parameters:
            shared, own = _divided(plain, shared, users, alone)
        return SharingPlan(shared, {task: own.get(task) for task in names}, stacks)


def _plain_loras(configs: Mapping[str, PeftConfig]) -> dict[str, LoraConfig]:
    """The tasks' configs, all of them plain LoRAs.

    Raises:
        ConfigError: Naming those that are not.
    """
    odd = {
        task: type(config).__name__ + (" with use_dora" if vars(config).get("use_dora") else "")
        for task, config in configs.items()
        if not isinstance(config, LoraConfig) or config.use_dora or config.modules_to_save
    }
    if odd:
        raise ConfigError(
            [
                f"task {task!r}: sharing adds adapters up, which plain LoRAs can; its adapter is a {kind}"
                f"{'' if 'dora' in kind or kind != 'LoraConfig' else ' with modules_to_save'}. Give it a LoraConfig, "
                f"or leave `sharing` at 'private'."
                for task, kind in odd.items()
            ]
        )
    return {task: config for task, config in configs.items() if isinstance(config, LoraConfig)}


def _common(group: str, configs: Mapping[str, LoraConfig]) -> LoraConfig:
    """The config that all tasks of a group have.

    Raises:
        ConfigError: If they differ.
    """
    first = next(iter(configs.values()))
    unlike = [task for task, config in configs.items() if config.to_dict() != first.to_dict()]
    if unlike:
        raise ConfigError(
            f"sharing: the adapter {group!r} has no config of its own, and its tasks' differ ({next(iter(configs))!r} "
            f"and {listing(unlike)}). Give `sharing` an `adapter`."
        )
    return first


def _divided(
    configs: Mapping[str, LoraConfig],
    shared: Mapping[str, LoraConfig],
    users: Mapping[str, Sequence[str]],
    alone: Collection[str],
) -> tuple[dict[str, LoraConfig], dict[str, LoraConfig]]:
    """Shared and private configs whose ranks add up to those of the tasks; a scale stays what it was."""
    ranks = dict.fromkeys(users, 0)
    own: dict[str, LoraConfig] = {}
    for task, config in configs.items():
        groups = [group for group, members in users.items() if task in members]
        count = len(groups) + (task in alone)
        if config.r < count:
            raise ConfigError(
                f"task {task!r}: match_parameters divides its rank {config.r} over {count} adapters; raise `r`."
            )
        part, rest = divmod(config.r, count)
        for number, group in enumerate(groups):
            ranks[group] += part + (rest if task not in alone and number == len(groups) - 1 else 0)
        if task in alone:
            own[task] = _with_rank(config, part + rest)
    return {group: _with_rank(config, ranks[group]) for group, config in shared.items()}, own


def _with_rank(config: LoraConfig, rank: int) -> LoraConfig:
    changed = copy.deepcopy(config)
    grown = rank**0.5 / config.r**0.5 if config.use_rslora else rank / config.r
    changed.r = rank
    changed.lora_alpha = config.lora_alpha * grown  # type: ignore[assignment]  # PEFT divides it, whole or not
    return changed
