"""Templates of strangers: what reaches for objects, computes without an end or writes without a limit is refused.

Each attempt worked, hung or filled the memory when templates were Jinja's sandbox and `str.format_map` alone, or has
been used against one of them.
"""

from __future__ import annotations

import datetime
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import jinja2
import numpy as np
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from PIL import Image

from hf_mtl.data import PromptCompletion, fill_pattern
from hf_mtl.errors import ConfigError, DataError

SECONDS, MEGABYTES = 2, 200

ROW: dict[str, Any] = {  # Any: a row
    "text": "Hello, World",
    "words": ["ab", "c", "ab"],
    "row": {"key": "value", "items": 3, "list": [1, 2]},
    "n": 3,
    "score": 0.5,
    "on": datetime.datetime(2026, 7, 1, 12, 30),
    "image": Image.new("RGB", (2, 2)),
    "blob": b"GIF89a",
    "wide": "%999999999d",
}
_TWICE = "{% for i in range(99) %}{% set ns.x = ns.x BY ns.x %}{% endfor %}"
_NS = "{% set ns = namespace(x='a', y=[1]) %}"
_PAIRS = "{% for i in range(60) %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
_NESTED = "{% for i in range(99999) %}{% for j in range(99999) %}BODY{% endfor %}{% endfor %}"

FORMATS = [
    "{text.__class__}", "{text.__class__.__mro__}", "{on.year}", "{image.size}", "{image.save}", "{row.key}",
    "{row[key].__class__}", "{text:{n}}", "{text:{text.__class__}}", "{n:{row[key]}}", "{n:{n.__class__}}",
    "{n:999999999d}", "{score:.999999999f}", "{text:>999999999}", "{n:0999999999}", "{text!x}", "{text!r.upper}",
    "{words}", "{row}", "{words[99999999999999999999999]}", "{words[-1]}", "{words[append]}", "{row[absent]}",
    "{text[__class__]}", "{image}", "{blob}", "{on:%Y}", "{row[key]x}", "{0.text}", "{words[0]" * 3,
    "{text:9999}" * 9_000, "{text:9999}" * 90_000,
]  # fmt: skip

ATTRIBUTES = [
    "{{ text.__class__ }}", "{{ text.__class__.__mro__[1].__subclasses__() }}", "{{ text['__class__'] }}",
    "{{ text['__cla' ~ 'ss__'] }}", "{{ text | attr('upper') }}", "{{ text | attr('__class__') }}",
    "{{ [text] | map(attribute='__class__') | list }}", "{{ [text] | map('attr', 'upper') | list }}",
    "{{ [on] | map(attribute='year') | list }}", "{{ [text] | selectattr('__class__') | list }}",
    "{{ [text] | groupby('__class__') }}", "{{ [text] | sort(attribute='upper') }}",
    "{{ [text] | sum(attribute='count') }}", "{{ [text] | join(attribute='upper') }}",
    "{{ on.year }}", "{{ on.replace(year=1) }}", "{{ on.strftime('%9999999d') }}", "{{ image.save('x.png') }}",
    "{{ image.size }}", "{{ image }}", "{{ blob }}", "{{ blob.decode() }}", "{{ text.upper() }}",
    "{{ text.format(n) }}",
    "{{ '{0.__class__}'.format(text) }}", "{{ '{:>999999999}'.format(1) }}", "{{ text.format_map(row) }}",
    "{{ row.keys() }}", "{{ row.pop('key') }}", "{{ words.append(1) }}", "{{ range.__globals__ }}", "{{ range }}",
    "{{ namespace.__init__ }}", "{{ cycler.__init__.__globals__ }}", "{{ joiner('x') }}", "{{ lipsum(n=9999999) }}",
    "{{ lipsum.__globals__ }}", "{{ dict(a=1) }}", "{{ self.__init__ }}", "{{ self }}", "{{ config }}",
    "{% macro m() %}{% endmacro %}{{ m.__call__ }}", "{% macro m() %}{% endmacro %}{{ m }}",
    "{% macro m() %}{{ caller }}{% endmacro %}{% call m() %}{% endcall %}", "{{ loop }}", "{{ text() }}",
    "{% for w in words %}{{ loop._iterable }}{% endfor %}", "{% for w in words %}{{ loop }}{% endfor %}",
    "{% set ns = namespace() %}{{ ns.__class__ }}", "{% set ns = namespace() %}{{ ns }}",
    "{% include '/etc/hostname' %}", "{% import 'os' as os %}", "{% from 'os' import path %}", "{% extends 'x' %}",
    "{% block x %}{% endblock %}", "{% autoescape true %}{{ text }}{% endautoescape %}",
    "{% for w in words recursive %}{{ loop(words) }}{% endfor %}", "{{ text | xmlattr }}", "{{ text is callable }}",
    "{{ [range] | first }}", "{{ (words | groupby(0) | first).__class__ }}", "{{ words | map('upper') }}",
]  # fmt: skip

