r"""How a row becomes text: pieces that are read and pieces that are learned.

    >>> template = PromptCompletion("Review: {text}\nSentiment:", " {label}")
    >>> template.render({"text": "A joy.", "label": "positive"}).pieces
    (Piece(text='Review: A joy.\nSentiment:', learned=False), Piece(text=' positive', learned=True))

A task takes one of three templates: `PromptCompletion` (two format strings or Jinja templates), `Chat` (a column of
messages, rendered by the tokenizer's own chat template, the loss on the assistant's turns only), or any callable that
turns a row into `{"prompt": ..., "completion": ...}` or `{"messages": [...]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from transformers import PreTrainedTokenizerBase

from hf_mtl.data.patterns import ENGINES, fill_pattern, pattern_fields
from hf_mtl.data.rows import Row
from hf_mtl.errors import ConfigError, DataError, listing

__all__ = [
    "Chat",
    "Piece",
    "PromptCompletion",
    "Rendered",
    "RowTemplate",
    "render",
]

RowTemplate: TypeAlias = "PromptCompletion | Chat | Callable[[Row], Row]"


class Piece(NamedTuple):
    """A stretch of text; `learned` says whether its tokens carry a loss."""

    text: str
    learned: bool


class Rendered(NamedTuple):
    """A row as text.

    Args:
        pieces: In order.
        special_tokens: Whether the tokenizer's begin and end tokens are to be added; a chat template writes
            its own.
    """

    pieces: tuple[Piece, ...]
    special_tokens: bool


@dataclass(frozen=True)
class PromptCompletion:
    r"""A prompt that is read and a completion that is learned, both patterns that a row's columns fill.

    Nothing is added between the two: start the completion with the space or line break that belongs there.
    The end token is appended to the completion and learned with it.

    Args:
        prompt: For example `"Review: {text}\nSentiment:"`.
        completion: For example `" {label}"`.
        engine: `"format"` for format strings with `{field}`, `"jinja"` for Jinja templates with `{{ field }}`, which
            run in a sandbox.

    Raises:
        ConfigError: If a pattern has unbalanced braces or unnamed fields, or there is no such engine.
    """

    prompt: str
    completion: str
    engine: str = "format"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(
                f"there is no template engine {self.engine!r}; choose one of {listing(ENGINES)}."
            )
        for pattern in (self.prompt, self.completion):
            for field in pattern_fields(pattern, self.engine):
                if not field.isidentifier():
                    raise ConfigError(
                        f"The template {pattern!r} has the field {{{field}}}; name a column, as in {{text}} "
                        f"(write {{{{ and }}}} for literal braces)."
                    )

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that both patterns need."""
        return tuple(
            dict.fromkeys(
                pattern_fields(self.prompt, self.engine) + pattern_fields(self.completion, self.engine)
            )
        )

    def render(self, row: Row) -> Rendered:
        """Return the prompt and the completion of a row."""
        pieces = (
            Piece(fill_pattern(self.prompt, row, self.engine), False),
            Piece(fill_pattern(self.completion, row, self.engine), True),
        )
        return Rendered(pieces, special_tokens=True)

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
        return fill_pattern(self.completion, {fields[0]: label}, self.engine)


@dataclass(frozen=True)
class Chat:
    """A column of chat messages, `[{"role": ..., "content": ...}, ...]`; the assistant's turns are learned.

    Args:
        messages: The column's name.
    """

    messages: str = "messages"

    @property
    def fields(self) -> tuple[str, ...]:
        """The column that holds the messages."""
        return (self.messages,)

    def render(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> Rendered:
        """Return a row's conversation as pieces.

        Raises:
            DataError: If the column is missing, holds no assistant turn, or the chat template does not render
                a conversation as an extension of its beginning.
        """
        return _chat_pieces(self._turns(row), tokenizer)

    def prompt_text(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> str:
        """Return a row's conversation up to the assistant's last turn, or all of it if it ends with another's.

        Raises:
            DataError: As in `render`, except that the assistant may have said nothing yet.
        """
        turns = self._turns(row)
        _check_chat(turns, tokenizer)
        asked = turns[:-1] if turns and turns[-1]["role"] == "assistant" else turns
        if not asked:
            raise DataError(f"the chat column {self.messages!r} holds no turn that could be answered.")
        return _rendered(tokenizer, asked, "", add_generation_prompt=True)

    def _turns(self, row: Row) -> Sequence[Mapping[str, str]]:
        turns: Sequence[Mapping[str, str]] | None = row.get(self.messages)
        if turns is None:
            raise DataError(f"the chat column {self.messages!r} is missing; this row has {listing(row)}.")
        return turns


def _chat_pieces(messages: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """Cut the rendered conversation after every header that opens an assistant's turn and after every turn's end."""
    _check_chat(messages, tokenizer)
    pieces: list[Piece] = []
    done = ""
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        read = _rendered(tokenizer, messages[:i], done, add_generation_prompt=True)
        turn = _rendered(tokenizer, messages[: i + 1], done + read, add_generation_prompt=False)
        pieces += [Piece(read, False), Piece(turn, True)]
        done += read + turn
    if not pieces:
        raise DataError(
            "the conversation has no turn of the role 'assistant', so there is nothing to learn from it."
        )
    return Rendered(tuple(pieces), special_tokens=False)


def _check_chat(messages: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.chat_template is None:
        raise ConfigError(
            "The tokenizer has no chat template, so chat messages cannot be rendered. Set tokenizer.chat_template, or "
            "use PromptCompletion(prompt=..., completion=...)."
        )
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
            raise DataError(f"message {i} is {message!r}; expected a mapping with 'role' and 'content'.")


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, str]],
    done: str,
    *,
    add_generation_prompt: bool,
) -> str:
    text = tokenizer.apply_chat_template(
        [dict(message) for message in messages], tokenize=False, add_generation_prompt=add_generation_prompt
    )
    if not isinstance(text, str) or not text.startswith(done):
        raise DataError(
            "the tokenizer's chat template renders a conversation differently once more turns follow, so the "
            "assistant's tokens cannot be told apart. Use PromptCompletion, or a template that only appends."
        )
    return text[len(done) :]


def render(template: RowTemplate, row: Row, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """Render a row with any of the three forms of a template.

    Raises:
        DataError: If the row lacks a field or the callable returns something else than promised.
    """
    if isinstance(template, PromptCompletion):
        return template.render(row)
    if isinstance(template, Chat):
        return template.render(row, tokenizer)
    made = template(row)
    if isinstance(made, Mapping) and "messages" in made:
        return _chat_pieces(made["messages"], tokenizer)
    if isinstance(made, Mapping) and {"prompt", "completion"} <= set(made):
        pieces = (Piece(str(made["prompt"]), False), Piece(str(made["completion"]), True))
        return Rendered(pieces, special_tokens=True)
    raise DataError(
        f"the template function returned {made!r}; expected {{'prompt': ..., 'completion': ...}} or "
        f"{{'messages': [...]}}."
    )
