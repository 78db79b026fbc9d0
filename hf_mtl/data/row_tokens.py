"""From a row to tokens.

There is one path, which training, evaluation, prediction and previews share. A text is tokenised whole, as the
tokenizer does it for anyone: prompt and completion together, a conversation as its chat template writes it. What is
learned is found by the place where the prompt ends (`hf_mtl.data.tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from hf_mtl.data.chat_template import ChatTemplate
from hf_mtl.data.chats import ChatEncoder, LearnedSpans
from hf_mtl.data.conversation import Conversation, Message
from hf_mtl.data.examples import IGNORED, Encoded
from hf_mtl.data.rows import Row
from hf_mtl.data.templates import Chat, PromptCompletion, RowTemplate, TextPair, render
from hf_mtl.data.tokens import checked_text, encode_texts, first_learned, tokens_of, whole_text
from hf_mtl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Prompt", "RowTokens", "prompt_ids"]


class Prompt(NamedTuple):
    """A text to be continued.

    Args:
        text: The text.
        ids: Its tokens, as they are in training.
        messages: What it stands for, if it is a conversation.
    """

    text: str
    ids: tuple[int, ...]
    messages: list[Message] | None = None


@dataclass(frozen=True)
class RowTokens:
    """From rows to tokens, for one template and one tokenizer.

    Args:
        template: How a row becomes a text.
        tokenizer: The base's tokenizer.
        separate: Whether prompt and completion are texts of their own, for an encoder and a decoder.
    """

    template: RowTemplate
    tokenizer: PreTrainedTokenizerBase
    separate: bool = False

    def encode(self, row: Row, *, max_length: int | None = None) -> list[Encoded]:
        """The sequences of a row: one, or one for each turn of the assistant (see `hf_mtl.data.chats`).

        Args:
            row: The row.
            max_length: Tokens kept of a sequence, counted from the start; None keeps all.

        Raises:
            DataError: If nothing is left to learn, such as an empty completion or one that lies behind `max_length`.
            ConfigError: If nothing could end what is learned.
        """
        rendered = render(self.template, row)
        if isinstance(rendered, TextPair):
            return [_cut(self.pair(rendered), max_length)]
        sequences = [_encoded(own) for own in self.chats.sequences(rendered)]
        kept = [own for own in sequences if _has_learned(own.labels[:max_length])]
        return [_cut(own, max_length) for own in kept or sequences[:1]]

    def pair(self, texts: TextPair) -> Encoded:
        """A prompt and a completion, with the end token behind them."""
        end = self.tokenizer.eos_token_id
        if end is None:
            raise ConfigError(
                "The tokenizer has no end token (eos_token); completions could never end. Set one."
            )
        prompt = whole_text(texts.prompt, self.tokenizer).ids
        if self.separate:
            written = checked_text(texts.completion)
            ids = list(
                encode_texts(self.tokenizer, text_target=written, add_special_tokens=False)["input_ids"]
            )
            ids, first = [*prompt, *ids], len(prompt)
        else:
            whole = whole_text(texts.prompt + texts.completion, self.tokenizer)
            ids, first = whole.ids, first_learned(whole, prompt, len(texts.prompt))
        if first == len(ids):
            raise DataError(
                f"the completion {texts.completion!r} becomes no token at all, so there is nothing to learn.",
                reason="empty answer",
            )
        if ids[-1] != end:
            ids.append(end)
        merged = ids[: len(prompt)] != prompt
        return _encoded(LearnedSpans(ids, [(first, len(ids))], merged))

    def prompt(self, row: Row, *, answered: bool = False) -> Prompt:
        """What the model is given to answer a row.

        Args:
            row: The row.
            answered: Of a conversation, whether the last turn that is learned is asked for, whatever follows it; else
                it is the next turn.

        Raises:
            DataError: If the row lacks a part of the prompt.
        """
        if isinstance(self.template, PromptCompletion):  # a row that is to be answered has no completion
            return self.text_prompt(self.template.prompt_text(row))
        rendered = render(self.template, row)
        if isinstance(rendered, TextPair):
            return self.text_prompt(rendered.prompt)
        return self.chat_prompt(rendered.before_answer if answered else rendered)

    def text_prompt(self, text: str) -> Prompt:
        """A whole text that is continued."""
        return Prompt(text, tuple(whole_text(text, self.tokenizer).ids))

    def chat_prompt(self, conversation: Conversation) -> Prompt:
        """A conversation that is answered; a last turn by the assistant is left out."""
        asked = conversation.asked
        text = self.chats.prompt(asked)
        return Prompt(text, tuple(tokens_of(text, self.tokenizer).ids), asked.messages)

    @cached_property
    def chats(self) -> ChatEncoder:
        """The conversations of the template, or of the tokenizer's own chat template."""
        chat = self.template if isinstance(self.template, Chat) else Chat()
        return ChatEncoder(ChatTemplate(self.tokenizer, chat.chat_template, chat.chat_template_kwargs))


def _encoded(learned: LearnedSpans) -> Encoded:
    labels = [IGNORED] * len(learned.ids)
    for first, end in learned.spans:
        labels[first:end] = learned.ids[first:end]
    return Encoded(learned.ids, labels, merged=learned.merged)


def _has_learned(labels: Sequence[int]) -> bool:
    """Whether a token is learned that has one before it to be predicted from."""
    return any(label != IGNORED for label in labels[1:])


def _cut(encoded: Encoded, max_length: int | None) -> Encoded:
    ids, labels = encoded.input_ids, encoded.labels
    kept = labels[:max_length]
    if not _has_learned(kept):
        if len(kept) == len(labels):
            raise DataError(
                "the prompt is empty, so there is no token from which the completion could be predicted.",
                reason="empty prompt",
            )
        raise DataError(
            f"the row has {len(ids)} tokens, and all that are learned lie behind max_length={max_length}. "
            f"Raise max_length or shorten the prompt.",
            reason="over-long prompt",
        )
    return Encoded(ids[: len(kept)], kept, truncated=len(kept) < len(labels), merged=encoded.merged)


def prompt_ids(prompt: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens of a text that is continued: as the tokenizer makes them, without an end token behind them."""
    return whole_text(prompt, tokenizer).ids