BOMBS = [
    "{{ 'a' * 10**10 }}", "{{ [1] * 10**10 }}", "{{ 10**10 * 'a' }}", "{{ 9**(9**9) }}", "{{ 2**99999 * 2**99999 }}",
    "{{ '%999999999d' % 1 }}", "{{ '%.999999999f' % 1 }}", "{{ '%*d' % (10**9, 1) }}", "{{ wide % 1 }}",
    "{{ '%(a(b)c)999999999d' % {'a(b)c': 1} }}", "{{ '%999999999d' | format(1) }}", "{{ wide is odd }}",
    "{{ wide is divisibleby(2) }}", "{{ [wide] | select('even') | list }}", "{{ 'a' | center(10**10) }}",
    "{{ ['a'] | map('center', 10**10) | list }}", "{{ text | indent(10**10) }}",
    "{{ text | replace('', 'a' * 9999999) }}", "{{ range(99999) | join('a' * 99999) }}", "{{ range(10**10) }}",
    "{{ [1] | batch(10**10, 0) | list }}", "{{ [1] | slice(10**10) | list }}", "{{ 1 | round(-10**10) }}",
    "{{ 1 | round(10**10, 'floor') }}", "{{ row | tojson(10**9) }}", "{{ ('a ' * 2000000) | list }}",
    "{{ ('a ' * 4000000) | split | length }}", "{{ ('ab' * 4000000) | wordwrap(1) }}",
    "{{ ('<a>' * 1000000) | striptags }}", "{{ (range(99999) | list) * 200 }}", "{{ ('ba' * 3000000) | sort }}",
    "{{ [words] | sum(start=[]) }}", "{{ (('%s' * 9999) ~ wide) % (1,) }}", "{{ 1/0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}",
    "{{ 10.0 ** 999 }}", "{{ (2 ** 14000) * 2 }}", "{{ -text }}", "{{ text < n }}", "{{ absent.x }}",
    _NS + _TWICE.replace("BY", "~") + "{{ ns.x | length }}", _NS + _TWICE.replace("BY", "+") + "{{ ns.x | length }}",
    _NS + _PAIRS + "{{ ns.y }}", _NS + _PAIRS + "{{ ns.y | tojson }}", _NS + _PAIRS + "{{ ns.y | string }}",
    _NS + _PAIRS + "{{ ns.y ~ '' }}", _NS + _PAIRS + "{{ '%s' % ns.y }}", _NS + _PAIRS + "{{ ns.y == ns.y[0] }}",
    _NS + _PAIRS.replace("[", "(").replace("]", ")") + "{{ {ns.y: 1} }}", _NS + "{% set ns.x = ns %}{{ [ns] }}",
    _NS + _PAIRS.replace("[", "(").replace("]", ")") + "{{ row[ns.y] }}",
    _NS + "{% for i in range(99999) %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.y }}",
    _NESTED.replace("BODY", ""), _NESTED.replace("BODY", "{{ i }}"), _NESTED.replace("BODY", "{% set x = i * j %}"),
    "{% for i in range(99999) %}{{ 'a' * 9999 }}{% endfor %}",
    "{% for i in range(99999) %}" + "a" * 9999 + "{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(99) }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{{ " + "+".join("1" * 4000) + " }}", "{{ 1 }}" * 9000,
    "{% if 1 %}" * 150 + "{% endif %}" * 150, "{{ text" + "[0]" * 3000 + " }}", "{{ " + "9" * 5000 + " }}",
    "{{ text", "{% for %}", "{{ text | uper }}", "a" * 1_000_001,
]  # fmt: skip


