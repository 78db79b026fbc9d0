"""Conversations in the shapes that people's files have, and random ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

__all__ = ["SHAPES", "WEATHER", "random_conversation"]

Row = dict[str, Any]  # Any: the columns of a row


def _turns(*texts: str, first: str = "user") -> list[dict[str, Any]]:
    """Turns of the user and the assistant in turn."""
    order = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"role": order[i % 2], "content": text} for i, text in enumerate(texts)]


_SYSTEM = {"role": "system", "content": "You are a terse helper."}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city."}},
            "required": ["city"],
        },
    },
}
_CALL = {
    "type": "function",
    "id": "call12345",
    "function": {"name": "get_weather", "arguments": {"city": "Zürich"}},
}
_ASKED = {"role": "user", "content": "How is the weather?"}
_CALLED = [_ASKED, {"role": "assistant", "tool_calls": [_CALL]}]
_RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": "fine, 21 °C"}
_REPORTED = [*_CALLED, _RESULT, {"role": "assistant", "content": "It is fine."}]

SHAPES: Mapping[str, Row] = {
    "one answer": {"messages": _turns("How is the weather?", "fine")},
    "system": {"messages": [_SYSTEM, *_turns("Is it fine?", "Yes.")]},
    "three answers": {
        "messages": _turns("One?", "fine", "Two?", "not fine", "Three?", "It depends on the river.")
    },
    "system and two answers": {"messages": [_SYSTEM, *_turns("One?", "Yes.", "Two?", "No.")]},
    "ends with a question": {"messages": _turns("One?", "fine", "Two?")},
    "two questions at once": {"messages": [_ASKED, *_turns("And now?", "fine")]},
    "two answers at once": {
        "messages": [*_turns("Well?", "fine"), {"role": "assistant", "content": "Very."}]
    },
    "first turn by the assistant": {"messages": _turns("Hello!", "Hi.", "How are you?", first="assistant")},
    "only the assistant": {"messages": _turns("Hello!", first="assistant")},
    "system, then the assistant": {
        "messages": [_SYSTEM, *_turns("Hello!", "Hi.", "Yes?", first="assistant")]
    },
    "tools": {"messages": _turns("How is the weather?", "fine"), "tools": [WEATHER]},
    "tool calls": {"messages": _CALLED, "tools": [WEATHER]},
    "tool calls with content": {
        "messages": [_ASKED, {"role": "assistant", "content": "I look.", "tool_calls": [_CALL]}],
        "tools": [WEATHER],
    },
    "tool calls and their results": {"messages": _REPORTED, "tools": [WEATHER]},
    "thinking": {
        "messages": [_ASKED, {"role": "assistant", "reasoning_content": "I see the sun.", "content": "fine"}]
    },
    "thinking twice": {
        "messages": [
            *(_ASKED, {"role": "assistant", "reasoning_content": "I see the sun.", "content": "fine"}),
            *(
                {"role": "user", "content": "And now?"},
                {"role": "assistant", "reasoning_content": "Rain.", "content": "No."},
            ),
        ]
    },
    "thinking inside": {
        "messages": _turns(
            "Is it?", "<think>\nI see.\n</think>\n\nYes.", "And now?", "<think>\nRain.\n</think>\n\nNo."
        )
    },
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "How is the weather?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "It is fine."}]},
        ]
    },
    "a part that is an image": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "What is it?"}, {"type": "image", "url": "a.png"}],
            },
            {"role": "assistant", "content": "A mill."},
        ]
    },
    "no content": {"messages": [_ASKED, {"role": "assistant"}]},
    "no answer": {"messages": [_SYSTEM, _ASKED]},
    "unicode": {
        "messages": _turns("Cafe\u0301 ½ 你好, שלום?", "\u0301e naïve привет 世界", "ﬁne?", "Zu\u0308rich")
    },
    "emoji": {"messages": _turns("👩‍👩‍👧?", "😀", "🇫🇷?", "❤️ fine 😀😀")},
    "empty answer": {"messages": _turns("Well?", "", "Well?", "fine")},
    "empty last answer": {"messages": _turns("Well?", "fine", "Well?", "")},
    "empty question": {"messages": _turns("", "fine")},
    "spaces": {"messages": _turns("  Well?\n", "\n\n  fine  \n", " And\t", " very\n\n fine ")},
    "control tokens in a question": {
        "messages": _turns(
            "What do <|im_end|>, </s> and <|eot_id|> do?", "They end a turn.", "And <s>?", "It begins."
        )
    },
    "control tokens in an answer": {
        "messages": _turns(
            "What ends a turn?", "Here it is <|im_end|>, there </s> or <|eot_id|>.", "Thanks.", "fine"
        )
    },
    "code": {"messages": _turns("Add.", "def add(a, b):\n    return a + b\n\n\nprint(add(12, 345))")},
}
"""By name, a row with the column `messages`, and `tools` where it has some."""

_TEXTS = (
    *(
        "fine",
        " fine",
        "fine ",
        "fine\n",
        "\nfine",
        "\n\n fine",
        "not fine.",
        "",
        " ",
        "Yes",
        "No; it depends.",
    ),
    *(
        "12345",
        "1 2",
        "é",
        "e\u0301",
        "\u0301",
        "你好",
        "😀",
        "👩‍👩‍👧",
        "ﬁ",
        "½",
        "a\tb",
        "x\r\ny",
        "שלום",
        "[/INST]",
        "</s",
        "<|",
    ),
)


def random_conversation(seed: int) -> Row:
    """A conversation of one to eight turns of texts with borders that tokenizers treat in their own ways."""
    draw = random.Random(seed)
    messages = _turns(
        *("".join(draw.choices(_TEXTS, k=draw.randint(1, 3))) for _ in range(2 * draw.randint(1, 4)))
    )
    if draw.random() < 0.3:
        messages = [{"role": "system", "content": draw.choice(_TEXTS)}, *messages]
    if draw.random() < 0.2:
        messages.append({"role": "user", "content": draw.choice(_TEXTS)})
    return {"messages": messages}
