"""Each task is judged by its own past, also by the past before a resume."""

from __future__ import annotations

import json
import math

import pytest

from hf_mtl.errors import TrainingError
from hf_mtl.training.containment import Containment


def _watching(**changes: object) -> Containment:
    options: dict[str, object] = {"max_strikes": 3, "spike_factor": 10.0, "skip_spikes": True}
    return Containment(**(options | changes))  # type: ignore[arg-type]


def _after(norms: list[float], **changes: object) -> Containment:
    judge = _watching(**changes)
    for number, norm in enumerate(norms):
        assert judge.spikes(number, {"a": norm}) == []
    return judge


@pytest.mark.parametrize("resumed", [False, True])
def test_a_spike_is_told_by_the_median_of_the_past(resumed: bool) -> None:
    judge = _after([1.0, 3.0] * 8)  # median 2
    if resumed:
        state = json.loads(json.dumps(judge.state_dict()))
        judge = _watching()
        judge.load_state_dict(state)
    assert judge.spikes(16, {"a": 20.0, "b": 20.0}) == []  # ten times is not beyond, and b has no past
    assert judge.spikes(17, {"a": 40.0}) == ["a"]  # the median of 1, 3, ..., 20 is 3
    assert judge.incidents == [
        {
            "task": "a",
            "round": 17,
            "rows": [],
            "problem": "its gradient norm is 40, 13.3 times its running median; its update is left out",
            "quarantined": False,
        }
    ]
    assert judge.strikes == {}


def test_too_short_a_past_tells_no_spike() -> None:
    assert _after([1.0] * 15).spikes(15, {"a": 1e9}) == []
    assert _after([1.0] * 16).spikes(16, {"a": 1e9}) == ["a"]


def test_the_past_is_64_rounds_long_also_after_a_resume() -> None:
    judge = _watching()
    judge.load_state_dict(_after([1.0] * 64, spike_factor=0.0).state_dict())
    for number in range(32):
        judge.spikes(number, {"a": 6.0})
    # 32 times 1 and 32 times 6: the median is 3.5.
    assert judge.spikes(32, {"a": 34.0}) == []
    assert judge.spikes(33, {"a": 61.0}) == ["a"]


def test_spikes_may_be_told_only_or_not_looked_for() -> None:
    told, off = (_after([1.0] * 16, **options) for options in ({"skip_spikes": False}, {"spike_factor": 0.0}))
    assert told.spikes(16, {"a": 99.0}) == off.spikes(16, {"a": 99.0}) == []
    assert [incident["problem"] for incident in told.incidents] == [
        "its gradient norm is 99, 99.0 times its running median"
    ]
    assert off.incidents == []


def test_strikes_are_counted_by_task_until_it_leaves() -> None:
    judge = _watching(max_strikes=2)
    assert judge.bad({"a": math.nan, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": math.inf}) == ["a", "b"]
    assert not judge.strike("a", 0, math.nan, None, {3, 1})
    assert not judge.strike("b", 0, 1.0, math.inf, {2})
    judge_after = _watching(max_strikes=2)
    judge_after.load_state_dict(json.loads(json.dumps(judge.state_dict())))
    assert judge_after.strike("a", 1, math.inf, None, {5})
    assert judge_after.strikes == {"a": 2, "b": 1}
    assert [(i["rows"], i["problem"], i["quarantined"]) for i in judge_after.incidents] == [
        ([1, 3], "its loss is nan", False),
        ([2], "its gradient norm is inf", False),
        ([5], "its loss is inf", True),
    ]


def test_strict_raises_at_once() -> None:
    with pytest.raises(TrainingError, match=r"task 'a', round 4, rows 1, 3: its loss is nan"):
        _watching(strict=True).strike("a", 4, math.nan, None, {3, 1})
