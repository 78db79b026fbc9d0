"""A tokenizer's chat template, asked so that nothing of a row is lost and every refusal says what it was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from hf_mtl.bounded_json import parse_json
from hf_mtl.data.conversation import Conversation, Message
from hf_mtl.data.plain_data import plain
from hf_mtl.errors import ConfigError, DataError, listing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatTemplate", "option_problem"]

# What jinja raises, and what a template's expressions do where a message is not what they expect.
_REFUSALS = (
    TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
    SyntaxError,
)  # fmt: skip
_MARKS = re.compile(r"{%[-+]?\s*generation\s*[-+]?%}")
_OURS = (
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation", "max_length", "padding",
    "return_assistant_tokens_mask", "return_dict", "return_tensors", "tokenize", "tokenizer_kwargs", "tools",
    "truncation",
)  # fmt: skip


def option_problem(options: Mapping[str, object]) -> str | None:
    """What is wrong with a chat template's options; None if nothing is.

    >>> option_problem({"enable_thinking": False})
    >>> option_problem({"tokenize": False})[:43]
    "chat_template_kwargs cannot set 'tokenize',"
    """
    taken = [name for name in options if name in _OURS]
    if not taken:
        return None
    return (
        f"chat_template_kwargs cannot set {listing(taken)}, which is set here; give what the template itself reads, "
        f"such as enable_thinking."
    )


@dataclass(frozen=True)
class ChatTemplate:
    """A tokenizer's chat template.

    Args:
        tokenizer: The base's tokenizer.
        source: A template in the place of the tokenizer's own.
        options: What the template is given besides messages and tools.

    Raises:
        ConfigError: If there is no template.
    """

    tokenizer: PreTrainedTokenizerBase
    source: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # Any: whatever the template takes

    def __post_init__(self) -> None:
        from transformers import PreTrainedTokenizerBase

        kind = type(self.tokenizer)
        if kind.apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template:
            raise ConfigError(
                f"{kind.__name__} writes chats by Python code of its own, which takes no chat template and knows no "
                f"limits. Save its tokenizer in the usual form, AutoTokenizer.from_pretrained(SOURCE, "
                f"mistral_format=False).save_pretrained(FOLDER), and give that; or use PromptCompletion(prompt=..., "
                f"completion=...)."
            )
        if self.tokenizer.chat_template is None and self.source is None:
            raise ConfigError(
                "The tokenizer has no chat template, so chat messages cannot be rendered. Give one "
                "(Chat(chat_template=...), or tokenizer.chat_template), or use PromptCompletion(prompt=..., "
                "completion=...)."
            )

    def text(self, messages: Sequence[Message], tools: list[Any] | None, *, prompt: bool) -> str:
        """Messages as text.

        Args:
            messages: The messages.
            tools: The JSON schemas of the tools.
            prompt: Whether the header of the assistant's next turn follows (`add_generation_prompt`).

        Raises:
            DataError: If the template refuses the messages.
        """
        text: str = self._applied(messages, tools, tokenize=False, add_generation_prompt=prompt)
        return text

    @cached_property
    def marks(self) -> bool:
        """Whether the template marks the assistant's tokens (`{% generation %}`)."""
        if not self.tokenizer.is_fast:  # then transformers cannot say which tokens are marked
            return False
        try:
            return _MARKS.search(self.tokenizer.get_chat_template(self.source)) is not None
        except ValueError:  # of several named templates without a default
            return False

    def marked(self, conversation: Conversation) -> tuple[str, list[tuple[int, int]]]:
        """The text of a conversation, and the characters that the template marks as the assistant's.

        `apply_chat_template` gives a mask of tokens instead, which ends at a turn that begins with a character
        without a token, and cuts the last character's tokens down to the first.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        from hf_mtl.data.template_chat import check_constants

        special = dict(self.tokenizer.special_tokens_map)
        self.text(conversation.messages, conversation.tools, prompt=False)  # within the limits
        with self._refusing(conversation.messages):
            source = self.tokenizer.get_chat_template(self.source, conversation.tools)
            check_constants(source)
            rendered: Any = render_jinja_template(  # Any: its annotation is not what it returns
                [[self._present(message) for message in conversation.messages]],
                tools=plain(conversation.tools),  # type: ignore[arg-type]  # a list
                chat_template=source,
                return_assistant_tokens_mask=True,
                **(special | self._plain_options),
            )
        (text,), (spans,) = rendered
        return text, [(start, end) for start, end in spans]

    def checked_text(self, conversation: Conversation) -> str:
        """A whole conversation as text, of which nothing is left out.

        Raises:
            DataError: Naming the message and what is left out.
        """
        messages, tools = conversation.messages, conversation.tools
        text = self.text(messages, tools, prompt=False)
        way = "Give a template that writes it (chat_template=...), or take it out of the rows."
        if tools and self._same(text, messages, None):
            raise DataError(f"the chat template leaves out the row's tools. {way}", reason="malformed chat")
        for i, message in enumerate(messages):
            content = (message["content"] or "").strip()
            changed = {**message, "content": f"{content} 0"}
            if content and content not in text and self._same(text, _with(messages, i, changed), tools):
                raise DataError(
                    f"the chat template leaves out the content of message {i} of the role {message['role']!r}. {way}",
                    reason="malformed chat",
                )
            upto = messages[: i + 1]
            for part in ("tool_calls", "reasoning_content"):
                if part in message and i in conversation.answers:
                    less = {key: value for key, value in message.items() if key != part}
                    less["content"] = less["content"] or ""
                    written = self.text(upto, tools, prompt=False)
                    if self._same(written, _with(upto, i, less), tools):
                        raise DataError(
                            f"the chat template leaves out the {part} of message {i}. {way}",
                            reason="malformed chat",
                        )
        return text

    def _same(self, text: str, messages: Sequence[Message], tools: list[Any] | None) -> bool:
        try:
            return self.text(messages, tools, prompt=False) == text
        except DataError:
            return False

    def _applied(
        self,
        messages: Sequence[Message],
        tools: list[Any] | None,
        **how: Any,  # Any: how the result is wanted
    ) -> Any:  # Any: a text, or tokens and mask
        """The template on messages."""
        with self._refusing(messages):
            return self._limited([self._message(message) for message in messages], tools, **how)

    @property
    def _plain_options(self) -> dict[str, Any]:  # Any: of plain data, whatever the template takes
        return {name: plain(value) for name, value in self.options.items()}

    def _limited(
        self,
        messages: Sequence[Message],
        tools: list[Any] | None,
        **how: Any,  # Any: as above
    ) -> Any:  # Any: as above
        """The template on plain data, within the limits of templates."""
        from hf_mtl.data.template_budget import limited
        from hf_mtl.data.template_chat import limited_tree

        # Any: transformers takes a text, and hands on to Jinja what it is given
        template: Any = limited_tree(self.tokenizer.get_chat_template(self.source, tools))
        shown, called = [plain(message) for message in messages], plain(tools)
        with limited(shown, called):
            return self.tokenizer.apply_chat_template(
                shown,  # type: ignore[arg-type]  # plain messages are dicts
                tools=called,  # type: ignore[arg-type]  # a list
                chat_template=template,
                **how,
                **self._plain_options,
            )

    @contextmanager
    def _refusing(self, messages: Sequence[Message]) -> Iterator[None]:
        """Every error from below says what the template was given."""
        try:
            yield
        except _REFUSALS as error:
            roles = ", ".join(message["role"] for message in messages)
            raise DataError(
                f"the chat template refuses the messages with the roles {roles}: {error}. Change the rows, or give a "
                f"template that takes them (chat_template=...).",
                reason="malformed chat",
            ) from error

    def _present(self, message: Message) -> Message:
        """A message as `apply_chat_template` hands it on: without what is None."""
        return {key: value for key, value in self._message(message).items() if value is not None}

    def _message(self, message: Message) -> Message:
        """A message in the form that this template takes."""
        fitted: Message = {key: plain(value) for key, value in message.items()}
        if fitted["content"] is None and self._wants_text:
            fitted["content"] = ""
        if self._escapes_arguments and fitted.get("tool_calls"):
            fitted["tool_calls"] = [_with_parsed_arguments(call) for call in fitted["tool_calls"]]
        return fitted

    @cached_property
    def _wants_text(self) -> bool:
        """Whether the template fails on a call of a tool without content, or prints the word None."""
        try:
            return self._probe_of_calls(None, {}).count("None") > self._probe_of_calls("", {}).count("None")
        except _REFUSALS:
            return True

    @cached_property
    def _escapes_arguments(self) -> bool:
        """Whether the template writes the arguments of a call, given as JSON text, as a text in quotes."""
        try:
            return '{"x": 1}' not in self._probe_of_calls("", '{"x": 1}')
        except _REFUSALS:
            return True

    def _probe_of_calls(self, content: str | None, arguments: object) -> str:
        call = {
            "id": "123456789",
            "type": "function",
            "function": {"name": "f", "arguments": arguments},
        }
        messages: list[Message] = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": content, "tool_calls": [call]},
        ]
        return str(self._limited(messages, None, tokenize=False))


def _with(messages: Sequence[Message], number: int, message: Message) -> list[Message]:
    return [*messages[:number], message, *messages[number + 1 :]]


def _with_parsed_arguments(call: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: JSON
    function = call.get("function", call)
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        return call
    try:
        parsed = {**function, "arguments": parse_json(arguments)}
    except ValueError as error:
        raise DataError(
            f"the arguments of a call of {function.get('name')!r} are {arguments!r:.80}, which is no JSON: {error}",
            reason="malformed chat",
        ) from error
    return {**call, "function": parsed} if "function" in call else parsed
