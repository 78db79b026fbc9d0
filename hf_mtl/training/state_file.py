"""The stock `trainer_state.json`, whatever the length of its log."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from transformers import TrainerState

__all__ = ["save_state"]

_LONG = 100_000  # numbers of a log


def save_state(state: TrainerState, path: Path) -> None:
    """Write the state as `TrainerState.save_to_json` does; with a long log, in a tenth of the time and in one line.

    That method copies the whole log first, and indents it in Python. Of 300 tasks and 10,000 entries it would
    take minutes and gigabytes at every checkpoint.
    """
    if sum(map(len, state.log_history)) <= _LONG:
        state.save_to_json(str(path))
        return
    content = {field.name: vars(state)[field.name] for field in dataclasses.fields(state)}
    path.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
