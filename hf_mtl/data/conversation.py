"""A row's conversation, in the one form that chat templates take.

>>> rows = {"talk": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
>>> read_conversation(rows, "talk", "tools").messages
[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl.bounded_json import parse_json
from hf_mtl.data.rows import Row
from hf_mtl.errors import DataError, did_you_mean, listing

__all__ = ["Conversation", "Message", "read_conversation"]

Message = dict[str, Any]  # Any: a message's parts are whatever its chat template takes

ASSISTANT = "assistant"
_CALL = "function_call"
_SHAREGPT = {
    "human": "user",
    "user": "user",
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "model": ASSISTANT,
    "bot": ASSISTANT,
    "chatgpt": ASSISTANT,
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    _CALL: ASSISTANT,
}


@dataclass(frozen=True)
class Conversation:
    """Messages in order.

    Args:
        messages: Each with a `role`, and a `content` that is text, or None beside `tool_calls`.
        tools: The JSON schemas of the tools that the assistant may call.
        learned_from: The assistant's turns before this message are read only.
    """

    messages: list[Message]
    tools: list[Any] | None = None  # Any: JSON schemas
    learned_from: int = 0

    @property
    def answers(self) -> list[int]:
        """Which messages are turns of the assistant that are learned."""
        return [
            i
            for i, message in enumerate(self.messages)
            if i >= self.learned_from and message["role"] == ASSISTANT
        ]

    @property
    def asked(self) -> Conversation:
        """The conversation up to the assistant's last turn; all of it if it ends with another's.

        Raises:
            DataError: If nothing is left.
        """
        messages = self.messages[:-1] if self.messages[-1]["role"] == ASSISTANT else self.messages
        if not messages:
            raise DataError(
                "the conversation holds no turn that could be answered.", reason="no answer to learn"
            )
        return Conversation(messages, self.tools)

    @property
    def before_answer(self) -> Conversation:
        """The conversation up to the last of the assistant's turns that are learned."""
        return Conversation(self.messages[: self.answers[-1]], self.tools)

    def followed_by(self, other: Conversation) -> Conversation:
        """This conversation as what is read, and another behind it as what is learned."""
        return Conversation([*self.messages, *other.messages], self.tools, learned_from=len(self.messages))


def read_conversation(row: Row, column: str, tools: str | None) -> Conversation:
    """Read a column of messages, and the tools beside it.

    Raises:
        DataError: If the column is missing, or a message cannot be read; with its number.
    """
    turns = row.get(column)
    if turns is None:
        raise DataError(
            f"the chat column {column!r} is missing; this row has {listing(row)}.{did_you_mean(column, row)}",
            reason="missing column",
        )
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise DataError(
            f"the chat column {column!r} is {turns!r:.80} ({type(turns).__name__}); expected a list of messages. For "
            f"plain texts use PromptCompletion(prompt, completion).",
            reason="malformed chat",
        )
    if not turns:
        raise DataError(f"the chat column {column!r} holds no messages.", reason="empty chat")
    messages = [_message(i, turn) for i, turn in enumerate(turns)]
    return Conversation(messages, None if tools is None else _tools(row.get(tools), tools))


def _message(number: int, turn: object) -> Message:
    if isinstance(turn, Mapping) and turn.get("role") is None and {"from", "value"} <= set(turn):
        turn = _sharegpt_message(number, turn)
    if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
        raise DataError(
            f"message {number} is {turn!r:.200}; expected a mapping with 'role' and 'content' (or ShareGPT's 'from' "
            f"and 'value').",
            reason="malformed chat",
        )
    # Arrow gives every message the keys of all: a key without a value is one that the message did not have.
    message = {key: _without_nulls(value) for key, value in turn.items() if value is not None}
    if not message.get("tool_calls"):
        message.pop("tool_calls", None)
    message["content"] = _content(number, message)
    return message


def _sharegpt_message(number: int, turn: Mapping[str, Any]) -> Message:
    speaker = turn["from"]
    if speaker not in _SHAREGPT:
        raise DataError(
            f"message {number} is from {speaker!r}; expected one of {listing(_SHAREGPT)}."
            f"{did_you_mean(str(speaker), _SHAREGPT)}",
            reason="malformed chat",
        )
    rest = {key: value for key, value in turn.items() if key not in ("from", "value", "role", "content")}
    if speaker != _CALL:
        return {"role": _SHAREGPT[speaker], "content": turn["value"], **rest}
    call = _json(turn["value"], f"message {number}, from {_CALL!r}")
    calls = call if isinstance(call, list) else [call]
    return {
        "role": ASSISTANT,
        "tool_calls": [{"type": "function", "function": each} for each in calls],
        **rest,
    }


def _content(number: int, message: Message) -> str | None:
    content = message.get("content")
    if content is None:
        if message.get("tool_calls") or message.get("reasoning_content"):
            return None
        raise DataError(
            f"message {number} of the role {message['role']!r} has no 'content'; it has {listing(message)}. Only a "
            f"message with 'tool_calls' may go without. Give it one, if an empty text.",
            reason="malformed chat",
        )
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise DataError(
            f"the content of message {number} is {content!r:.80} ({type(content).__name__}); expected text, or a list "
            f"of parts of text.",
            reason="malformed chat",
        )
    return "".join(_part(number, part) for part in content)


def _part(number: int, part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and isinstance(part.get("text"), str) and part.get("type", "text") == "text":
        text: str = part["text"]
        return text
    kind = part.get("type", "none") if isinstance(part, Mapping) else type(part).__name__
    raise DataError(
        f"message {number} has a part of the type {kind!r}; a language model reads parts of the type 'text' only. "
        f"Leave such rows out, or describe the part in text.",
        reason="malformed chat",
    )


def _tools(given: object, column: str) -> list[Any] | None:
    if not given:
        return None
    tools = _json(given, f"the column {column!r}") if isinstance(given, str) else given
    if isinstance(tools, Mapping):
        tools = [tools]
    if not isinstance(tools, Sequence):
        raise DataError(
            f"the column {column!r} is {given!r:.80}; expected a list of tools as JSON schemas, or its JSON text.",
            reason="malformed chat",
        )
    return [
        _json(tool, f"tool {i} of {column!r}") if isinstance(tool, str) else _without_nulls(tool)
        for i, tool in enumerate(tools)
    ] or None


def _json(text: str, where: str) -> Any:  # Any: JSON
    try:
        return parse_json(text)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where} is {text!r:.80}, which is no JSON: {error}", reason="malformed chat"
        ) from error


def _without_nulls(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list | tuple) else value
