"""Mixtures: rates are what their formulas say, participation keeps them, plans are what then happens."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from hf_mtl.errors import ConfigError
from hf_mtl.training.mixtures import (
    MAX_PLANNED_ROUNDS,
    Mixture,
    MixtureFacts,
    MixtureLog,
    Participation,
    Rates,
    RoundRobin,
    StopRule,
    TaskFacts,
    mixture_from,
    planned_rounds,
)

NAMES = ("a", "b", "c")
# Different in everything: 50, 10 and 4 batches in an epoch; b's last one is short.
TASKS = {
    "a": TaskFacts(rows=400, tokens_per_batch=800.0, batch_size=8, planned_steps=50),
    "b": TaskFacts(rows=39, tokens_per_batch=90.0, batch_size=4, planned_steps=10),
    "c": TaskFacts(rows=8, tokens_per_batch=60.0, batch_size=2, planned_steps=4),
}
KINDS: tuple[Any, ...] = (
    "all",
    "sequential",
    "round_robin",
    "proportional",
    "annealed",
    {"kind": "temperature", "temperature": 3.0, "cap": 100, "unit": "tokens"},
    {"kind": "rates", "rates": {"a": 0.7, "b": 0.1, "c": 0.3}},
)


def _kind(spec: Any) -> str:
    return spec if isinstance(spec, str) else str(spec["kind"])


def _participation(spec: Any) -> Participation:
    return Participation(mixture_from(spec, NAMES))


def _live(
    participation: Participation,
    tasks: Mapping[str, TaskFacts],
    rule: StopRule = StopRule.ONCE,
    *,
    start: int = 0,
    max_rounds: int | None = None,
) -> tuple[list[tuple[str, ...]], dict[str, TaskFacts]]:
    """Go through a run round by round, as a trainer does."""
    tasks = dict(tasks)
    rounds: list[tuple[str, ...]] = []

    def over() -> bool:
        return rule.ended(tasks) and not participation.mixture.in_turn(rule.active(tasks))

    while not over() and (max_rounds is None or start + len(rounds) < max_rounds):
        present = participation.next(MixtureFacts(start + len(rounds), 1000, rule.active(tasks)))
        for name in present:
            tasks[name] = replace(tasks[name], steps_done=tasks[name].steps_done + 1, loss=1.0)
        rounds.append(present)
    return rounds, tasks


def _rates(spec: Any, tasks: Mapping[str, TaskFacts] = TASKS, number: int = 0) -> Mapping[str, float]:
    return mixture_from(spec, tuple(tasks)).rates(MixtureFacts(number, 0, tasks))


def _shares(spec: Any, amount: Callable[[TaskFacts], float], number: int = 0) -> list[float]:
    expected = [rate * amount(TASKS[name]) for name, rate in _rates(spec, number=number).items()]
    return [each / sum(expected) for each in expected]


def _normalised(*weights: float) -> Any:
    return pytest.approx([weight / sum(weights) for weight in weights], rel=1e-12)


def _examples(task: TaskFacts) -> float:
    return task.examples_per_batch


def _tokens(task: TaskFacts) -> float:
    return task.tokens_per_batch


# --- kinds


def test_a_rounds_expected_examples_and_tokens_have_the_shares_of_the_paper() -> None:
    assert _shares("proportional", _examples) == _normalised(400, 39, 8)
    assert _shares({"kind": "proportional", "cap": 100}, _examples) == _normalised(100, 39, 8)
    assert _shares({"kind": "proportional", "unit": "tokens"}, _tokens) == _normalised(400, 39, 8)
    spec = {"kind": "temperature", "temperature": 2.0, "cap": 100, "unit": "tokens"}
    assert _shares(spec, _tokens) == _normalised(10, 39**0.5, 8**0.5)
    assert _shares({"kind": "temperature", "temperature": 1e9}, _examples) == pytest.approx([1 / 3] * 3)


def test_proportional_rates_by_hand() -> None:
    assert _rates("proportional") == {"a": 1.0, "b": pytest.approx(10 / 50), "c": pytest.approx(4 / 50)}


@pytest.mark.parametrize("spec", ["proportional", "temperature", "annealed"])
def test_the_most_frequent_task_is_in_every_round(spec: str) -> None:
    for unit in ("examples", "tokens"):
        assert max(_rates({"kind": spec, "unit": unit}).values()) == 1.0


def test_annealed_goes_linearly_and_then_stays() -> None:
    for number, temperature in ((0, 1.0), (7, 1.0 + 4 * 7 / 49), (49, 5.0), (80, 5.0)):
        expected = _normalised(*(rows ** (1 / temperature) for rows in (400, 39, 8)))
        assert _shares("annealed", _examples, number) == expected
    downwards = {"kind": "annealed", "start": 5.0, "end": 1.0}
    assert _shares(downwards, _examples, 49) == _normalised(400, 39, 8)


def test_annealed_does_not_move_when_a_task_leaves() -> None:
    rounds, tasks = _live(_participation("annealed"), TASKS)
    without_a = {name: task for name, task in tasks.items() if name != "a"}
    assert _rates("annealed", without_a, len(rounds)) == _rates(
        {"kind": "temperature", "temperature": 5.0}, without_a
    )


def test_a_stream_of_unknown_length_counts_as_the_cap() -> None:
    tasks = {**TASKS, "b": replace(TASKS["b"], rows=None)}
    with pytest.raises(ConfigError, match="mixture Proportional: 'b' stream rows of unknown number; set cap"):
        _rates("proportional", tasks)
    rates = _rates({"kind": "proportional", "cap": 200}, tasks)
    assert rates == {"a": 0.5, "b": 1.0, "c": pytest.approx(8 / 2 / 50)}


def test_order_of_the_turns() -> None:
    rounds, _ = _live(_participation("round_robin"), TASKS, max_rounds=5)
    assert rounds == [("a",), ("b",), ("c",), ("a",), ("b",)]
    short = {name: replace(task, planned_steps=2) for name, task in TASKS.items()}
    rounds, _ = _live(_participation("sequential"), short)
    assert rounds == [("a",), ("a",), ("b",), ("b",), ("c",), ("c",)]


def test_round_robin_when_tasks_leave_and_come() -> None:
    mixture = RoundRobin()

    def turn(*names: str) -> str:
        rates = mixture.rates(MixtureFacts(0, 0, dict.fromkeys(names, TASKS["a"])))
        return next(name for name, rate in rates.items() if rate == 1.0)

    assert [turn(*"abc") for _ in range(2)] == ["a", "b"]
    assert [turn(*"ab") for _ in range(3)] == ["a", "b", "a"]
    assert [turn(*"abd") for _ in range(4)] == ["b", "a", "d", "b"]


# What sentence-transformers 6.2's RoundRobinBatchSampler gives for data sets of so many rows: by their numbers.
TURNS = [
    ((5, 9, 3), 2, [0, 1, 2, 0, 1, 2]),
    ((2, 9), 2, [0, 1]),
    ((4, 4, 4), 2, [0, 1, 2, 0, 1, 2]),
    ((9, 7, 2, 8), 3, [0, 1, 2, 3]),
    ((1, 1), 4, [0, 1]),
    ((6,), 4, [0, 0]),
]


@pytest.mark.parametrize(("rows", "batch_size", "turns"), TURNS)
def test_round_robin_ends_with_the_turn_in_which_the_first_is_exhausted(
    rows: tuple[int, ...], batch_size: int, turns: list[int]
) -> None:
    tasks = {str(i): TaskFacts(n, 9.0, batch_size, -(-n // batch_size)) for i, n in enumerate(rows)}
    rounds, _ = _live(Participation(RoundRobin()), tasks, StopRule.FIRST_EXHAUSTED)
    assert rounds == [(str(i),) for i in turns]
    plan = planned_rounds(
        lambda: Participation(RoundRobin()), MixtureFacts(0, 0, tasks), StopRule.FIRST_EXHAUSTED
    )
    assert plan == (len(turns), {name: turns.count(int(name)) for name in tasks})


@pytest.mark.parametrize("rule", [StopRule.FIRST_EXHAUSTED, StopRule.ALL_EXHAUSTED])
@pytest.mark.parametrize("order", ["abc", "bca", "cab"])
def test_in_whole_turns_all_tasks_make_as_many_steps(rule: StopRule, order: str) -> None:
    tasks = {name: TASKS[name] for name in order}
    fewest, most = 4, 50
    steps = fewest if rule is StopRule.FIRST_EXHAUSTED else most
    plan = planned_rounds(lambda: Participation(RoundRobin()), MixtureFacts(0, 0, tasks), rule)
    assert plan == (3 * steps, dict.fromkeys(order, steps))


def test_a_turn_is_over_without_those_that_left_in_it() -> None:
    mixture = RoundRobin()
    assert not mixture.in_turn("abc")
    mixture.rates(MixtureFacts(0, 0, TASKS))
    assert mixture.in_turn("abc") and mixture.in_turn("ac") and not mixture.in_turn("a")
    resumed = RoundRobin()
    resumed.load_state_dict(mixture.state_dict())
    assert resumed.in_turn("abc")
    left = {name: TASKS[name] for name in "ab"}
    mixture.rates(MixtureFacts(1, 0, left))
    assert not mixture.in_turn("ab")
    with_new = {**left, "d": TASKS["c"]}
    mixture.rates(MixtureFacts(2, 0, with_new))
    assert mixture.in_turn("d") and mixture.in_turn("b")


# --- settings


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("proportionel", ["no kind 'proportionel'; known are 'all', .* Did you mean 'proportional'?"]),
        ({"temperature": 2.0}, ["'kind' is missing; choose one of 'all'"]),
        ({"kind": 3}, ["there is no kind 3"]),
        (2.0, ["expected a kind's name, a mapping with 'kind', or a Mixture, found 2.0"]),
        ({"kind": "all", "cap": 3}, ["'all' has no option 'cap'; it has none."]),
        (
            {"kind": "temperature", "temprature": 2.0, "cap": 0, "unit": "token"},
            [
                "no option 'temprature'; valid are 'cap', 'temperature', 'unit'. Did you mean 'temperature'?",
                "cap: expected a whole number above 0, or None, found 0.",
                "unit must be one of 'examples', 'tokens', found 'token'. Did you mean 'tokens'?",
            ],
        ),
        (
            {"kind": "annealed", "start": 0, "end": "five", "cap": 2.5},
            [
                "found 2.5",
                "start: expected a number above 0, found 0.",
                "end: expected a number above 0, found 'five'.",
            ],
        ),
        (
            {"kind": "temperature", "temperature": float("inf")},
            ["temperature: expected a number above 0, found inf."],
        ),
        (
            {"kind": "temperature", "temperature": True},
            ["temperature: expected a number above 0, found True."],
        ),
        ("rates", ["'rates' needs the option 'rates'."]),
        ({"kind": "rates", "rates": [1.0]}, ["rates must be a mapping of task to rate, found [1.0]."]),
        (
            {"kind": "rates", "rates": {"a": 1.5, "b": 0, "c": "1"}},
            [
                "task 'a': expected a number above 0 and at most 1, found 1.5.",
                "'b' .* found 0.",
                "'c' .* found '1'.",
            ],
        ),
        (
            {"kind": "rates", "rates": {"a": 1.0, "bb": 0.5}, "scale": 2},
            [
                "no option 'scale'; valid are 'rates'.",
                "task 'bb' that does not train; there are 'a', 'b', 'c'.",
                "rates are missing for 'b', 'c'; give each a rate.",
            ],
        ),
        (Rates({"a": 1.0}), ["rates are missing for 'b', 'c'"]),
    ],
)
def test_all_mistakes_at_once(value: Any, messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        mixture_from(value, NAMES)
    assert len(caught.value.problems) == len(messages)
    for problem, message in zip(caught.value.problems, messages, strict=True):
        place = 0
        for part in message.split(" .* "):
            place = problem.find(part, place)
            assert place >= 0, (problem, part)
        assert problem.startswith("mixture: ")


def test_unknown_stop_rule() -> None:
    with pytest.raises(
        ConfigError, match="no stop rule 'one'; known are 'all_exhausted', .* Did you mean 'once'"
    ):
        StopRule("one")


def test_a_mixture_shows_its_options_and_no_address() -> None:
    """By it a resume sees whether the mixture is another one."""
    specs = [
        "all",
        {"kind": "temperature", "temperature": 3.0},
        {"kind": "rates", "rates": {"a": 1, "b": 0.5}},
    ]
    shown = [repr(mixture_from(spec, ("a", "b"))) for spec in specs]  # type: ignore[arg-type]  # a list of both
    assert shown == [
        "All()",
        "Temperature(cap=None, unit='examples', temperature=3.0)",
        "Rates({'a': 1.0, 'b': 0.5})",
    ]
    assert repr(Hook(lambda facts: {})) == "Hook()"


# --- participation


class Hook(Mixture):
    """A user's mixture: whatever rates a test wants."""

    def __init__(self, rates: Callable[[MixtureFacts], Mapping[str, float]]) -> None:
        self._rates = rates

    def rates(self, facts: MixtureFacts) -> Mapping[str, float]:
        return self._rates(facts)