@contextmanager
def limits() -> Iterator[None]:
    """Time on the processor, as the machine may be busy, and what the process had in memory at the most."""
    most, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    yield
    assert time.thread_time() - began < SECONDS
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most
    assert grown / (1024 if sys.platform == "linux" else 1024**2) < MEGABYTES


@pytest.mark.parametrize("attempt", FORMATS, ids=lambda attempt: attempt[:60])
def test_an_escape_from_a_format_string(attempt: str) -> None:
    with limits(), pytest.raises((ConfigError, DataError)):
        fill_pattern(attempt, ROW)
        PromptCompletion(attempt, "")


@pytest.mark.parametrize("attempt", ATTRIBUTES + BOMBS, ids=lambda attempt: attempt[:60])
def test_an_escape_from_a_jinja_template(attempt: str) -> None:
    with limits(), pytest.raises((ConfigError, DataError)):
        fill_pattern(attempt, {**ROW, "config": None}, "jinja")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{row.key}", r"for a key of a nested row write \{row\[key\]\}"),
        ("{n:{n}}", "write the width or the precision as a number"),
        ("{text!x}", "expected one of !r, !s, !a"),
        ("{on:%Y}", "Dates are text here"),
    ],
)
def test_a_refused_format_string_says_the_way_out(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptCompletion(template, "{text}")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ text.upper() }}", r"instead of the method .upper\(\) write \| upper"),
        ("{{ text.split(',') }}", r"write \| split"),
        ("{{ text | attr('x') }}", "which reaches attributes of objects"),
        ("{% include 'x' %}", "include.*write the text itself"),
        ("{{ lipsum() }}{{ joiner() }}", "2 problems"),
    ],
)
def test_a_refused_jinja_template_says_the_way_out(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptCompletion("{{ text }}", template, engine="jinja")


def test_all_problems_of_both_templates_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        PromptCompletion("{a.b} {c:{d}}", "{e!x}")
    assert len(caught.value.problems) == 3


JINJA = [
    "{{ text }}", "{{ n }} {{ score }} {{ on }} {{ words }} {{ row['list'] }} {{ 1 == 1 }}\n",
    "{{ row.key }}{{ row['key'] }}",
    "{% for w in words %}{{ loop.index }}/{{ loop.length }}{{ w }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for k, v in row | dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in row | items %}{{ k }}{% endfor %}",
    "{{ words | join(', ') | upper }} {{ words | unique | list }} {{ words | map('upper') | join }}",
    "{{ text | length }}",
    "{{ words | select('equalto', 'ab') | list }} {{ [row] | map(attribute='key') | list }} {{ words | first }}",
    "{{ [row] | selectattr('key', 'equalto', 'value') | list | length }} {{ words | reject('in', ['c']) | list }}",
    "{% for group in [row] | groupby('key') %}{{ group.grouper }}{{ group.list | length }}{% endfor %}",
    "{% if 'World' in text and n > 2 and text is string %}yes{% else %}no{% endif %}{{ 'a' if n is odd else 'b' }}",
    "{% set total = n * 2 + 1 %}{{ total }} {{ total ** 2 }} {{ total % 3 }} {{ total // 2 }} {{ -total }}",
    "{{ 'ab' * 3 }}",
    "{{ text[:5] }}{{ text[-1] }}{{ words[1:] }}{{ words[::-1] | join }}", "{{ text ~ n ~ score ~ words }}",
    "{% macro shot(q, a='?') %}Q: {{ q }} A: {{ a }}\n{% endmacro %}{{ shot(text) }}{{ shot('x', a=n) }}",
    "{% macro m() %}<{{ caller('y') }}>{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}",
    "{% filter upper | replace('L', '1') %}{{ text }} ab{% endfilter %}",
    "{% set x | trim %} {{ n }} {% endset %}[{{ x }}]",
    "{% set ns = namespace(found=false) %}{% for w in words %}{% if w == 'c' %}{% set ns.found = w %}{% endif %}"
    "{% endfor %}{{ ns.found }}", "{{ '%s is %.3f' | format(text, score) }} {{ '%05d' % n }} {{ '%(a)s' % {'a': n} }}",
    "{{ row | tojson }} {{ words | tojson(2) }} {{ '<b>' | escape }} {{ text | truncate(5) }} {{ text | wordwrap(5) }}",
    "{{ range(3) | list }} {{ words | batch(2) | list }} {{ words | slice(2) | list }} {{ [3, 1] | sort | last }}",
    "{{ text | center(30) }} {{ text | indent(2) }} {{ score | round(1) }} {{ '3' | int + 1 }} {{ n | float }}",
    "{{ [1, 2] | sum }} {{ words | min }} {{ text | title }} {{ text | wordcount }} {{ '<a>b' | striptags }}",
    "{% with a = n %}{{ a }}{% endwith %}{% raw %}{{ x }}{% endraw %}{# no #}{{ none is none }}",
    "{{ {'a': 1, n: 2} }} {{ (1, 'b') }} {{ words[5] is defined }} {{ row.zz | default('d') }}",
    "{% for a in words %}{{ loop.cycle('x', 'y') }}{{ loop.changed(a) }}{{ loop.previtem is defined }}{% else %}none"
    "{% endfor %}{% for w in words if w != 'c' %}{{ w }}{% endfor %}", "{% set a, b = words[:2] %}{{ b }}{{ a }}",
]  # fmt: skip


@pytest.mark.parametrize("template", JINJA, ids=lambda template: template[:60])
def test_an_ordinary_template_is_filled_as_jinja_does(template: str) -> None:
    plain = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    assert fill_pattern(template, ROW, "jinja") == plain.from_string(template).render(ROW)


@pytest.mark.parametrize(
    "template",
    [
        "{text}", "a{text}b{n}{{}}", "{row[key]}", "{words[1]}", "{row[list][1]}", "{score:.2f}", "{n:>8}|", "{n:08,d}",
        "{text!r}", "{text!s:>20}", "{text!a:.4}",
        "{n:+d} {score:%} {score:e} {n:#x} {text:*^30}", "{on}", "{text:.500}",
        "{text[0]}",
    ],
)  # fmt: skip
def test_an_ordinary_format_string_is_filled_as_python_does(template: str) -> None:
    assert fill_pattern(template, ROW) == template.format_map(ROW)


@pytest.mark.parametrize(
    "value",
    [
        datetime.date(2026, 7, 1), datetime.timedelta(days=2), Decimal("1.10"), np.float32(0.1), np.int64(7),
        np.str_("a"), np.datetime64("2026-07-01"), True, 10**30, float("inf"),
    ],
)  # fmt: skip
def test_a_value_keeps_its_text(value: object) -> None:
    assert fill_pattern("{x}", {"x": value}) == f"{value}"
    assert fill_pattern("{{ x }}", {"x": value}, "jinja") == f"{value}"


@pytest.mark.parametrize("missing", [float("nan"), np.float32("nan")])
def test_what_is_missing_in_a_table_is_not_written(missing: object) -> None:
    with pytest.raises(
        DataError, match=r"\{x\} of the template has no value in this row: it is nan\. Write one"
    ):
        fill_pattern("{x}", {"x": missing})
    with pytest.raises(DataError, match=r"has no value in this row \(it is nan\); ask first"):
        fill_pattern("{{ x }}", {"x": missing}, "jinja")
    assert fill_pattern("{% if x == x %}{{ x }}{% endif %}-", {"x": missing}, "jinja") == "-"


def test_an_image_can_be_asked_for_and_not_written() -> None:
    assert fill_pattern("{% if image %}seen{% endif %}", ROW, "jinja") == "seen"
    with pytest.raises(DataError, match="<Image>, which has no text"):
        fill_pattern("{image}", ROW)


def test_a_long_text_is_no_bomb() -> None:
    text = "word " * 3_000_000
    assert fill_pattern("{{ text | trim }}{{ text }}", {"text": text}, "jinja") == text[:-1] + text
    assert fill_pattern("{text}{text}", {"text": text}) == text + text
