"""Chat templates, each with one trait of those that people fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TEMPLATES", "MadeTemplate"]


@dataclass(frozen=True)
class MadeTemplate:
    """A chat template and what a test must know of it.

    Args:
        source: The Jinja template.
        ends: What ends an assistant's turn: the texts of the tokens that stop generation. `{eos}` stands for the
            tokenizer's end token.
        kwargs: What is passed to it beside the messages.
    """

    source: str
    ends: tuple[str, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()  # Any: whatever a template reads


_CHATML_TURN = "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
_CHATML_ASKS = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
_CHATML = "{% for m in messages %}" + _CHATML_TURN + "{% endfor %}" + _CHATML_ASKS

_INST = (
    "{% if messages and messages[0].role == 'system' %}"
    "{% set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)

_HEADERS_TURN = (
    "{% for m in messages %}"
    "{{ (bos_token or '') if loop.first else '' }}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}"
    "{% endfor %}"
)
_HEADER = "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"

_TOOLS_HEAD = (
    "{% if tools %}{{ '<|im_start|>system\\n' }}"
    "{% for tool in tools %}{{ tool | tojson + '\\n' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}"
)
_CALLS = (
    "{% for call in m.tool_calls or [] %}"
    "{{ '<tool_call>' + {'name': call.function.name, 'arguments': call.function.arguments} | tojson + '</tool_call>' }}"
    "{% endfor %}"
)
_TOOLS = (
    _TOOLS_HEAD + "{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') }}" + _CALLS + "{{ '<|im_end|>\\n' }}"
    "{% endfor %}" + _CHATML_ASKS
)

# What was thought before the user's last turn is left out; the last answer always has a block, if an empty one.
_LAST_QUESTION = (
    "{% set last = namespace(question=-1) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set last.question = loop.index0 %}{% endif %}{% endfor %}"
)
_THOUGHT = (
    "{% set thought = m.reasoning_content or '' %}{% set said = m.content or '' %}"
    "{% if '</think>' in said %}"
    "{% set thought = said.split('</think>')[0].replace('<think>', '').strip() %}"
    "{% set said = said.split('</think>')[-1].lstrip() %}"
    "{% endif %}"
)
_THINKING = (
    _TOOLS_HEAD + _LAST_QUESTION + "{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role != 'assistant' %}{{ m.content or '' }}{% else %}"
    + _THOUGHT
    + "{% if loop.index0 > last.question %}"
    "{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{% endif %}{{ said }}" + _CALLS + "{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}" + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)
_GENERATION = (
    _LAST_QUESTION + "{% for m in messages %}"
    "{% if m.role != 'assistant' %}"
    + _CHATML_TURN
    + "{% else %}"
    + _THOUGHT
    + "{{ '<|im_start|>assistant\\n' }}"
    "{% generation %}"
    "{% if loop.index0 > last.question %}{{ '<think>\\n' + thought + '\\n</think>\\n\\n' }}{% endif %}"
    "{{ said }}"
    "{% endgeneration %}"
    "{{ '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}" + _CHATML_ASKS
)
_GENERATION_APPENDS = (
    "{% for m in messages %}{% if m.role != 'assistant' %}" + _CHATML_TURN + "{% else %}"
    "{{ '<|im_start|>assistant\\n' }}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% endif %}{% endfor %}" + _CHATML_ASKS
)

_CUT_AFTER_THINK = (
    "{{ bos_token or '' }}{% for m in messages %}"
    "{% if m.role == 'assistant' %}"
    "{{ '<|assistant|>' + (m.content.split('</think>')[-1] if '</think>' in m.content else m.content) + eos_token }}"
    "{% else %}{{ '<|' + m.role + '|>' + m.content }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_EOS_AT_THE_END = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)
_ALTERNATING = (
    "{{ bos_token or '' }}"
    "{% if messages and messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim }}"
    "{{ '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
_CHANNELS = (
    "{% for m in messages %}"
    "{{ '<|start|>' + m.role }}"
    "{% if m.role == 'assistant' %}"
    "{% if m.reasoning_content and loop.last %}"
    "{{ '<|channel|>analysis<|message|>' + m.reasoning_content + '<|end|><|start|>assistant' }}{% endif %}"
    "{{ '<|channel|>final' }}{% endif %}"
    "{{ '<|message|>' + m.content + ('<|return|>' if loop.last and m.role == 'assistant' else '<|end|>') }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)

TEMPLATES: Mapping[str, MadeTemplate] = {
    "chatml": MadeTemplate(_CHATML, ("<|im_end|>",)),
    "inst": MadeTemplate("{% set bos_token = bos_token or '' %}" + _INST, ("{eos}",)),
    "headers": MadeTemplate(
        _HEADERS_TURN + "{% if add_generation_prompt %}" + _HEADER + "{% endif %}", ("<|eot_id|>",)
    ),
    "header-always": MadeTemplate(_HEADERS_TURN + _HEADER, ("<|eot_id|>",)),
    "tools": MadeTemplate(_TOOLS, ("<|im_end|>",)),
    "thinking": MadeTemplate(_THINKING, ("<|im_end|>",)),
    "no-thinking": MadeTemplate(_THINKING, ("<|im_end|>",), (("enable_thinking", False),)),
    "generation": MadeTemplate(_GENERATION, ("<|im_end|>",)),
    "generation-appends": MadeTemplate(_GENERATION_APPENDS, ("<|im_end|>",)),
    "cut-after-think": MadeTemplate(_CUT_AFTER_THINK, ("{eos}",)),
    "eos-at-the-end": MadeTemplate(_EOS_AT_THE_END, ("<|end|>",)),
    "alternating": MadeTemplate(_ALTERNATING, ("<end_of_turn>",)),
    "channels": MadeTemplate(_CHANNELS, ("<|return|>",)),
}
