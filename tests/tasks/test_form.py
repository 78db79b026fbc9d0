"""What a saved adapter knows of its task: every kind's declaration goes to JSON and comes back."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset

from hf_mtl import Chat, PromptCompletion, Task
from hf_mtl.errors import ConfigError
from hf_mtl.tasks import KINDS, Declared, Kind, TaskForm

FORMS = {
    "pair": Declared(
        columns={"text": "premise", "text_pair": "hypothesis"}, labels=("no", "yes"), max_length=64
    ),
    "numbers": Declared(labels=("0", "1", "2"), numbers=True),
    "patterns": Declared(template=PromptCompletion("{{ text }}:", " {{ label }}", engine="jinja")),
    "chat": Declared(template=Chat("turns")),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("declared", FORMS.values(), ids=FORMS)
def test_to_json_and_back(kind: str, declared: Declared) -> None:
    form = TaskForm(KINDS[kind](), declared)
    again = TaskForm.of_content(json.loads(json.dumps(form.content())))
    assert again == form and isinstance(again.kind, Kind)


def test_options_of_a_kind_and_a_template_that_is_a_function() -> None:
    rows = Dataset.from_list([{"text": "a", "label": "x"}])
    kind = {"name": "text-classification", "class_weights": {"x": 2.0, "y": 1.0}, "label_smoothing": 0.1}
    form = TaskForm.of(Task("mood", kind=kind, train=rows, labels=["x", "y"]))
    assert TaskForm.of_content(json.loads(json.dumps(form.content()))) == form
    assert form.declared.labels == ("x", "y")
    made = Task("free", train=rows, template=lambda row: {"prompt": row["text"], "completion": row["label"]})
    assert TaskForm.of(made).content()["template"] is None
    assert not TaskForm.of_content(TaskForm.of(made).content()).has_template


def test_what_is_no_form() -> None:
    content = TaskForm(KINDS["regression"](), Declared()).content()
    with pytest.raises(ConfigError, match="there is no kind 'regresion'"):
        TaskForm.of_content(content | {"kind": {"name": "regresion"}})
    with pytest.raises(ConfigError, match="a template has the parts of PromptCompletion or of Chat"):
        TaskForm.of_content(content | {"template": {"code": "import os"}})
    with pytest.raises(KeyError, match="columns"):
        TaskForm.of_content({key: value for key, value in content.items() if key != "columns"})
