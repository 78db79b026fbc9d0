"""What a conversation is to become, by the tokenizer's own `apply_chat_template`; nothing of hf_mtl computes it.

The rule: training ids are those of `apply_chat_template`, a prompt is what it gives with `add_generation_prompt`, and
the assistant's turns are learned through the token that ends them. Where a border falls inside a token, the token is
learned if the prompt does not already hold it and it holds a character of the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from chat_renderings import Chats, Message

from hf_mtl.data import Chat, Example
from hf_mtl.errors import DataError, HfMtlError
from hf_mtl.tasks.kinds import CausalLM, Context, Declared

__all__ = ["Expected", "RefusedError", "assert_contract"]

Row = Mapping[str, Any]  # Any: columns


_BELOW = (jinja2.TemplateError, TypeError, ValueError, LookupError)


class RefusedError(Exception):
    """There is no rendering that holds what the row says."""


@dataclass(frozen=True)
class Expected:
    """One example.

    Args:
        ids: Its tokens.
        learned: For each turn that is learned, the places of its tokens.
        prompts: For each turn that is learned, the tokens from which it is to be written at inference.
    """

    ids: list[int]
    learned: list[list[int]]
    prompts: list[list[int]]


def expected(chats: Chats, row: Row) -> list[Expected]:
    """The examples of a row.

    Raises:
        RefusedError: If it must be refused.
    """
    tools = row.get("tools")
    messages = _renderable(chats, row["messages"], tools)
    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    if not answers:
        raise RefusedError("no answer")
    if (appended := _appended(chats, messages, answers, tools)) is not None:
        return [appended]
    if re.search(r"{%-?\s*generation", str(chats.tokenizer.chat_template)):
        return [_marked(chats, messages, tools)]
    turns = [_last(chats, messages[: i + 1], tools) for i in answers]
    whole = turns[-1].ids
    if all(turn.ids[: turn.learned[0][-1] + 1] == whole[: turn.learned[0][-1] + 1] for turn in turns):
        return [Expected(whole, [turn.learned[0] for turn in turns], [turn.prompts[0] for turn in turns])]
    return turns


def _appended(
    chats: Chats, messages: Sequence[Message], answers: Sequence[int], tools: object
) -> Expected | None:
    """The whole conversation as one example, if each turn stands in it as it did when it was the last one."""
    whole = chats.text(messages, tools)
    ids, spans = chats.ids(messages, tools), chats.spans(whole)
    assert len(ids) == len(spans), "the spans are not those of the tokens"
    learned, prompts = [], []
    for i in answers:
        prompt, alone = _asked(chats, messages[:i], tools), chats.text(messages[: i + 1], tools)
        if not alone.startswith(prompt):
            return None
        end = chats.end_of(alone, _behind(messages[i], alone, len(prompt)))
        if end < 0:
            raise RefusedError(f"turn {i} has no end")
        if not whole.startswith(alone[:end]):
            return None
        prompts.append(chats.prompt_ids(messages[:i], prompt, tools))
        learned.append(_between(ids, spans, prompts[-1], len(prompt), end))
    return Expected(ids, learned, prompts)


def _behind(message: Message, text: str, start: int) -> int:
    """Where a message's content ends, which may hold what looks like its end."""
    content = (message.get("content") or "").strip()
    at = text.find(content, start)
    return start if at < 0 else at + len(content)


def _between(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], prompt: Sequence[int], start: int, end: int
) -> list[int]:
    shared = _common(prompt, ids)
    return [i for i, (first, last) in enumerate(spans) if i >= shared and first < end and last > start]


def _last(chats: Chats, messages: Sequence[Message], tools: object) -> Expected:
    """The conversation up to one answer, which alone is learned."""
    text, prompt = chats.text(messages, tools), _asked(chats, messages[:-1], tools)
    ids, asked = chats.ids(messages, tools), chats.prompt_ids(messages[:-1], prompt, tools)
    if text.startswith(prompt):
        end = chats.end_of(text, _behind(messages[-1], text, len(prompt)))
        if end < 0:
            raise RefusedError("the last turn has no end")
        return Expected(ids, [_between(ids, chats.spans(text), asked, len(prompt), end)], [asked])
    # The template asks with more than it writes before an answer: the answer is written behind what it asks.
    history = chats.text(messages[:-1], tools) if messages[:-1] else ""
    if _common(prompt, text) < _common(prompt, history):
        raise RefusedError("the history is another once it is answered")
    if "reasoning_content" in messages[-1] or "</think>" in (messages[-1].get("content") or ""):
        raise RefusedError("the thinking does not follow its prompt")
    shared, spans = _common(asked, ids), chats.spans(text)
    end = chats.end_of(text, spans[shared][0])
    if end < 0:
        raise RefusedError("the last turn has no end")
    behind = sum(1 for first, _ in spans[shared:] if first < end)
    return Expected([*asked, *ids[shared:]], [list(range(len(asked), len(asked) + behind))], [asked])


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How much two sequences begin with in common."""
    both = min(len(one), len(other))
    return next((i for i in range(both) if one[i] != other[i]), both)


def _marked(chats: Chats, messages: Sequence[Message], tools: object) -> Expected:
    """The whole conversation, of which the template says what is the assistant's."""
    text, ids, learned = chats.text(messages, tools), chats.ids(messages, tools), []
    for start, end in chats.marked(messages, tools):
        # What ends the turn is learned where it is not marked, and what is marked behind it is not.
        behind = max(start + len(text[start:end].rstrip()), start)
        if not text[start:behind].endswith((*chats.ends, "<|end|>")):
            behind = end + max(len(each) if text.startswith(each, end) else 0 for each in chats.ends)
        learned.append([i for i, (a, b) in enumerate(chats.spans(text)) if a < behind and b > start])
    return Expected(ids, learned, [])


