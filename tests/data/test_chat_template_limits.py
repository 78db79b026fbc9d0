"""Chat templates of strangers: limited in time and size, and else as `apply_chat_template` renders them."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl.data.chat_template import ChatTemplate
from hf_mtl.data.conversation import Conversation
from hf_mtl.errors import ConfigError, DataError

MESSAGES: list[dict[str, Any]] = [  # Any: messages
    {"role": "user", "content": " Add 2 and 3. ", "wide": "%999999999d"},
    {"role": "assistant", "content": "5"},
]
_DOUBLED = "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"

BOMBS = [
    "{{ 'a' * 10**10 }}", "{% if false %}{{ 'a' * 10**10 }}{% endif %}{{ 9**(9**9) }}", "{{ '%999999999d' % 1 }}",
    "{{ messages[0].wide % 1 }}", "{{ 'a'.center(10**10) }}", "{{ 'a'.ljust(10**10) }}", "{{ '1'.zfill(10**10) }}",
    "{{ '\t'.expandtabs(10**10) }}", "{{ '{:>999999999}'.format(1) }}", "{{ '{:{}}'.format(1, 999999999) }}",
    "{{ 'a'.replace('', 'a' * 9999999) }}", "{{ ('a' * 99999).join(range(99999) | map('string')) }}",
    "{{ (5).to_bytes(10**10, 'big') }}", "{{ 'a'.translate({97: 'b' * 999999}) }}", "{{ 'a'.encode() }}",
    "{{ lipsum(n=99999999) }}", "{{ 'a' | center(10**10) }}", "{{ ['a'] | map('center', 10**10) | list }}",
    "{{ messages | tojson(indent=10**9) }}", "{{ [messages[0].wide] | select('odd') | list }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", _DOUBLED + "{{ ns.x }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 1 / 0 }}", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(99) }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}", "{% include 'x' %}", "{{ messages[0].x.y }}",
    "{{ messages.append(1) }}", "{{ ''.__class__.__mro__ }}", "{{ '{0.__class__}'.format('')['x'] }}{{ 1 % 0 }}",
]  # fmt: skip

ORDINARY = [
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] | trim + '\n' }}{% endfor %}",
    "{%- for m in messages -%}{{ '<' + m.role + '>' + m.content.strip() ~ '</s>' }}"
    "{% if loop.last %}!{% endif %}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('order') }}{% endif %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }} {{ bos_token }}",
    "{{ messages | tojson }} {{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join }}",
    "{% macro show(m, end='.') %}{{ m.content.split('2')[0].replace('A', 'a') }}{{ end }}{% endmacro %}"
    "{% for m in messages[::-1] %}{{ show(m) }}{% if loop.index > 5 %}{% break %}{% endif %}{% endfor %}",
    "{% for k, v in messages[0].items() %}{{ k }}={{ v | upper | replace('D', 'x') }};{% endfor %}"
    "{{ '{}!'.format(1) }}",
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ 'a' * 3 }}{{ 2 ** 3 }}",
    "{% filter upper %}{{ messages[0].content }}{% endfilter %}{% set x | trim %} b {% endset %}{{ x }}{{ none }}",
    "{{ messages[0].get('absent', 'd') }}{{ messages[0].absent }}{{ 'user' in messages[0].role }}"
    "{{ messages | length }}",
    "{% for m in messages recursive %}{{ m.role }}{{ loop([]) }}{% endfor %}{{ [1, 2] | sum }}{{ 'a,b'.split(',') }}",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_llama)
    return loaded


@pytest.mark.parametrize("source", BOMBS, ids=lambda source: source[:60])
def test_a_bomb_is_refused(tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    began = time.thread_time()
    with pytest.raises(
        DataError, match="the chat template refuses the messages with the roles user, assistant: .+"
    ):
        ChatTemplate(tokenizer, source).text(MESSAGES, None, prompt=False)
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("source", ORDINARY, ids=lambda source: source[:60])
def test_an_ordinary_template_is_rendered_as_transformers_does(
    tokenizer: PreTrainedTokenizerBase, source: str
) -> None:
    expected = tokenizer.apply_chat_template(MESSAGES, tokenize=False, chat_template=source)
    assert ChatTemplate(tokenizer, source).text(MESSAGES, None, prompt=False) == expected


def test_a_tokenizer_that_writes_chats_by_code_of_its_own_is_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    class Backend(type(tokenizer)):  # type: ignore[misc]  # a class that is found at run time
        def apply_chat_template(self, *args: object, **options: object) -> str:
            return "\n" * 10**10

    own = Backend(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(
        ConfigError, match="Backend writes chats by Python code of its own, .* mistral_format=False"
    ):
        ChatTemplate(own, "{% for m in messages %}{{ m.content }}{% endfor %}")


def test_marks_are_those_of_the_limited_template(tokenizer: PreTrainedTokenizerBase) -> None:
    source = "{% for m in messages %}a{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    text, spans = ChatTemplate(tokenizer, source).marked(Conversation(MESSAGES))
    assert [text[start:end] for start, end in spans] == [message["content"] for message in MESSAGES]
    never = (
        source + "{% if messages | length > 9 %}{{ 'a' * 10**10 }}{% endif %}"
    )  # computed while it is compiled
    with pytest.raises(DataError, match="it computes or writes too much"):
        ChatTemplate(tokenizer, never).marked(Conversation(MESSAGES))


def test_a_template_gets_no_object(tokenizer: PreTrainedTokenizerBase) -> None:
    messages = [{"role": "user", "content": "a", "on": datetime.date(2026, 7, 1)}]
    template = ChatTemplate(
        tokenizer, "{{ messages[0].on }} {{ messages[0].on.year is defined }}{{ f }}", {"f": print}
    )
    assert template.text(messages, None, prompt=False).startswith("2026-07-01 False<")
