"""From rows to tokens: the border between read and learned, special tokens, truncation, and unusable rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl.data import Chat, Example, Piece, PromptCompletion, Rendered, encode_rendered, encode_rows, render
from hf_mtl.errors import ConfigError, DataError

TEMPLATE = PromptCompletion("{text} is", " {label}")
CHATML = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_llama)
    return loaded


def _learned(tokenizer: PreTrainedTokenizerBase, encoded: Any) -> str:
    return str(tokenizer.decode([label for label in encoded.labels if label != -100]))


def test_prompt_is_read_and_completion_with_its_end_is_learned(tokenizer: PreTrainedTokenizerBase) -> None:
    encoded = encode_rendered(render(TEMPLATE, {"text": "good", "label": "positive"}, tokenizer), tokenizer)
    assert tokenizer.decode(encoded.input_ids) == "good is positive<|end|>"
    assert _learned(tokenizer, encoded) == " positive<|end|>"
    prompt = tokenizer("good is")["input_ids"]
    assert encoded.input_ids[: len(prompt)] == prompt, "a prompt must have the tokens that it has alone"


def test_a_tokenizer_that_begins_every_text(tokenizer: PreTrainedTokenizerBase) -> None:
    from tokenizers.processors import TemplateProcessing

    end = tokenizer.eos_token_id
    tokenizer.bos_token = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", end)]
    )
    encoded = encode_rendered(render(TEMPLATE, {"text": "good", "label": "fine"}, tokenizer), tokenizer)
    assert encoded.input_ids[0] == end and encoded.labels[0] == -100
    assert encoded.input_ids.count(end) == 2


def test_chat_learns_the_assistants_turns_only(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = CHATML
    turns = ["user:hi", "assistant:good", "user:and", "assistant:bad"]
    messages = [dict(zip(("role", "content"), turn.split(":"), strict=True)) for turn in turns]
    encoded = encode_rendered(render(Chat(), {"messages": messages}, tokenizer), tokenizer)
    assert tokenizer.decode(encoded.input_ids) == "<user>hi\n<assistant>good\n<user>and\n<assistant>bad\n"
    assert _learned(tokenizer, encoded) == "good\nbad\n"
    by_function = render(lambda row: {"messages": row["m"]}, {"m": messages}, tokenizer)
    assert encode_rendered(by_function, tokenizer) == encoded


def test_callable_template(tokenizer: PreTrainedTokenizerBase) -> None:
    made = render(lambda row: {"prompt": row["a"] + "!", "completion": " x"}, {"a": "q"}, tokenizer)
    assert made == Rendered((Piece("q!", False), Piece(" x", True)), special_tokens=True)


def test_long_rows_are_cut_at_the_end_and_say_so(tokenizer: PreTrainedTokenizerBase) -> None:
    rendered = Rendered((Piece("good", False), Piece(" positive" * 9, True)), special_tokens=True)
    whole = encode_rendered(rendered, tokenizer)
    cut = encode_rendered(rendered, tokenizer, max_length=5)
    assert not whole.truncated and cut.truncated
    assert (cut.input_ids, cut.labels) == (whole.input_ids[:5], whole.labels[:5])


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
        rendered = render(TEMPLATE, row, tokenizer)
        return [Example.next_token(encode_rendered(rendered, tokenizer, max_length=max_length))]

    with pytest.raises(DataError) as caught:
        encode_rows(rows, encode, where="task 't', train")
    assert message in str(caught.value) and "task 't', train, row 1" in str(caught.value)


@pytest.mark.parametrize(
    ("template", "row", "message"),
    [
        (PromptCompletion("{a}", "{b}"), {"a": "x", "b": ""}, "the completion '' becomes no token at all"),
        (lambda row: "text", {}, "the template function returned 'text'; expected"),
        (Chat(), {"text": 1}, "the chat column 'messages' is missing; this row has 'text'"),
        (Chat(), {"messages": [{"role": "user", "content": "hi"}]}, "no turn of the role 'assistant'"),
        (Chat(), {"messages": ["hi"]}, "message 0 is 'hi'; expected a mapping with 'role' and 'content'"),
    ],
)
def test_rows_without_anything_to_learn(
    tokenizer: PreTrainedTokenizerBase, template: Any, row: dict[str, Any], message: str
) -> None:
    tokenizer.chat_template = CHATML
    with pytest.raises(DataError) as caught:
        encode_rendered(render(template, row, tokenizer), tokenizer)
    assert message in str(caught.value)


def test_the_question_of_a_chat_is_all_up_to_the_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = CHATML
    asked = [{"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b"), ("user", "c"))]
    answered = [*asked, {"role": "assistant", "content": "d"}]
    pieces = render(Chat(), {"messages": answered}, tokenizer).pieces
    expected = "".join(piece.text for piece in pieces[:-1])
    for messages in (asked, answered):
        assert Chat().prompt_text({"messages": messages}, tokenizer) == expected
    with pytest.raises(DataError, match="no turn that could be answered"):
        Chat().prompt_text({"messages": []}, tokenizer)


def test_templates_that_cannot_work(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError, match="not a valid format string"):
        PromptCompletion("{text", "x")
    with pytest.raises(ConfigError, match="name a column"):
        PromptCompletion("{0}", "x")
    with pytest.raises(ConfigError, match="no chat template"):
        render(Chat(), {"messages": [{"role": "assistant", "content": "a"}]}, tokenizer)
    tokenizer.chat_template = "{{ messages|length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    messages = [{"role": r, "content": "a"} for r in ("user", "assistant")]
    with pytest.raises(DataError, match="renders a conversation differently once more turns follow"):
        render(Chat(), {"messages": messages}, tokenizer)
