"""When a difference is more than rounding, on both sides of every limit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from hf_mtl.training.verdict import Limits, TaskFigures, limits_of, problems_of

LIMITS = Limits(update=0.5, drift=2.0, export=0.25)
FINE = TaskFigures("a", 0.5, 0.0, 2.0, 0.0, 0.25, 0.75)  # each exactly at its limit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"update": 0.51}, "one round's update differs by 5.1e-01"),
        ({"update": 0.51, "update_permuted": 0.05}, "one round's update differs"),
        ({"update": 0.51, "update_permuted": 0.051}, None),  # a tenth of it comes from another order of rows
        ({"update": math.nan}, "one round's update differs by nan"),
        ({"drift": 2.01}, "the drift differs by 2.0e"),
        ({"drift": 2.01, "drift_permuted": 0.201}, None),
        ({"export": 0.26, "export_effect": 9.0}, "the exported adapter's logits differ by 2.6e-01"),
        ({"export": math.nan}, "the exported adapter's logits differ by nan"),
        ({"export_effect": 0.74}, "the whole effect of the adapter is"),
        ({"export_effect": math.nan}, "the whole effect of the adapter is"),
        ({"export": 0.0, "export_effect": 0.0}, None),
        ({"export": None}, None),
        ({"export_effect": None}, None),
        ({}, None),
    ],
)
def test_each_figure_has_its_limit(change: dict[str, float | None], message: str | None) -> None:
    problems = list(problems_of(replace(FINE, **change), LIMITS))  # type: ignore[arg-type]
    assert len(problems) == (message is not None)
    assert message is None or message in problems[0]


def test_limits_by_hand() -> None:
    """sqrt(2^-52) = 2^-26 a round; 16 epsilons of bfloat16, 2^-8, for logits."""
    wide = limits_of(torch.float64, 2.0**-52, rounds=3)
    assert wide == Limits(2.0**-26, 3 * 2.0**-26, 1e-10)
    assert limits_of(torch.float32, torch.finfo(torch.float32).eps, rounds=1).export == 1e-5
    assert limits_of(torch.float32, 2.0**-10, rounds=1).export == 2.0**-6  # TF32
    assert limits_of(torch.bfloat16, 2.0**-8, rounds=1).export == 2.0**-4