def _counts(participation: Participation, rounds: int, names: Sequence[str] = NAMES) -> Counter[str]:
    counts: Counter[str] = Counter()
    for number in range(rounds):
        counts.update(participation.next(MixtureFacts(number, 0, dict.fromkeys(names, TASKS["a"]))))
    return counts


def test_rates_are_kept_to_within_one_round() -> None:
    rates = {"a": 1.0, "b": 0.1, "c": 0.37}
    participation = Participation(Rates(rates))
    total: Counter[str] = Counter()
    for number in range(1, 2001):
        total += _counts(participation, 1)
        assert all(abs(total[name] - rate * number) < 1 + 1e-6 for name, rate in rates.items())
    assert total == {"a": 2000, "b": 200, "c": 740}  # ten times 0.1 is 1, also in binary


def test_a_round_is_never_empty() -> None:
    participation = Participation(Rates({"a": 0.5, "b": 0.25, "c": 1e-8}))
    rounds = [participation.next(MixtureFacts(i, 0, TASKS)) for i in range(4)]
    assert rounds == [("a",), ("a", "b"), ("a",), ("a", "b")]
    assert _counts(Participation(Rates({"c": 1e-8})), 100, ["c"]) == {"c": 100}


@pytest.mark.parametrize(
    ("rates", "messages"),
    [
        ({"a": 0, "b": 0.0, "c": 0}, ["gives every active task ('a', 'b', 'c') a rate of 0"]),
        (
            {"a": 1.0, "bb": 1.0},
            ["a rate for 'bb', which is no active task", "gives no rate for 'b', 'c'; every"],
        ),
        ({"a": 1.5, "b": 1.0, "c": 0.0}, ["'a' the rate 1.5; expected a number in [0, 1]"]),
        (
            {"a": 1.1, "b": float("nan"), "c": -0.1},
            ["'a' the rate 1.1; expected a number in [0, 1]", "nan", "-0.1"],
        ),
    ],
)
def test_wrong_rates_name_the_mixture_and_the_round(rates: dict[str, float], messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Participation(Hook(lambda facts: rates)).next(MixtureFacts(7, 0, TASKS))
    assert len(caught.value.problems) == len(messages)
    for problem, message in zip(caught.value.problems, messages, strict=True):
        assert problem.startswith("mixture Hook, round 7: ") and message in problem


def test_a_task_can_sit_out() -> None:
    participation = Participation(Hook(lambda facts: {"a": 1.0, "b": float(facts.round % 2), "c": 0.0}))
    assert _counts(participation, 10) == {"a": 10, "b": 5}


def test_others_do_not_feel_a_task_leave_or_come() -> None:
    rates = {"a": 1.0, "b": 0.3, "c": 0.7, "d": 0.45}
    undisturbed, disturbed = Participation(Rates(rates)), Participation(Rates(rates))
    for number in range(60):
        names = [name for name in rates if name not in ("c" * (number > 11), "d" * (number < 23))]
        facts = [MixtureFacts(number, 0, dict.fromkeys(of, TASKS["a"])) for of in (rates, names)]
        with_all, with_some = undisturbed.next(facts[0]), disturbed.next(facts[1])
        assert [name for name in with_some if name in "ab"] == [name for name in with_all if name in "ab"]


@pytest.mark.parametrize("spec", KINDS, ids=_kind)
def test_resume_continues_as_if_nothing_had_been(spec: Any) -> None:
    rounds, _ = _live(_participation(spec), TASKS)
    first = _participation(spec)
    before, tasks = _live(first, TASKS, max_rounds=17)
    state = json.loads(json.dumps(first.state_dict()))
    second = _participation(spec)
    second.load_state_dict(state)
    assert second.state_dict() == state
    after, _ = _live(second, tasks, start=17)
    assert before + after == rounds and len(after) > 17


def test_credits_go_on_under_another_mixture() -> None:
    first = Participation(Rates({"a": 1.0, "b": 0.9, "c": 0.2}))
    first.next(MixtureFacts(0, 0, TASKS))
    second = Participation(RoundRobin())
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["credits"] == {"b": 0.9, "c": 0.2}
    assert second.next(MixtureFacts(1, 0, TASKS)) == ("a",)


# --- plans


@pytest.mark.parametrize("rule", list(StopRule))
@pytest.mark.parametrize("spec", KINDS, ids=_kind)
def test_the_plan_is_what_happens(spec: Any, rule: StopRule) -> None:
    for max_rounds in (None, 1, 33):
        rounds, tasks = _live(_participation(spec), TASKS, rule, max_rounds=max_rounds)
        plan = planned_rounds(lambda: _participation(spec), MixtureFacts(0, 0, TASKS), rule, max_rounds)
        assert plan == (len(rounds), {name: task.steps_done for name, task in tasks.items()})


def test_plans_by_hand() -> None:
    def plan(spec: Any, rule: str, max_rounds: int | None = None) -> tuple[int, dict[str, int]]:
        return planned_rounds(
            lambda: _participation(spec), MixtureFacts(0, 0, TASKS), StopRule(rule), max_rounds
        )

    assert plan("all", "once") == (50, {"a": 50, "b": 10, "c": 4})
    assert plan("all", "first_exhausted") == (4, {"a": 4, "b": 4, "c": 4})
    assert plan("all", "all_exhausted") == (50, {"a": 50, "b": 50, "c": 50})
    assert plan("all", "once", 7) == (7, {"a": 7, "b": 7, "c": 4})
    assert plan("sequential", "all_exhausted") == (64, {"a": 50, "b": 10, "c": 4})
    assert plan("sequential", "first_exhausted") == (50, {"a": 50, "b": 0, "c": 0})
    assert plan("round_robin", "first_exhausted") == (12, {"a": 4, "b": 4, "c": 4})
    assert plan("proportional", "first_exhausted") == (50, {"a": 50, "b": 10, "c": 4})


@pytest.mark.parametrize("spec", KINDS, ids=_kind)
def test_a_plan_can_start_in_the_middle(spec: Any) -> None:
    whole = planned_rounds(lambda: _participation(spec), MixtureFacts(0, 0, TASKS), StopRule.ONCE)
    participation = _participation(spec)
    _, tasks = _live(participation, TASKS, max_rounds=21)
    state = participation.state_dict()
    mixture = participation.mixture

    def resumed() -> Participation:
        fresh = Participation(mixture)
        fresh.load_state_dict(state)
        return fresh

    assert planned_rounds(resumed, MixtureFacts(21, 0, tasks), StopRule.ONCE) == whole
    assert mixture.state_dict() == state["state"]  # planning leaves no trace in a shared mixture


def test_a_plan_knows_no_loss() -> None:
    seen: list[float | None] = []
    tasks = {name: replace(task, loss=3.0) for name, task in TASKS.items()}

    def rates(facts: MixtureFacts) -> dict[str, float]:
        seen.extend(task.loss for task in facts.tasks.values())
        return dict.fromkeys(facts.tasks, 1.0)

    planned_rounds(lambda: Participation(Hook(rates)), MixtureFacts(0, 0, tasks), StopRule.ONCE, 3)
    assert seen == [None] * 9


class Never(Mixture):
    """Leaves all but the first task out, forever."""

    steady = True

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        return {name: float(name == "a") for name in facts.tasks}


def test_a_run_that_never_ends_is_refused_unless_it_has_a_limit() -> None:
    facts = MixtureFacts(0, 0, TASKS)
    message = "mixture Never: the run has not ended after 10000000 rounds; 'b', 'c' .* Set max_steps"
    with pytest.raises(ConfigError, match=message):
        planned_rounds(lambda: Participation(Never()), facts, StopRule.ALL_EXHAUSTED)
    beyond = MAX_PLANNED_ROUNDS + 1
    plan = planned_rounds(lambda: Participation(Never()), facts, StopRule.ALL_EXHAUSTED, beyond)
    assert plan == (beyond, {"a": beyond, "b": 0, "c": 0})
    with pytest.raises(ConfigError, match="mixture Never, round 50: gives every active task"):
        planned_rounds(lambda: Participation(Never()), facts, StopRule.ONCE)


@pytest.mark.parametrize("spec", ["all", "proportional"])
def test_long_plans_are_quick(spec: str) -> None:
    tasks = {str(i): TaskFacts(1000 * i * i, 300.0, 8, 100_000) for i in range(1, 9)}
    start = time.process_time()
    rounds, steps = planned_rounds(
        lambda: Participation(mixture_from(spec, tuple(tasks))),
        MixtureFacts(0, 0, tasks),
        StopRule.ONCE,
        100_000,
    )
    assert rounds == steps["8"] == 100_000
    assert time.process_time() - start < 3


# --- log


def test_at_the_end_of_a_run_actual_shares_are_the_planned_ones() -> None:
    participation = _participation("proportional")
    facts = MixtureFacts(0, 0, TASKS)
    _, steps = planned_rounds(lambda: _participation("proportional"), facts, StopRule.ONCE)
    log = MixtureLog(TASKS, steps)
    rounds, _ = _live(participation, TASKS)
    made: Counter[str] = Counter()
    for number, present in enumerate(rounds):
        made.update(present)
        examples = {
            name: 3 if (name, made[name]) == ("b", 10) else TASKS[name].batch_size for name in present
        }
        log.add(examples, {name: int(TASKS[name].tokens_per_batch) for name in present})
        if number == 20:
            state = json.loads(json.dumps(log.state_dict()))
            log = MixtureLog(TASKS, steps)
            log.load_state_dict(state)
    summary: Any = json.loads(json.dumps(log.summary()))
    assert summary["rounds"] == 50
    assert summary["tasks"]["b"] == {
        "steps": 10,
        "examples": 39,
        "tokens": 900,
        "examples_share": pytest.approx(39 / 447),
        "planned_examples_share": pytest.approx(39 / 447),
        "tokens_share": pytest.approx(900 / (40000 + 900 + 240)),
        "planned_tokens_share": pytest.approx(900 / (40000 + 900 + 240)),
    }


def test_log_of_tasks_that_come_and_go() -> None:
    log = MixtureLog(TASKS, dict.fromkeys(NAMES, 1))
    log.add({"a": 8, "c": 2}, {"a": 700, "c": 50})
    others = {"c": TASKS["c"], "d": TASKS["a"]}
    later = MixtureLog(others, {"c": 1, "d": 1})
    later.load_state_dict(log.state_dict())
    summary: Any = later.summary()
    assert {name: task["examples"] for name, task in summary["tasks"].items()} == {"c": 2, "d": 0}
    with pytest.raises(ConfigError, match="only one has 'a', 'd'"):
        MixtureLog(others, {"c": 1, "a": 1})
