"""What a card says of a run's arguments: those that are not what they are by default."""

from __future__ import annotations

import dataclasses

from hf_mtl import MultiTaskTrainingArguments
from hf_mtl.training.card_settings import run_settings


def test_defaults_that_are_made_anew_are_left_out() -> None:
    made = {
        field.name: field.default_factory()
        for field in dataclasses.fields(MultiTaskTrainingArguments)
        if field.default_factory is not dataclasses.MISSING
    }
    assert made and run_settings(made) == ()
    assert [setting.name for setting in run_settings({**made, "weight_decay": 0.5})] == ["weight_decay"]
