"""Which adapters the tasks of a suite get, by the structure that they share in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from datasets import Dataset
from peft import IA3Config, LoraConfig, PeftConfig

from hf_mtl import PromptCompletion, Task, TaskSuite
from hf_mtl.errors import ConfigError
from hf_mtl.tasks import Sharing, SharingPlan, sharing_of


def _lora(r: int = 8, **options: Any) -> LoraConfig:
    return LoraConfig(**{"r": r, "lora_alpha": 2 * r, "target_modules": ["q_proj"], **options})


def _suite(*names: str, **adapters: PeftConfig) -> TaskSuite:
    rows = Dataset.from_list([{"text": "a", "label": "b"}])
    template = PromptCompletion("{text}", " {label}")
    return TaskSuite(
        Task(name, train=rows, template=template, adapter=adapters.get(name, _lora())) for name in names
    )


def _plan(spec: str | Mapping[str, Any] | Sharing, *names: str, **adapters: PeftConfig) -> SharingPlan:
    return sharing_of(spec).plan(_suite(*names, **adapters))


def _ranks(plan: SharingPlan) -> dict[str, int]:
    own = {name: config for name, config in plan.private.items() if config is not None}
    return {name: vars(config)["r"] for name, config in {**plan.shared, **own}.items()}


def test_private() -> None:
    plan = _plan("private", "a", "b", b=IA3Config(target_modules=["k_proj"], feedforward_modules=[]))
    assert plan.shared == {}
    assert plan.stacks == {"a": (), "b": ()}
    assert isinstance(plan.private["b"], IA3Config)


def test_shared_has_no_private_adapters() -> None:
    plan = _plan("shared", "a", "b")
    assert _ranks(plan) == {"shared": 8}
    assert plan.stacks == {"a": ("shared",), "b": ("shared",)}


def test_shared_and_private() -> None:
    plan = _plan({"name": "shared+private", "adapter": {"r": 3, "target_modules": ["v_proj"]}}, "a", "b")
    assert _ranks(plan) == {"shared": 3, "a": 8, "b": 8}
    assert plan.stacks == {"a": ("shared",), "b": ("shared",)}


def test_groups_are_nested_from_the_widest_to_the_narrowest() -> None:
    spec = {"name": "groups", "groups": {"pair": ["b", "c"], "one": ["c"]}, "everyone": True}
    plan = _plan(spec, "a", "b", "c")
    assert plan.stacks == {"a": ("shared",), "b": ("shared", "pair"), "c": ("shared", "pair", "one")}
    assert set(_ranks(plan)) == {"shared", "pair", "one", "a", "b", "c"}


def test_groups_without_private_adapters_leave_one_to_the_task_in_no_group() -> None:
    plan = _plan({"name": "groups", "groups": {"pair": ["a", "b"]}, "private": False}, "a", "b", "c")
    assert plan.private["a"] is None
    assert plan.private["c"] is not None
    assert plan.stacks["c"] == ()


def test_groups_formed_of_relations() -> None:
    relations = {"a": {"b": 0.9, "c": 0.0, "d": 0.1}, "b": {"c": 0.0, "d": 0.0}, "c": {"d": 0.8}}
    plan = _plan({"name": "groups", "relations": relations, "count": 2}, "a", "b", "c", "d")
    assert plan.stacks["a"] == plan.stacks["b"] != plan.stacks["c"] == plan.stacks["d"]


@pytest.mark.parametrize(
    "spec",
    [
        "shared",
        "shared+private",
        {"name": "groups", "groups": {"pair": ["b", "c"], "one": ["c"]}, "everyone": True},
        {"name": "groups", "groups": {"pair": ["b", "c"]}, "private": False},
    ],
)
def test_matched_structures_have_the_parameters_of_private_adapters(spec: str | dict[str, Any]) -> None:
    options = {"name": spec} if isinstance(spec, str) else spec
    adapter = {"r": 5, "target_modules": ["q_proj"]}
    plan = _plan({**options, "adapter": adapter, "match_parameters": True}, "a", "b", "c", a=_lora(7))
    # Adapters on the same layers have parameters in proportion to their ranks.
    assert sum(_ranks(plan).values()) == 7 + 8 + 8


def test_matched_adapters_keep_their_scale() -> None:
    plan = _plan({"name": "shared+private", "match_parameters": True}, "a", "b", "c", "d")
    assert _ranks(plan) == {"shared": 16, "a": 4, "b": 4, "c": 4, "d": 4}
    for config in (*plan.shared.values(), plan.private["a"]):
        assert vars(config)["lora_alpha"] / vars(config)["r"] == 2


def test_matched_adapters_keep_their_scale_with_rslora() -> None:
    adapters = {name: _lora(use_rslora=True) for name in "ab"}
    plan = _plan({"name": "shared", "match_parameters": True}, "a", "b", **adapters)
    assert plan.shared["shared"].lora_alpha / 16**0.5 == pytest.approx(16 / 8**0.5)


ERRORS: dict[str, tuple[str | dict[str, Any], dict[str, PeftConfig], str]] = {
    "unknown": ("sharde", {}, r"there is no structure 'sharde'\. Did you mean 'shared'\? Valid: 'groups', 'private'"),
    "no option": ({"name": "shared", "adaptor": {}}, {}, r"has no option 'adaptor'\. Did you mean 'adapter'\?"),
    "wrong type": ({"name": "groups", "groups": ["a"]}, {}, r"groups must be Mapping, found \['a'\]"),
    "neither": ("groups", {}, r"takes either `groups` \(name: \[tasks\]\), or `relations` and `count`"),
    "count": ({"name": "groups", "count": 2}, {}, r"`count` forms so many groups, at least 1, of `relations`"),
    "tau": ({"name": "soft", "tau": 0.0}, {}, r"tau: expected a number above 0, found 0\.0"),
    "tau and relations": (
        {"name": "soft", "tau": 1.0, "relations": {"a": {"b": 0.5}}}, {}, r"either given .* or learned .*, not both",
    ),
    "strength": ({"name": "soft", "strength": 0.0}, {}, r"strength: expected a number above 0, found 0\.0"),
    "no task": ({"name": "groups", "groups": {"g": ["a", "sentimet"]}}, {}, r"the group 'g' names a task 'sentimet'"),
    "empty": ({"name": "groups", "groups": {"g": []}}, {}, r"the group 'g' has no tasks"),
    "name taken": ({"name": "groups", "groups": {"a": ["a", "b"]}}, {}, r"the adapter 'a' is called like a task"),
    "differ": ("shared", {"b": _lora(4)}, r"has no config of its own, and its tasks' differ \('a' and 'b'\)"),
    "IA3": (
        "shared+private",
        {"b": IA3Config(target_modules=["k_proj"], feedforward_modules=[])},
        r"task 'b': sharing adds adapters up, which plain LoRAs can; its adapter is a IA3Config",
    ),
    "DoRA": ("soft", {"b": _lora(use_dora=True)}, r"task 'b'.*LoraConfig with use_dora"),
    "copies": ("shared", {"b": _lora(modules_to_save=["lm_head"])}, r"task 'b'.*LoraConfig with modules_to_save"),
    "too small": (
        {"name": "shared+private", "match_parameters": True},
        {"a": _lora(1), "b": _lora(1)},
        r"task 'a': match_parameters divides its rank 1 over 2 adapters; raise `r`",
    ),
    "adapter": ({"name": "shared", "adapter": {"rank": 4}}, {}, r"adapter: .*unexpected keyword argument 'rank'"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_shared_is_refused(case: str) -> None:
    spec, adapters, message = ERRORS[case]
    with pytest.raises(ConfigError, match=message):
        _plan(spec, "a", "b", **adapters)


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        sharing_of({"name": "soft", "strenght": 1, "count": 2})
    assert len(caught.value.problems) == 2
