"""What a user may write as an objective, and what is told of a wrong one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rounds_of import one_round, ours_and_theirs

from hf_mtl.errors import ConfigError, TrainingError
from hf_mtl.objectives import OBJECTIVES, objective_names, objective_of

ROOT = Path(__file__).resolve().parents[2]


def problems_of(spec: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        objective_of(spec)  # type: ignore[arg-type]
    return caught.value.problems


def test_names() -> None:
    assert {
        "dwa", "equal", "geometric_mean", "gradient_norm", "gradnorm", "pcgrad", "random", "relation_product", "static",
        "uncertainty",
    } == set(OBJECTIVES)  # fmt: skip
    assert {"torchjd:pcgrad", "torchjd:dwa", "upgrad", "cagrad", "famo"} <= set(objective_names())
    assert len(set(objective_names())) == len(objective_names())


def test_ours_come_first_and_torchjds_are_found_by_any_spelling() -> None:
    assert objective_of("pcgrad").name == "pcgrad"
    assert objective_of("torchjd:pcgrad").name == "torchjd:pcgrad"
    assert objective_of("upgrad").name == objective_of("torchjd:UPGrad").name == "torchjd:upgrad"
    assert objective_of({"name": "fair_grad", "alpha": 1.0}).name == "torchjd:fairgrad"


def test_an_objective_is_itself() -> None:
    objective = objective_of("equal")
    assert objective_of(objective) is objective


def test_only_the_plain_sum_does_without_rows() -> None:
    assert [name for name, own in OBJECTIVES.items() if not own.needs_rows] == ["equal"]
    assert objective_of("mgda").needs_rows


def test_all_problems_at_once() -> None:
    assert problems_of({"name": "dwa", "temprature": 2.0, "window": 2.5}) == (
        "the objective 'dwa' has no option 'temprature'; its options are 'temperature', 'window'. "
        "Did you mean 'temperature'?",
        "the objective 'dwa': window must be a whole number, found 2.5.",
    )
    assert problems_of({"name": "uncertainty", "learning_rate": 0.0, "epsilon": -1.0}) == (
        "the objective 'uncertainty': learning_rate: expected a number above 0, found 0.0.",
        "the objective 'uncertainty': epsilon: expected a number above 0, found -1.0.",
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pcgrd", "there is no objective 'pcgrd'; known are 'aligned_mtl', .*Did you mean 'pcgrad'?"),
        ("torchjd:nothing", "there is no objective 'torchjd:nothing'"),
        (3, "must be a name, or a mapping of name and options .*found 3. Names are 'aligned_mtl'"),
        ({"window": 3}, "must be a name, or a mapping of name and options .*found {'window': 3}"),
        ("static", "the objective 'static' needs the option 'weights': numbers by task name"),
        ({"name": "static", "weights": {"verbs": "much"}}, "numbers by task name.*found {'verbs': 'much'}"),
        ({"name": "static", "weights": {"verbs": float("nan")}}, "weights must be numbers by task name"),
        ({"name": "static", "weights": {"verbs": -1.0}}, "'verbs': expected a number of at least 0, found -1.0"),
        ({"name": "pcgrad", "per_block": 1}, "per_block must be true or false, found 1."),
        ({"name": "relation_product", "weights": {"verbs": -1.0}}, "found -1.0: the loss would be unbounded below."),
        ("cagrad", "the objective 'torchjd:cagrad' needs the option 'c': a number."),
        ({"name": "cagrad", "c": -1.0}, "the objective 'torchjd:cagrad': c must be non-negative, but got -1.0."),
        ({"name": "aligned_mtl", "scale_mode": "max"}, "must be one of 'min', 'median', 'rmse', found 'max'"),
        ({"name": "nash_mtl", "n_tasks": 2}, "has no option 'n_tasks'"),
        ({"name": "upgrad", "pref_vector": [1.0, 2.0]}, "pref_vector must be numbers by task name"),
    ],
)  # fmt: skip
def test_a_wrong_objective(spec: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objective_of(spec)  # type: ignore[arg-type]


def test_names_that_no_task_has() -> None:
    static = objective_of({"name": "static", "weights": {"verb": 2.0}})
    assert static.problems(["verbs", "words"]) == [
        "the objective 'static': weights names the task 'verb', which is not in the suite 'verbs', 'words'. "
        "Did you mean 'verbs'?"
    ]
    related = objective_of({"name": "relation_product", "relations": {"verbs": {"nouns": 1.0}}})
    assert "relations names the task 'nouns'" in "".join(related.problems(["verbs"]))
    upgrad = objective_of({"name": "upgrad", "pref_vector": {"verbs": 1.0, "nouns": 1.0}})
    assert [text.partition(": ")[2].partition(",")[0] for text in upgrad.problems(["verbs", "words"])] == [
        "pref_vector names the task 'nouns'",
        "pref_vector must have a number for 'words' too.",
    ]
    assert objective_of("equal").problems(["verbs"]) == []


def test_numbers_by_task_are_those_that_take_part() -> None:
    objective = objective_of({"name": "constant", "weights": {"verbs": 1.0, "words": 2.0, "stars": 3.0}})
    assert objective.update(one_round(torch.eye(2), names=["words", "stars"])).gradient.tolist() == [2.0, 3.0]


def test_too_few_tasks_for_a_method() -> None:
    krum = objective_of({"name": "krum", "n_byzantine": 1})
    with pytest.raises(
        TrainingError, match="of 2 tasks, 'verbs', 'words', in round 0: .*Choose other options"
    ):
        krum.update(one_round(torch.eye(2)))


@pytest.mark.parametrize("name", ["static", "pcgrad", "torchjd:upgrad"])
def test_no_effect(name: str) -> None:
    options = {"weights": {"verbs": 2.0}} if name == "static" else {}
    objective = objective_of({"name": name, **options})
    assert objective.effect_problem(10, ["verbs", "words"]) is None
    assert "this suite has none" in (objective.effect_problem(0, ["verbs", "words"]) or "")
    assert "this suite has one, 'verbs'" in (objective.effect_problem(10, ["verbs"]) or "")


def test_the_plain_sum_claims_no_effect() -> None:
    assert objective_of("equal").effect_problem(0, ["verbs"]) is None


WITHOUT = """
import sys
sys.modules["torchjd"] = None
from hf_mtl.errors import ConfigError
from hf_mtl.objectives import objective_names, objective_of
print(objective_of("pcgrad").name, len(objective_names()))
for name in ("upgrad", "torchjd:upgrad"):
    try:
        objective_of(name)
    except ConfigError as error:
        print(error)
"""


def test_without_torchjd() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    ours, short, full = done.stdout.splitlines()
    assert ours == f"pcgrad {len(OBJECTIVES)}"
    assert "'uncertainty'; TorchJD brings more: pip install 'hf-mtl[grad]'." in short
    assert (
        full
        == "the objective 'torchjd:upgrad' needs TorchJD, which is not installed: pip install 'hf-mtl[grad]'"
    )


LAZY = "import sys, hf_mtl.objectives as o; o.objective_of('gradnorm'); print('torchjd' in sys.modules)"


def test_ours_do_not_import_torchjd() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


def test_the_page_has_every_objective() -> None:
    page = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
    names = {name.removeprefix("torchjd:") for name in ours_and_theirs()}
    assert importlib.util.find_spec("torchjd") is not None
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