def _asked(chats: Chats, messages: Sequence[Message], tools: object) -> str:
    """What is written before an answer to the messages; before a first turn by the assistant, what comes with any."""
    try:
        if messages:
            return chats.text(messages, tools, asks=True)
        yes, no = (chats.text([{"role": "assistant", "content": word}], tools) for word in ("yes", "no"))
        return yes[: _common(yes, no)]
    except _BELOW as error:
        raise RefusedError(f"there is no prompt for the turn after {len(messages)}: {error!r}") from error


def _renderable(chats: Chats, messages: Sequence[Message], tools: object) -> list[dict[str, Any]]:
    """The messages in the first of their equal forms that the template renders without losing a call."""
    problem = "nothing"
    for form in _forms(messages):
        try:
            text = chats.text(form, tools)
        except _BELOW as error:
            problem = repr(error)
            continue
        problem = _lost(chats, form, tools, text)
        if not problem:
            return form
    raise RefusedError(problem)


def _lost(chats: Chats, messages: Sequence[Message], tools: object, text: str) -> str:
    """What of a conversation its text does not hold."""
    if (
        tools
        and "Zürich" not in text
        and "Z\\u00fcrich" not in text
        and any("tool_calls" in m for m in messages)
    ):
        return "a call is lost"
    if tools and chats.text(messages) == text:
        return "the tools are lost"
    for i, message in enumerate(messages):
        thought, said = message.get("reasoning_content"), (message.get("content") or "").strip()
        if "<think>" not in said and said not in text:
            return f"the content of message {i} is lost"
        if thought and thought not in chats.text(messages[: i + 1], tools):
            return f"the thinking of message {i} is lost"
    return ""


def _forms(messages: Sequence[Message]) -> Iterator[list[dict[str, Any]]]:
    flat = [dict(message) for message in messages]
    for message in flat:
        if message.get("content") is None and not {"tool_calls", "reasoning_content"} & set(message):
            raise RefusedError("there is no content")
        if isinstance(message.get("content"), list):
            if any(part["type"] != "text" for part in message["content"]):
                raise RefusedError("a part is no text")
            message["content"] = "".join(part["text"] for part in message["content"])
    yield flat
    yield [{"content": "", **message} for message in flat]
    as_text: Callable[[Message], dict[str, Any]] = lambda call: {  # noqa: E731
        **call,
        "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])},
    }
    for form in (flat, [{"content": "", **message} for message in flat]):
        yield [
            {**message, "tool_calls": [as_text(call) for call in message["tool_calls"]]}
            if message.get("tool_calls")
            else message
            for message in form
        ]


def assert_contract(chats: Chats, rows: Mapping[str, Row]) -> None:
    """Hold rows to what `apply_chat_template` says of them; all faults are told, by the rows' names."""
    chat = Chat(chat_template_kwargs=dict(chats.kwargs))
    context = Context(Declared(template=chat), chats.tokenizer)
    faults: dict[str, str] = {}
    for name, row in rows.items():
        try:
            wanted = expected(chats, row)
        except RefusedError as error:
            if fault := _not_refused(row, context):
                faults[name] = f"{fault} where {error}"
            continue
        try:
            _hold(CausalLM().examples(row, context), wanted, chats)
            _hold_prompts(row, context, chats)
        except (AssertionError, HfMtlError) as error:
            faults[name] = f"{type(error).__name__}: {error}"
    assert not faults, "\n".join(f"{name}: {fault}" for name, fault in faults.items())


def _not_refused(row: Row, context: Context) -> str:
    """What is wrong with the answer to a row that must be refused."""
    try:
        CausalLM().examples(row, context)
    except DataError as error:
        said = re.search(r"\b(Begin|Change|Give|Leave|Set|Use|add|expected|use)\b", str(error))
        return "" if said else f"the message says not what to do: {error}"
    return "was taken"


def _hold(examples: Sequence[Example], wanted: Sequence[Expected], chats: Chats) -> None:
    show = chats.tokenizer.convert_ids_to_tokens
    assert len(examples) == len(wanted), f"{len(examples)} examples where {len(wanted)} are expected"
    for example, want in zip(examples, wanted, strict=True):
        assert show(example.input_ids) == show(want.ids)
        learned = [place + 1 for place in example.label_positions]
        places = [place for turn in want.learned for place in turn]
        assert learned == places, (
            f"learned {show([example.input_ids[i] for i in learned])}, expected {show([want.ids[i] for i in places])}"
        )
        assert example.label_ids == [example.input_ids[i] for i in learned]
        # A tokenizer may join the end of a prompt with what follows; then the example says so.
        whole = all(prompt == want.ids[: len(prompt)] for prompt in want.prompts)
        assert example.merged != whole, f"merged is {example.merged}"


def _hold_prompts(row: Row, context: Context, chats: Chats) -> None:
    """What is asked at inference, given as a row, is what the template asks with."""
    messages = _renderable(chats, row["messages"], row.get("tools"))
    for i in range(1, len(messages)):
        if messages[i]["role"] == "assistant" != messages[i - 1]["role"]:
            asked = dict(row) | {"messages": row["messages"][:i]}
            ids = list(CausalLM().query(asked, {}, context).prompt_ids)
            assert ids == chats.ids(messages[:i], row.get("tools"), asks=True), f"the prompt of message {i}"
