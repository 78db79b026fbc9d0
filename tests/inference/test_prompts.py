"""A text as a task's input, for each form of a template."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hf_mtl.data import Chat, PromptCompletion
from hf_mtl.errors import ConfigError
from hf_mtl.inference import input_of_text
from hf_mtl.tasks import CausalLM, Context, Declared, TaskForm, TextClassification

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_chat_takes_the_users_message(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = TEMPLATE
    declared = Declared(template=Chat("turns"))
    given = input_of_text("talk", TaskForm(CausalLM(), declared), "{hello}")
    assert given == [{"role": "user", "content": "{hello}"}]
    query = CausalLM().query(given, {}, Context(declared, tokenizer))
    assert query.prompt == tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)


def test_a_jinja_field() -> None:
    form = TaskForm(CausalLM(), Declared(template=PromptCompletion("Q: {{ q }}", "{{ a }}", engine="jinja")))
    assert input_of_text("a", form, "x") == {"q": "x"}
    assert input_of_text("a", form, "x", raw=True) == "x"


def test_heads_read_the_text() -> None:
    form = TaskForm(TextClassification(), Declared(labels=("a", "b")))
    assert input_of_text("a", form, "x") == "x"
    with pytest.raises(ConfigError, match="Leave --raw out"):
        input_of_text("a", form, "x", raw=True)


def test_a_template_that_was_not_saved() -> None:
    form = TaskForm(CausalLM(), Declared(), has_template=False)
    assert input_of_text("a", form, "x", raw=True) == "x"
    with pytest.raises(ConfigError, match="not saved with the adapter.*add --raw"):
        input_of_text("a", form, "x")
