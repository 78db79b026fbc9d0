"""The registry of state: a restored trainer is the one that was saved, by its parts and by its attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from attributes import frozen
from registry_runs import BROKEN, EARLY, RUNS, STREAM, Look, looked, restored, saved

from hf_mtl.errors import CheckpointDamagedError, CheckpointError
from hf_mtl.training.checkpoints import read_checkpoint, write_checkpoint
from hf_mtl.training.state import Registry, State, Stateful

PARTS = (
    "meter", "objective", "cosines", "containment", "best", "plan", "weights", "loop", "optimizer", "good", "random",
)  # fmt: skip

# What changes in a run and does not go on: by path, why not.
NOT_KEPT = {
    r"callbacks\[\d+\]\._(board|round|tokens_per_second)\b.*": "what a display shows of the latest log entry",
    r"trainer\._evaluator\b.*": "made of the tasks' rows when it is first asked for",
    r"trainer\._result\..*": "the latest round, between its backward pass and its update",
    r"trainer\._round_step\.combining\.gradients\..*": "the gradients of the latest round",
    r".*\.training": "set at the beginning of every round",
    r"trainer\.meter\._(since|tokens_since)": "the clock of this process, since its latest log entry",
    r".*\._stream\._(epoch|order\[\d+\])": "an epoch's order, which follows from its number",
    r".*\._ends\._ended\[\d+\]": "how often an end was met, for messages before the first round; which ones, goes on",
    r".*\.flats\[\d+\]\._gradient(s|_views\[\d+\])": "the gradients of the latest round",
    r".*\.stepped": "whether the latest round had an update, for the schedule's step behind it",
}
# Attributes of the stock loop; the part `loop` holds them.
STOCK = {"trainer._tr_loss", "trainer._total_loss_scalar", "trainer._globalstep_last_logged"}
# All owners' optimizers for the stock loop; the part `optimizer` holds each.
STATEFUL = {"trainer.suite_optimizer"}


def _not_kept(path: str) -> list[str]:
    return [pattern for pattern in NOT_KEPT if re.fullmatch(pattern, path)]


@dataclass(frozen=True)
class _Pair:
    first: Look
    saved: Look
    restored: Look
    checkpoint: Path

    def lost(self, now: Look | None = None) -> set[str]:
        """What changed by the checkpoint and is not the same when it is restored, though it should be."""
        changed = self.first.differences(self.saved)
        lost = changed & self.saved.differences(now or self.restored)
        return {path for path in lost if not _not_kept(path)}


@pytest.fixture(scope="module")
def pairs(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, _Pair]:
    """Each run, and what a fresh trainer makes of its checkpoint."""
    found = {}
    for name in RUNS:
        out = tmp_path_factory.mktemp("runs")
        whole = looked(tiny_llama, out / "whole", name)
        look, checkpoint = saved(whole)
        again = restored(looked(tiny_llama, out / "again", name), checkpoint)
        found[name] = _Pair(whole.first, look, again, checkpoint)
    return found


def test_the_runs_are_what_they_are_for(pairs: dict[str, _Pair]) -> None:
    look = pairs["shared and private"].saved
    assert look.attributes[f"trainer.containment.strikes[{BROKEN!r}]"] == 2
    assert look.attributes["trainer.plan.stopped"] == sorted(map(repr, (BROKEN, EARLY)))
    assert look.attributes[f"trainer.sources[{STREAM!r}].skipped._counts['over-long prompt']"] == 1
    assert len({frozenset(pair.saved.parts) for pair in pairs.values()}) == 1
    for name in PARTS:
        assert any(pair.first.parts[name] != pair.saved.parts[name] for pair in pairs.values()), name


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", PARTS)
def test_a_part_goes_on_where_it_was(pairs: dict[str, _Pair], run: str, name: str) -> None:
    assert pairs[run].restored.parts[name] == pairs[run].saved.parts[name]


@pytest.mark.parametrize("run", RUNS)
def test_no_part_is_left_out_above(pairs: dict[str, _Pair], run: str) -> None:
    assert tuple(pairs[run].saved.parts) == PARTS


@pytest.mark.parametrize("run", RUNS)
def test_nothing_that_changes_in_a_run_is_lost(pairs: dict[str, _Pair], run: str) -> None:
    assert sorted(pairs[run].lost()) == []


@pytest.mark.parametrize("run", RUNS)
def test_all_that_changes_in_a_run_is_registered(pairs: dict[str, _Pair], run: str) -> None:
    """A stateful object that is no part, nor belongs to one, fails here."""
    pair = pairs[run]
    changed = pair.first.differences(pair.saved) - pair.first.inside - pair.saved.inside
    changed -= STOCK | {"the random streams"}
    assert sorted(path for path in changed if not _not_kept(path)) == []
    assert {path for path in pair.saved.stateful if not _not_kept(path)} == STATEFUL


def test_the_list_of_what_does_not_go_on_is_needed(pairs: dict[str, _Pair]) -> None:
    differ = {path for pair in pairs.values() for path in pair.first.differences(pair.saved)}
    assert {pattern for path in differ for pattern in _not_kept(path)} == NOT_KEPT.keys()


def test_a_part_that_is_not_restored_is_missed(
    pairs: dict[str, _Pair], tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is left out once; the tests above see it."""
    run = "shared and private"
    trainer = looked(tiny_llama, tmp_path, run)
    add = Registry.add
    for name in PARTS:

        def leave_out(self: Registry, parts: Mapping[str, Stateful], name: str = name) -> None:
            add(self, {key: part for key, part in parts.items() if key != name})

        monkeypatch.setattr(Registry, "add", leave_out)
        assert pairs[run].lost(restored(trainer, pairs[run].checkpoint)), name
    monkeypatch.undo()
    assert pairs[run].lost(restored(trainer, pairs[run].checkpoint)) == set()


