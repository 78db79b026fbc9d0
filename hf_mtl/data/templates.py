r"""How a row becomes a text: a prompt that is read and a completion that is learned, or a conversation.

    >>> template = PromptCompletion("Review: {text}\nSentiment:", " {label}")
    >>> template.filled({"text": "A joy.", "label": "positive"})
    TextPair(prompt='Review: A joy.\nSentiment:', completion=' positive')

A task takes one of three templates: `PromptCompletion` (two format strings or Jinja templates), `Chat` (a column of
messages, rendered by the tokenizer's own chat template, the loss on the assistant's turns only), or any callable that
turns a row into `{"prompt": ..., "completion": ...}` or `{"messages": [...]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from hf_mtl.data.chat_template import option_problem
from hf_mtl.data.conversation import Conversation, read_conversation
from hf_mtl.data.patterns import ENGINES, fill_pattern, pattern_fields
from hf_mtl.data.rows import Row
from hf_mtl.errors import ConfigError, DataError, listing

__all__ = [
    "Chat",
    "PromptCompletion",
    "RowTemplate",
    "TextPair",
    "render",
]

RowTemplate: TypeAlias = "PromptCompletion | Chat | Callable[[Row], Row]"


class TextPair(NamedTuple):
    """A prompt that is read, and a completion that is learned."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class PromptCompletion:
    r"""A prompt that is read and a completion that is learned, both patterns that a row's columns fill.

    Nothing is added between the two: start the completion with the space or line break that belongs there.
    The end token is appended to the completion and learned with it.

    Args:
        prompt: For example `"Review: {text}\nSentiment:"`.
        completion: For example `" {label}"`.
        engine: `"format"` for format strings with `{field}`, `{row[key]}`, `{words[0]}` and `{score:.2f}`; `"jinja"`
            for Jinja templates with `{{ field }}`. Both see plain data, never attributes or methods, and are limited.

    Raises:
        ConfigError: If a pattern has unbalanced braces or unnamed fields, asks for attributes, or there is no such
            engine.
    """

    prompt: str
    completion: str
    engine: str = "format"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(
                f"there is no template engine {self.engine!r}; choose one of {listing(ENGINES)}."
            )
        if problems := [*self._problems(self.prompt), *self._problems(self.completion)]:
            raise ConfigError(problems)

    def _problems(self, pattern: str) -> list[str]:
        if not isinstance(pattern, str):
            return [f"expected a template as text, such as '{{text}}', found {pattern!r:.80}."]
        try:
            names = pattern_fields(pattern, self.engine)
        except ConfigError as error:
            return list(error.problems)
        return [
            f"The template {pattern!r} has the field {{{name}}}; name a column, as in {{text}} (write {{{{ and }}}} "
            f"for literal braces)."
            for name in names
            if not name.isidentifier()
        ]

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that both patterns need."""
        return tuple(
            dict.fromkeys(
                pattern_fields(self.prompt, self.engine) + pattern_fields(self.completion, self.engine)
            )
        )

    def filled(self, row: Row) -> TextPair:
        """Return the prompt and the completion of a row."""
        return TextPair(self.prompt_text(row), fill_pattern(self.completion, row, self.engine))

    def prompt_text(self, row: Row) -> str:
        """Return the prompt alone, as a model that is to answer receives it."""
        return fill_pattern(self.prompt, row, self.engine)

    def candidate(self, label: str) -> str:
        """Return the completion that stands for `label`, one value of the completion's only field."""
        fields = pattern_fields(self.completion, self.engine)
        if len(fields) != 1:
            raise ConfigError(
                f"Labels can be ranked when the completion has exactly one field; {self.completion!r} has "
                f"{len(fields)}."
            )
        try:
            return fill_pattern(self.completion, {fields[0]: label}, self.engine)
        except DataError as error:
            raise ConfigError(
                f"Labels can be ranked when the completion's field {fields[0]!r} is the label itself; "
                f"{self.completion!r} reads something else of it: {error}"
            ) from error

    def prompt_ending(self) -> str:
        """Return the text that every prompt ends with; a letter where it ends with a column's value."""
        ending = self.prompt.rpartition("}")[2]
        return ending or "a"


@dataclass(frozen=True)
class Chat:
    """Conversations: the assistant's turns are learned, each with the token that ends it.

    A conversation is a list of messages as OpenAI and transformers have them (`role`, `content`, `tool_calls`,
    `reasoning_content`, ...), or of ShareGPT's turns (`from`, `value`).

    Args:
        messages: The column that holds the conversation, or only its beginning where `completion` is given.
        completion: The column of the messages that follow; then only the assistant's turns among these are learned.
        tools: The column of the tools' JSON schemas (a list, or its JSON text), read where a row has it; None reads
            none.
        chat_template: A Jinja template in the place of the tokenizer's own.
        chat_template_kwargs: What the template is given besides, such as `{"enable_thinking": False}`.

    Raises:
        ConfigError: If the template is to be given what is set here.
    """

    messages: str = "messages"
    completion: str | None = None
    tools: str | None = "tools"
    chat_template: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(
        default_factory=dict, hash=False
    )  # Any: whatever the template takes

    def __post_init__(self) -> None:
        texts = {"completion": self.completion, "tools": self.tools, "chat_template": self.chat_template}
        problems = [
            f"Chat: {name}: expected text, found {value!r:.80}."
            for name, value in {"messages": self.messages, **texts}.items()
            if not isinstance(value, str) and (value is not None or name == "messages")
        ]
        if problem := option_problem(self.chat_template_kwargs):
            problems.append(problem)
        if problems:
            raise ConfigError(problems)

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that every row must have."""
        return (self.messages,) if self.completion is None else (self.messages, self.completion)

    def conversation(self, row: Row) -> Conversation:
        """Return a row's conversation.

        Raises:
            DataError: If a column is missing, or a message cannot be read.
        """
        begun = read_conversation(row, self.messages, self.tools)
        if self.completion is None:
            return begun
        return begun.followed_by(read_conversation(row, self.completion, self.tools))


def render(template: RowTemplate, row: Row) -> TextPair | Conversation:
    """Read a row with any of the three forms of a template.

    Raises:
        DataError: If the row lacks a field or the callable returns something else than promised.
    """
    if isinstance(template, PromptCompletion):
        return template.filled(row)
    if isinstance(template, Chat):
        return template.conversation(row)
    made = template(row)
    if isinstance(made, Mapping) and "messages" in made:
        return Chat().conversation(made)
    if isinstance(made, Mapping) and {"prompt", "completion"} <= set(made):
        if isinstance(made["prompt"], list):
            return Chat("prompt", "completion").conversation(made)
        return TextPair(str(made["prompt"]), str(made["completion"]))
    raise DataError(
        f"the template function returned {made!r}; expected {{'prompt': ..., 'completion': ...}} or "
        f"{{'messages': [...]}}.",
        reason="template fails",
    )
