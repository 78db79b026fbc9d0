"""Conversations as the tokenizer's own `apply_chat_template` gives them, and the characters of its tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

__all__ = ["Chats", "Message", "token_spans"]

Message = Mapping[str, Any]  # Any: whatever a template reads

_OPENS, _CLOSES = "\ue000", "\ue001"


@dataclass(frozen=True)
class Chats:
    """A tokenizer with its chat template.

    Args:
        tokenizer: The tokenizer.
        ends: The texts of the tokens that may end the assistant's turn at inference.
        kwargs: What the template is given beside messages and tools.
    """

    tokenizer: PreTrainedTokenizerBase
    ends: tuple[str, ...]
    kwargs: Mapping[str, Any]  # Any: as above

    def text(self, messages: Sequence[Message], tools: object = None, *, asks: bool = False) -> str:
        """The rendered conversation."""
        return str(self._apply(messages, tools, asks, tokenize=False))

    def ids(self, messages: Sequence[Message], tools: object = None, *, asks: bool = False) -> list[int]:
        """The tokens of the rendered conversation."""
        return list(self._apply(messages, tools, asks, tokenize=True, return_dict=False))

    def prompt_ids(self, messages: Sequence[Message], text: str, tools: object) -> list[int]:
        """The tokens of what is written before an answer."""
        if messages:
            return self.ids(messages, tools, asks=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def marked(self, messages: Sequence[Message], tools: object = None) -> list[tuple[int, int]]:
        """The characters between `{% generation %}` and its end, found by letters that are written there."""
        source = str(self.tokenizer.chat_template)
        for tag, letter in (("generation", _OPENS), ("endgeneration", _CLOSES)):
            # Two ifs, which keep what the tag does to the blanks before it and behind it.
            source = re.sub(
                rf"{{%(-?)\s*{tag}\s*(-?)%}}",
                rf"{{%\1 if true %}}{{{{ '{letter}' }}}}{{% endif %}}{{% if true \2%}}{{% endif %}}",
                source,
            )
        text = str(self._apply(messages, tools, False, tokenize=False, chat_template=source))
        assert text.replace(_OPENS, "").replace(_CLOSES, "") == self.text(messages, tools)
        places = [found.start() for found in re.finditer(f"[{_OPENS}{_CLOSES}]", text)]
        places = [place - i for i, place in enumerate(places)]
        return list(zip(places[::2], places[1::2], strict=True))

    def _apply(
        self, messages: Sequence[Message], tools: object, asks: bool, **how: Any
    ) -> Any:  # Any: as it is asked
        plain = [dict(message) for message in messages]
        how |= {"tools": tools, "add_generation_prompt": asks}
        return self.tokenizer.apply_chat_template(plain, **how, **self.kwargs)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Of each token, the characters that it stands for."""
        return token_spans(text, self.tokenizer)

    def end_of(self, text: str, start: int) -> int:
        """Where the turn that begins at `start` ends: behind the first text that ends one; -1 if none does."""
        found = [text.find(end, start) + len(end) for end in self.ends if text.find(end, start) >= 0]
        return min(found, default=-1)


def token_spans(text: str, tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, int]]:
    """Of each token, the characters that it stands for: those from the last token's end on are its own too."""
    if not tokenizer.is_fast:
        return _byte_spans(text, tokenizer)
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    spans: list[tuple[int, int]] = []
    for start, end in offsets:
        spans.append((min(start, spans[-1][1] if spans else 0), end))
    return spans


def _byte_spans(text: str, tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, int]]:
    """Of a tokenizer that writes each byte as one token, and its added tokens whole."""
    added = [
        r"\s*" * token.lstrip + re.escape(token.content) + r"\s*" * token.rstrip
        for token in tokenizer.added_tokens_decoder.values()
    ]
    spans: list[tuple[int, int]] = []
    for found in re.finditer(f"(?P<added>{'|'.join(added)})|.", text, re.DOTALL):
        spans += [found.span()] * (1 if found["added"] else len(found.group().encode()))
    return spans
