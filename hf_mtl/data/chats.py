"""Conversations as tokens, and which of them the assistant writes.

A chat template that only appends renders a conversation once. Every turn of the assistant is learned in it, from what
the template gives with `add_generation_prompt` to the token that ends the turn. A template that renders earlier turns
differently once more follow (thinking that is left out, another end) would show the model a history that it never
meets when it is used: where it marks the assistant's tokens itself (`{% generation %}`), its marks are taken; else
every turn becomes a sequence of its own, with the history as it is when the model is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hf_mtl.data.chat_template import ChatTemplate
from hf_mtl.data.conversation import Conversation, Message
from hf_mtl.data.tokens import added_ids, common_start, first_learned, tokens_between, tokens_of
from hf_mtl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatEncoder", "LearnedSpans"]

_PROBES = ("qzv0", "qzva", "0", "a")  # answers, behind which a template writes the same


@dataclass(frozen=True)
class LearnedSpans:
    """One sequence of tokens, and what is learned of it.

    Args:
        ids: `[S]`.
        spans: The first token of each turn that is learned and the one behind its last, in order.
        merged: Whether the end of a prompt and the beginning of an answer are one token.
    """

    ids: list[int]
    spans: list[tuple[int, int]]
    merged: bool = False


@dataclass(frozen=True)
class ChatEncoder:
    """Conversations of one chat template.

    Args:
        template: The tokenizer's chat template.
    """

    template: ChatTemplate

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer."""
        return self.template.tokenizer

    def prompt(self, conversation: Conversation) -> str:
        """The text that the model is given to answer a conversation."""
        return self.template.text(conversation.messages, conversation.tools, prompt=True)

    def sequences(self, conversation: Conversation) -> list[LearnedSpans]:
        """The sequences of a conversation; several where the template renders earlier turns differently.

        Raises:
            DataError: If there is nothing to learn, the template refuses the conversation or leaves a part of it out.
            ConfigError: If nothing ends the assistant's turns.
        """
        answers = conversation.answers
        if not answers:
            raise DataError(
                "the conversation has no turn of the role 'assistant' that could be learned; it has the roles "
                f"{', '.join(message['role'] for message in conversation.messages)}. Leave such rows out.",
                reason="no answer to learn",
            )
        text, last = self.template.checked_text(conversation), len(conversation.messages) - 1
        if not self._only_appends(conversation) and (marked := self._marked(conversation)) is not None:
            return [marked]
        turns = [
            self._turn(conversation, answer, text if answer == last else self._upto(conversation, answer + 1))
            for answer in answers
        ]
        if answers == [last]:
            return turns
        whole = turns[-1].ids if answers[-1] == last else tokens_of(text, self.tokenizer).ids
        if not all(_goes_on(turn, whole) for turn in turns):
            marked = self._marked(conversation)
            return turns if marked is None else [marked]
        spans = [span for turn in turns for span in turn.spans]
        return [LearnedSpans(whole, spans, any(turn.merged for turn in turns))]

    def _only_appends(self, conversation: Conversation) -> bool:
        """Whether each of the assistant's turns goes on from what is asked; asked only where marks could be taken."""
        return not self.template.marks or all(
            self._upto(conversation, answer + 1).startswith(self._asked(conversation, answer))
            for answer in conversation.answers
        )

    def _turn(self, conversation: Conversation, answer: int, text: str) -> LearnedSpans:
        """The conversation up to one of the assistant's turns, as text; this turn alone is learned."""
        asked = self._asked(conversation, answer)
        tokens, prompt = tokens_of(text, self.tokenizer), tokens_of(asked, self.tokenizer)
        shared = common_start(prompt.ids, tokens.ids)
        if text.startswith(asked):
            ids, first = tokens.ids, first_learned(tokens, prompt.ids, len(asked))
        else:
            self._check_history(conversation, answer, prompt.ids, shared)
            _check_thinking(conversation.messages[answer], answer)
            # The template opens an answer otherwise than it asks for one (`<think>`): served is what it asks.
            ids, first = [*prompt.ids, *tokens.ids[shared:]], len(prompt.ids)
            shared = first
        return LearnedSpans(
            ids, [(first, self._end(ids, first, conversation, answer))], shared < len(prompt.ids)
        )

    def _check_history(
        self, conversation: Conversation, answer: int, prompt_ids: list[int], shared: int
    ) -> None:
        history = tokens_of(self._upto(conversation, answer), self.tokenizer).ids if answer else []
        if shared < common_start(history, prompt_ids):
            raise DataError(
                f"the chat template renders the messages before message {answer} differently once it is answered, so "
                f"that what is learned is not what will be asked. Give a template that does not (chat_template=...), "
                f"or use PromptCompletion.",
                reason="malformed chat",
            )

    def _asked(self, conversation: Conversation, answer: int) -> str:
        """What the model is given before one of the assistant's turns."""
        if answer:
            return self.template.text(conversation.messages[:answer], conversation.tools, prompt=True)
        # A first turn by the assistant: a template cannot be given no messages at all.
        probe = {"role": "assistant", "content": _PROBES[0]}
        opened, found, _ = self.template.text([probe], conversation.tools, prompt=False).rpartition(
            _PROBES[0]
        )
        if not found:
            raise DataError(
                "the chat template leaves out a first turn by the assistant. Begin the conversation with a turn of "
                "the role 'user' or 'system'.",
                reason="malformed chat",
            )
        return opened

    def _end(self, ids: list[int], first: int, conversation: Conversation, answer: int) -> int:
        """The place behind the token that ends a turn: the first added token behind the answer's text."""
        tail = self._tail(conversation, answer)
        behind = len(ids) - len(tail)
        if behind >= first and ids[behind:] == tail and (end := self._next_added(ids, behind)):
            return end
        # A call of a tool may end with another token than a text.
        if end := self._next_added(ids, self._last_text(ids, first, len(ids))):
            return end
        raise ConfigError(
            f"the chat template ends the assistant's turns with {self.tokenizer.decode(tail)!r}, which is no token of "
            f"its own, so nothing could stop generation. Give a template that ends them with a special token, such as "
            f"the end token {self.tokenizer.eos_token!r} (Chat(chat_template=...) or tokenizer.chat_template); or use "
            f"PromptCompletion, whose completions end with it."
        )

    def _next_added(self, ids: list[int], start: int) -> int | None:
        places = [place for place in range(start, len(ids)) if ids[place] in self._added]
        special = [place for place in places if ids[place] in self._special]
        return next((place + 1 for place in special or places), None)

    def _last_text(self, ids: list[int], first: int, end: int) -> int:
        """The last token that is neither blank nor an added one."""
        places = range(end - 1, first - 1, -1)
        return next((i for i in places if not self._is_blank(ids[i])), first)

    def _is_blank(self, token: int) -> bool:
        return token in self._added or self._is_space(token)

    def _is_space(self, token: int) -> bool:
        return token not in self._added and not str(self.tokenizer.decode([token])).strip()

    def _tail(self, conversation: Conversation, answer: int) -> list[int]:
        """What the template writes behind the assistant's text, found once."""
        if not self._tails:
            history, tools = conversation.messages[:answer], conversation.tools
            one, *others = (
                tokens_of(
                    self.template.text(
                        [*history, {"role": "assistant", "content": probe}], tools, prompt=False
                    ),
                    self.tokenizer,
                ).ids
                for probe in _PROBES
            )
            # Of letters that it does not know, a tokenizer makes the same token; then another probe differs.
            other = next((each for each in others if each != one), others[0])
            self._tails.append(one[len(one) - common_start(one[::-1], other[::-1]) :])
        return self._tails[0]

    def _marked(self, conversation: Conversation) -> LearnedSpans | None:
        """The conversation by the template's own marks; None where it marks nothing of it."""
        if not self.template.marks:
            return None
        text, marks = self.template.marked(conversation)
        if conversation.learned_from:
            begun = common_start(text, self._asked(conversation, conversation.learned_from))
            marks = [mark for mark in marks if mark[1] > begun]
        if not marks:
            return None
        tokens = tokens_of(text, self.tokenizer)
        tail = self._tail(conversation, conversation.answers[-1])
        ending = self._next_added(tail, 0)
        last = tail[ending - 1] if ending else None
        spans = [tokens_between(tokens, *mark) for mark in marks]
        return LearnedSpans(
            tokens.ids, [(first, self._marked_end(tokens.ids, first, end, last)) for first, end in spans]
        )

    def _marked_end(self, ids: list[int], first: int, end: int, last: int | None) -> int:
        """The place behind the token that ends a turn, be that marked or not; `last` is the usual one."""
        behind = next((i + 1 for i in range(end - 1, first - 1, -1) if not self._is_space(ids[i])), first)
        if behind > first and ids[behind - 1] == last:
            return behind
        if ids[end : end + 1] == [last]:
            return end + 1
        # A turn that is not the last one, or a call of a tool, may end with another token.
        if behind > first and ids[behind - 1] in self._added:
            return behind
        return end + 1 if self._next_added(ids[: end + 1], end) else end

    def _upto(self, conversation: Conversation, count: int) -> str:
        return self.template.text(conversation.messages[:count], conversation.tools, prompt=False)

    @cached_property
    def _added(self) -> frozenset[int]:
        return added_ids(self.tokenizer)

    @cached_property
    def _special(self) -> frozenset[int]:
        """Those that are not part of what is said, as `</tool_call>` is."""
        tokens = self.tokenizer.added_tokens_decoder.items()
        return self._added & {number for number, token in tokens if token.special}

    @cached_property
    def _tails(self) -> list[list[int]]:
        return []


def _check_thinking(message: Message, number: int) -> None:
    """Refuse thinking behind a question that already opens or closes it in its own way."""
    if "reasoning_content" in message or "</think>" in (message["content"] or ""):
        raise DataError(
            f"message {number} holds its thinking, but the chat template asks for the answer with a beginning of its "
            f"own, behind which it does not write that thinking. Set enable_thinking or the like to fit the rows "
            f"(chat_template_kwargs=...), give a template that writes it (chat_template=...), or take it out of the "
            f"rows.",
            reason="malformed chat",
        )


def _goes_on(turn: LearnedSpans, whole: list[int]) -> bool:
    """Whether the whole conversation begins as it does up to the end of one of its turns."""
    end = turn.spans[0][1]
    return turn.ids[:end] == whole[:end]
