"""One registry of state: everything that a run carries on is a named part, and a checkpoint is all parts.

A part's state is a dictionary of JSON values, tensors, and lists and dictionaries of these; keys are any text. In a
checkpoint `state.json` holds the values by part, and `<part>.safetensors` its tensors by their paths.

>>> import torch
>>> values, tensors = split({"steps": 3, "q&a/x": {"w": torch.ones(2)}})
>>> values, tensors
({'steps': 3, 'q&a/x': {'w': None}}, {'["q&a/x", "w"]': tensor([1., 1.])})
>>> joined(values, tensors)
{'steps': 3, 'q&a/x': {'w': tensor([1., 1.])}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from hf_mtl.errors import CheckpointDamagedError, CheckpointError, listing
from hf_mtl.training.checkpoints import ADVICE, Checkpoint, as_damage, form_problem

__all__ = ["Named", "Registry", "State", "Stateful", "joined", "split"]

State = dict[str, Any]  # Any: JSON values, tensors, and lists and dictionaries of these


class Stateful(Protocol):
    """A part of a run that has a state."""

    def state_dict(self) -> State:
        """All that the part's future depends on; the tensors may be those that it goes on with."""

    def load_state_dict(self, state: State, /) -> None:
        """Go on where `state_dict` was called. What belongs to tasks that are gone is left out."""


class Named:
    """Parts of one kind as one part, each by its name; those that a state lacks start anew."""

    def __init__(self, parts: Mapping[str, Stateful]) -> None:
        self._parts = parts

    def state_dict(self) -> State:
        """The state of each."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: State) -> None:
        """Go on where `state_dict` was called."""
        for name in self._parts.keys() & state:
            self._parts[name].load_state_dict(state[name])


class Registry:
    """The parts of a run by name, in the order in which they are restored."""

    def __init__(self) -> None:
        self.parts: dict[str, Stateful] = {}
        self._waiting: dict[str, Stateful] = {}

    def add(self, parts: Mapping[str, Stateful]) -> None:
        """Register parts; one takes the place of an earlier one of its name."""
        self.parts |= parts
        self._waiting |= parts

    def state(self) -> tuple[dict[str, dict[str, Tensor]], State]:
        """The tensors and the values of all parts, by part. All processes must ask for it."""
        states = {name: split(part.state_dict()) for name, part in self.parts.items()}
        tensors = {name: tensors for name, (_, tensors) in states.items() if tensors}
        return tensors, {name: values for name, (values, _) in states.items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the parts that were registered since the last time.

        Raises:
            CheckpointError: If the checkpoint lacks a part, or a part cannot go on from it.
        """
        saved: Any = checkpoint.document("state")  # Any: plain JSON
        file = checkpoint.folder / "state.json"
        if not isinstance(saved, dict):
            raise CheckpointDamagedError(f"{file}: expected an object, found {saved!r:.60}. {ADVICE}")
        waiting, self._waiting = self._waiting, {}
        if missing := waiting.keys() - saved:
            raise CheckpointError(
                f"{checkpoint.folder} holds no state of {listing(sorted(missing))}; it has that of {listing(saved)}. "
                f"Resume with the parts that the run was started with, or start anew."
            )
        for name, part in waiting.items():
            held = f"{name}.safetensors" in checkpoint.index.files
            tensors = checkpoint.tensors(name) if held else {}
            try:
                with as_damage(f"{file}, {name!r}"):
                    _restore(part, joined(saved[name], tensors))
            except CheckpointDamagedError:
                raise
            except CheckpointError as error:
                raise CheckpointError(f"{checkpoint.folder}: {error}") from error


def _restore(part: Stateful, state: State) -> None:
    if problem := form_problem(state, part.state_dict()):
        raise ValueError(problem)
    part.load_state_dict(state)


def split(state: State) -> tuple[State, dict[str, Tensor]]:
    """A state with None in the place of each tensor, and its tensors by their paths, as JSON."""
    tensors: dict[str, Tensor] = {}

    def emptied(value: Any, path: list[object]) -> Any:  # Any: as in a state
        if isinstance(value, Tensor):
            tensors[json.dumps(path)] = value.detach()
            return None
        if isinstance(value, Mapping):
            return {key: emptied(own, [*path, key]) for key, own in value.items()}
        return [emptied(own, [*path, i]) for i, own in enumerate(value)] if isinstance(value, list) else value

    return emptied(state, []), tensors


def joined(values: State, tensors: Mapping[str, Tensor]) -> State:
    """Put tensors into their places among the values."""
    for path, tensor in tensors.items():
        *outer, last = json.loads(path)
        inner = values
        for key in outer:
            inner = inner[key]
        inner[last] = tensor
    return values
