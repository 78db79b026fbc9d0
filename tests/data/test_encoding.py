"""From rows to tokens: the border between read and learned, special tokens, truncation, and unusable rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl.data import Chat, Encoded, Example, PromptCompletion, RowTokens, encode_rows, prompt_ids
from hf_mtl.data.templates import TextPair, render
from hf_mtl.errors import ConfigError, DataError

TEMPLATE = PromptCompletion("{text} is", " {label}")
END = "<|end|>"
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}<|end|>{% endif %}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_llama)
    return loaded


def _encoded(
    template: Any, row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, max_length: int | None = None
) -> Encoded:
    [encoded] = RowTokens(template, tokenizer).encode(row, max_length=max_length)
    return encoded


def _learned(tokenizer: PreTrainedTokenizerBase, encoded: Encoded) -> str:
    return str(tokenizer.decode([label for label in encoded.labels if label != -100]))


def _turns(*turns: str) -> list[dict[str, str]]:
    return [dict(zip(("role", "content"), turn.split(":"), strict=True)) for turn in turns]


def test_prompt_is_read_and_completion_with_its_end_is_learned(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = _encoded(TEMPLATE, {"text": "good", "label": "positive"}, tokenizer)
    assert tokenizer.decode(encoded.input_ids) == f"good is positive{END}"
    assert _learned(tokenizer, encoded) == f" positive{END}"
    prompt = tokenizer("good is")["input_ids"]
    assert encoded.input_ids[: len(prompt)] == prompt, "a prompt must have the tokens that it has alone"


@pytest.mark.parametrize("text", ["good", f"{END}good"])
def test_a_tokenizer_that_begins_every_text_begins_once(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    _add_around(tokenizer, f"{END} $A")
    encoded = _encoded(TEMPLATE, {"text": text, "label": "fine"}, tokenizer)
    assert encoded.input_ids[0] == tokenizer.eos_token_id and encoded.labels[0] == -100
    assert encoded.input_ids.count(tokenizer.eos_token_id) == 2
    read = encoded.labels.count(-100)
    assert prompt_ids(f"{text} is", tokenizer) == encoded.input_ids[:read]


def test_a_tokenizer_that_ends_every_text_ends_no_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    plain = tokenizer("good is")["input_ids"]
    _add_around(tokenizer, f"$A {END}")
    assert tokenizer("good is")["input_ids"] == [*plain, tokenizer.eos_token_id]
    assert prompt_ids("good is", tokenizer) == plain
    encoded = _encoded(TEMPLATE, {"text": "good", "label": "fine"}, tokenizer)
    assert encoded.input_ids == tokenizer("good is fine")["input_ids"]


def _add_around(tokenizer: PreTrainedTokenizerBase, form: str) -> None:
    end = tokenizer.eos_token_id
    tokenizer.bos_token = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=form, special_tokens=[(END, end)])


def test_a_token_across_the_border_is_learned(tokenizer: PreTrainedTokenizerBase) -> None:
    row = {"prompt": "good is positiv", "completion": "e"}
    encoded = _encoded(PromptCompletion("{prompt}", "{completion}"), row, tokenizer)
    assert encoded.input_ids[:-1] == tokenizer("good is positive")["input_ids"]
    assert encoded.merged and _learned(tokenizer, encoded) == f"positive{END}"


def test_chat_learns_the_assistants_turns_only(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = CHAT
    messages = _turns("user:hi", "assistant:good", "user:and", "assistant:bad")
    encoded = _encoded(Chat(), {"messages": messages}, tokenizer)
    whole = f"<user>hi\n<assistant>good{END}\n<user>and\n<assistant>bad{END}\n"
    assert tokenizer.decode(encoded.input_ids) == whole
    assert _learned(tokenizer, encoded) == f"good{END}bad{END}", "the line break behind an end is not written"
    assert _encoded(lambda row: {"messages": row["m"]}, {"m": messages}, tokenizer) == encoded


def test_a_second_column_holds_what_is_learned(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = CHAT
    row = {
        "prompt": _turns("user:hi", "assistant:good", "user:and"),
        "completion": _turns("assistant:bad"),
    }
    encoded = _encoded(Chat("prompt", "completion"), row, tokenizer)
    assert _learned(tokenizer, encoded) == f"bad{END}"
    assert _encoded(lambda row: row, row, tokenizer) == encoded


def test_callable_template(tokenizer: PreTrainedTokenizerBase) -> None:
    made = render(lambda row: {"prompt": row["a"] + "!", "completion": " x"}, {"a": "q"})
    assert made == TextPair("q!", " x")


def test_long_rows_are_cut_at_the_end_and_say_so(tokenizer: PreTrainedTokenizerBase) -> None:
    row = {"text": "good", "label": "positive " * 9}
    whole, cut = _encoded(TEMPLATE, row, tokenizer), _encoded(TEMPLATE, row, tokenizer, max_length=9)
    assert not whole.truncated and cut.truncated
    assert (cut.input_ids, cut.labels) == (whole.input_ids[:9], whole.labels[:9])


@pytest.mark.parametrize(
    ("row", "max_length", "message"),
    [
        (
            {"text": "good"},
            None,
            "task 't', train, row 1: the template ' {label}' needs the field 'label'; this row has 'text'",
        ),
        ({"text": "good", "label": None}, None, "needs the field 'label'"),
        (
            {"text": "good " * 30, "label": "x"},
            8,
            "lie behind max_length=8. Raise max_length or shorten the prompt.",
        ),
    ],
)
def test_unusable_rows_are_named(
    tokenizer: PreTrainedTokenizerBase, row: dict[str, Any], max_length: int | None, message: str
) -> None:
    rows = Dataset.from_list([{"text": "a", "label": "b"}, row])

    def encode(row: Any) -> list[Example]:
        return [Example.next_token(_encoded(TEMPLATE, row, tokenizer, max_length))]

    with pytest.raises(DataError) as caught:
        encode_rows(rows, encode, where="task 't', train")
    assert message in str(caught.value) and "task 't', train, row 1" in str(caught.value)


@pytest.mark.parametrize(
    ("template", "row", "message"),
    [
        (PromptCompletion("{a}", "{b}"), {"a": "x", "b": ""}, "the completion '' becomes no token at all"),
        (PromptCompletion("{a}", "{b}"), {"a": [{"role": "user"}], "b": "x"}, "For chat messages use Chat"),
        (lambda row: "text", {}, "the template function returned 'text'; expected"),
        (Chat(), {"text": 1}, "the chat column 'messages' is missing; this row has 'text'"),
        (Chat(), {"messages": "hi"}, "expected a list of messages"),
        (Chat(), {"messages": []}, "holds no messages"),
        (Chat(), {"messages": _turns("user:hi")}, "no turn of the role 'assistant'"),
        (Chat(), {"messages": ["hi"]}, "message 0 is 'hi'; expected a mapping with 'role' and 'content'"),
        (Chat(), {"messages": [{"role": "user"}]}, "message 0 of the role 'user' has no 'content'"),
        (
            Chat(),
            {"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]},
            "message 0 has a part of the type 'image'",
        ),
        (Chat(), {"messages": [{"from": "humam", "value": "hi"}]}, "Did you mean 'human'?"),
        (
            Chat(),
            {"messages": _turns("user:hi", "assistant:ho"), "tools": [{"name": "f"}]},
            "leaves out the row's tools",
        ),
        (
            Chat(),
            {"messages": [*_turns("user:hi"), {"role": "assistant", "tool_calls": [{"name": "f"}]}]},
            "leaves out the tool_calls of message 1",
        ),
    ],
)
def test_rows_without_anything_to_learn(
    tokenizer: PreTrainedTokenizerBase, template: Any, row: dict[str, Any], message: str
) -> None:
    tokenizer.chat_template = CHAT
    with pytest.raises(DataError) as caught:
        RowTokens(template, tokenizer).encode(row)
    assert message in str(caught.value)


def test_the_question_of_a_chat_is_all_up_to_the_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = CHAT
    asked = _turns("user:a", "assistant:b", "user:c")
    answered = [*asked, *_turns("assistant:d")]
    encoded, tokens = _encoded(Chat(), {"messages": answered}, tokenizer), RowTokens(Chat(), tokenizer)
    expected = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    for messages in (asked, answered):
        prompt = tokens.prompt({"messages": messages})
        assert list(prompt.ids) == expected == encoded.input_ids[: len(expected)]
        assert prompt.messages == asked
    followed = [*answered, *_turns("user:e")]
    assert list(tokens.prompt({"messages": followed}, answered=True).ids) == expected
    with pytest.raises(DataError, match="no turn that could be answered"):
        tokens.prompt({"messages": _turns("assistant:b")})


def test_templates_that_cannot_work(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError, match="not a valid format string"):
        PromptCompletion("{text", "x")
    with pytest.raises(ConfigError, match="name a column"):
        PromptCompletion("{0}", "x")
    with pytest.raises(ConfigError, match="cannot set 'tokenize'"):
        Chat(chat_template_kwargs={"tokenize": True})
    row = {"messages": _turns("user:a", "assistant:b")}
    with pytest.raises(ConfigError, match="no chat template"):
        RowTokens(Chat(), tokenizer).encode(row)
    endless = Chat(chat_template=CHAT.replace("<|end|>", "."))
    with pytest.raises(ConfigError, match="nothing could stop generation"):
        RowTokens(endless, tokenizer).encode(row)
