"""Problems that are found after a recipe was checked get the places of what they are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_mtl.errors import ConfigError
from hf_mtl.recipe.loading import read_recipe
from hf_mtl.recipe.places import placed

RECIPE = """\
model: {id: someone/tiny}
output_dir: out
defaults: {adapter: {r: 4}, max_length: 64}
tasks:
  words:
    kind: seq2seq-lm
    adapter: {lora_alpha: 8}
  it's:
    learning_rate: 0.1
training:
  lr_scheduler_kwargs: {power: 2}
"""


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        ("task 'words': seq2seq-lm needs a T5.", "recipe.yaml:6 tasks.words.kind: seq2seq-lm needs a T5."),
        ("task 'words': max_length: too long.", "recipe.yaml:3 defaults.max_length: too long."),
        (
            'task "it\'s": learning_rate is odd.',
            "recipe.yaml:9 tasks.it's.learning_rate: learning_rate is odd.",
        ),
        ('task "it\'s": no rows.', "recipe.yaml:8 tasks.it's: no rows."),
        (
            "task 'words': lr_scheduler_kwargs={} is odd.",
            "recipe.yaml:11 training.lr_scheduler_kwargs: lr_sch",
        ),
        ("adapter 'words': no layer.", "recipe.yaml:7 tasks.words.adapter: no layer."),
        ('adapter "it\'s": r is odd.', "recipe.yaml:3 defaults.adapter.r: r is odd."),
        ("task 'others': no rows.", "task 'others': no rows."),
        ("the disk is full.", "the disk is full."),
    ],
)
def test_where_a_problem_is(tmp_path: Path, problem: str, expected: str) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with pytest.raises(ConfigError) as caught, placed(tmp_path / "recipe.yaml"):
        raise ConfigError([problem])
    assert caught.value.problems[0].startswith(expected)


def test_a_recipe_that_is_gone_since_then(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^task 'a': wrong\.$"), placed(tmp_path / "gone.yaml"):
        raise ConfigError("task 'a': wrong.")


def test_settings_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    document = read_recipe(tmp_path / "recipe.yaml", ["tasks.words.optim=sgd"])
    assert document.places["tasks", "words", "optim"] == "--set"
    expected = pytest.raises(ConfigError, match=r"^--set tasks\.words\.optim: optim is odd")
    with expected, placed(tmp_path / "recipe.yaml", ["tasks.words.optim=sgd"]):
        raise ConfigError("task 'words': optim is odd.")