class _Holder:
    """A part that holds a state."""

    def __init__(self, state: State) -> None:
        self.state = state

    def state_dict(self) -> State:
        return self.state

    def load_state_dict(self, state: State, /) -> None:
        if "refuse" in state:
            raise CheckpointError(state["refuse"])
        self.state = state


def _written(folder: Path, **states: State) -> Registry:
    """States in a checkpoint, and restored from it."""
    registries = Registry(), Registry()
    registries[0].add({name: _Holder(state) for name, state in states.items()})
    tensors, values = registries[0].state()
    write_checkpoint(folder, tensors, {"state": values})
    registries[1].add({name: _Holder({}) for name in states})
    registries[1].restore(read_checkpoint(folder))
    return registries[1]


def test_a_state_may_have_any_keys_and_be_nested(tmp_path: Path) -> None:
    keys = ["", "a/b", '["a", "b"]', "$float", "__metadata__", "\ud800", "[0]", "0"]
    state: State = {
        "by key": {key: torch.tensor([number, -0.0, math.nan]) for number, key in enumerate(keys)},
        "in lists": [1, torch.ones(2), [{"x": torch.zeros(())}, None], []],
        "values": {key: [math.inf, -0.0, None, "x", True] for key in keys},
        "empty": {},
    }
    parts = _written(tmp_path / "checkpoint-1", one=state, other={"none": None}).parts
    assert frozen(parts["one"].state_dict()) == frozen(state)
    assert parts["other"].state_dict() == {"none": None}


def test_a_part_that_refuses_says_where(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"checkpoint-1: made with another objective$"):
        _written(tmp_path / "checkpoint-1", one={"refuse": "made with another objective"})


def test_a_checkpoint_without_a_part_is_refused(tmp_path: Path) -> None:
    registry = _written(tmp_path / "checkpoint-1", one={}, other={})
    registry.add({"mine": _Holder({}), "ours": _Holder({})})
    with pytest.raises(
        CheckpointError, match="checkpoint-1 holds no state of 'mine', 'ours'; it has that of 'one'"
    ):
        registry.restore(read_checkpoint(tmp_path / "checkpoint-1"))


class _Counter:
    """A part with a value of every sort."""

    def __init__(self) -> None:
        self.state: State = {"count": 0, "names": {"a": 1}, "rows": [1], "mean": None, "w": torch.zeros(2)}

    def state_dict(self) -> State:
        return self.state

    def load_state_dict(self, state: State) -> None:
        self.state = {key: state[key] for key in self.state}


def _restored(folder: Path, values: object, tensors: Mapping[str, torch.Tensor]) -> State:
    write_checkpoint(folder / "checkpoint-1", {"counter": tensors}, {"state": {"counter": values}})
    registry, part = Registry(), _Counter()
    registry.add({"counter": part})
    registry.restore(read_checkpoint(folder / "checkpoint-1"))
    return part.state


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"count": "x"}, "count: expected a number, found 'x'"),
        ({"count": [1]}, "count: expected a number"),
        ({"names": [1]}, "names: expected an object"),
        ({"names": {"a": {}}}, "names.a: expected a number"),
        ({"rows": {}}, "rows: expected a list"),
        ({"w": 3}, "w: expected a tensor"),
        (None, "TypeError"),
        ([], "TypeError"),
    ],
)
def test_a_state_of_another_form(tmp_path: Path, changed: object, says: str) -> None:
    """Its index names the right digests: it was written so, or somebody wrote the index anew."""
    whole: State = {"count": 7, "names": {"a": 2, "b": 3}, "rows": [], "mean": 0.5, "w": None}
    tensors = {} if isinstance(changed, dict) and "w" in changed else {'["w"]': torch.ones(2)}
    values = whole | changed if isinstance(changed, dict) else changed
    with pytest.raises(
        CheckpointDamagedError, match="state.json, 'counter' is not what hf_mtl writes"
    ) as caught:
        _restored(tmp_path, values, tensors)
    assert says in str(caught.value) and "Use an earlier checkpoint" in str(caught.value)
    restored = _restored(tmp_path / "whole", whole, {'["w"]': torch.ones(2)})
    assert restored["count"] == 7 and restored["mean"] == 0.5 and restored["w"].tolist() == [1, 1]


def test_tensors_that_belong_nowhere(tmp_path: Path) -> None:
    with pytest.raises(CheckpointDamagedError, match="'counter' is not what hf_mtl writes"):
        _restored(tmp_path, {"count": 7}, {'["a", 3, "b"]': torch.ones(2)})
