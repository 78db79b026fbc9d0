r"""Formats of the kinds that the vocabulary head serves: conversations, prompts, summaries, translations, a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from hf_mtl.data import Chat, PromptCompletion
from hf_mtl.tasks.formats.columns import Columns, Sort
from hf_mtl.tasks.formats.reading import Reading

__all__ = ["METADATA", "text_readings"]

METADATA: Final = (
    "id", "idx", "index", "ids", "guid", "uuid", "uid", "url", "source_url", "timestamp", "date", "language", "lang",
    "prompt_id", "unnamed0", "conversation_id", "row_id", "docid", "doc_id", "license", "source_dataset",
)  # fmt: skip
_ANSWERS: Final = ("completion", "response", "output", "answer", "target", "chosen_response")
_ASKED: Final = (
    ("prompt", _ANSWERS), ("instruction", _ANSWERS), ("input", ("output", "target", "response", "completion")),
    ("source", ("target",)), ("query", ("response", "answer", "output")), ("question", ("answer", "response")),
    ("input_text", ("target_text", "output_text")), ("context", ("response",)),
)  # fmt: skip
_LONG: Final = (
    "document",
    "article",
    "dialogue",
    "dialog",
    "text",
    "report",
    "body",
    "content",
    "source",
    "story",
)
_SHORT: Final = ("summary", "highlights", "abstract", "tldr", "headline")
_LANGUAGES: Final = {
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "ga", "he", "hi", "hr", "hu",
    "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "sw",
    "ta", "th", "tr", "uk", "ur", "vi", "zh",
}  # fmt: skip
_CHATS: Final = (Sort.MESSAGES, Sort.TURNS)


def text_readings(columns: Columns) -> Iterator[Reading]:
    """Every reading of rows for a language model."""
    yield from _conversations(columns)
    yield from _prompted(columns)
    yield from _questions_on_texts(columns)
    yield from _summaries(columns)
    yield from _translations(columns)
    yield from _corpus(columns)


def _conversations(columns: Columns) -> Iterator[Reading]:
    prompt, answer = columns.named(["prompt"], *_CHATS), columns.named(["completion", "response"], *_CHATS)
    tools = tuple(columns.named(["tools"], *Sort))
    if prompt and answer:
        template = Chat(prompt[0], completion=answer[0])
        yield Reading(
            "causal-lm", "conversational prompt + completion", (*prompt, *answer, *tools), {}, template
        )
    for column in columns.holding(*_CHATS):
        if column not in (*prompt, *answer):
            form = "messages" if columns.sorts[column] is Sort.MESSAGES else "ShareGPT conversations"
            more = " with tools" if tools else ""
            yield Reading("causal-lm", f"{form} in {column!r}{more}", (column, *tools), {}, Chat(column))


def _prompted(columns: Columns) -> Iterator[Reading]:
    for asked, answers in _ASKED:
        for prompt, answer in product(columns.named([asked], Sort.TEXT), columns.named(answers, Sort.TEXT)):
            more = columns.named(["input", "context"], Sort.TEXT) if asked == "instruction" else []
            if more and all(column.isidentifier() for column in (prompt, more[0], answer)):
                # Many rows of this format have nothing in the place of the input.
                lines = f"{{{{ {prompt} }}}}\n\n{{% if {more[0]} %}}{{{{ {more[0]} }}}}\n\n{{% endif %}}"
                yield _written(f"{prompt} + {more[0]} + {answer}", (prompt, more[0], answer), lines, answer)
            elif (asked, answer) == ("prompt", "completion"):
                template = PromptCompletion(f"{{{prompt}}}", f"{{{answer}}}")
                yield Reading("causal-lm", f"{prompt} + {answer}", (prompt, answer), {}, template)
            else:
                yield from _asked(f"{{{prompt}}}\n", prompt, answer, between="")


def _questions_on_texts(columns: Columns) -> Iterator[Reading]:
    question = columns.named(["question"], Sort.TEXT)
    context = columns.named(["context", "passage", "text"], Sort.TEXT)
    for answer in columns.named(["answer"], Sort.TEXT) if question and context else ():
        prompt = f"{{{context[0]}}}\n\nQuestion: {{{question[0]}}}\nAnswer:"
        yield from _asked(prompt, context[0], question[0], answer)


def _summaries(columns: Columns) -> Iterator[Reading]:
    for text, summary in product(columns.named(_LONG, Sort.TEXT), columns.named(_SHORT, Sort.TEXT)):
        yield from _asked(f"{{{text}}}\n\nSummary:", text, summary)


def _translations(columns: Columns) -> Iterator[Reading]:
    for column in columns.holding(Sort.LANGUAGES):
        languages = columns.languages[column]
        for source, target in (
            [languages] if len(languages) == len(("from", "to")) else product(languages, repeat=2)
        ):
            if source != target and column.isidentifier():
                prompt = f"Translate {source} to {target}: {{{{ {column}[{source!r}] }}}}\nTranslation:"
                template = PromptCompletion(prompt, f" {{{{ {column}[{target!r}] }}}}", engine="jinja")
                yield Reading("causal-lm", f"{column}, {source} to {target}", (column,), {}, template)
    texts = [
        column for column in columns.holding(Sort.TEXT) if column not in columns.named(METADATA, Sort.TEXT)
    ]
    if len(texts) == len(("from", "to")) and set(texts) <= _LANGUAGES:
        source, target = texts
        prompt = f"Translate {source} to {target}: {{{source}}}\nTranslation:"
        template = PromptCompletion(prompt, f" {{{target}}}")
        yield Reading("causal-lm", f"{source} to {target}", (source, target), {}, template)


def _corpus(columns: Columns) -> Iterator[Reading]:
    """Texts and nothing else to learn from: the one column of text, beside columns that say where it is from."""
    about = columns.named(METADATA, *Sort)
    left = [
        column for column, sort in columns.sorts.items() if column not in about and sort is not Sort.NOTHING
    ]
    if len(left) == 1 and columns.sorts[left[0]] is Sort.TEXT and left[0].isidentifier():
        template = PromptCompletion("", f"{{{left[0]}}}")
        yield Reading("causal-lm", f"a corpus in {left[0]!r}", (left[0],), {}, template)


def _asked(prompt: str, *used: str, between: str = " ") -> Iterator[Reading]:
    """A prompt and the text of the last column; a format string can name columns that are words only."""
    if all(column.isidentifier() for column in used):
        template = PromptCompletion(prompt, f"{between}{{{used[-1]}}}")
        yield Reading("causal-lm", " + ".join(used), used, {}, template)


def _written(form: str, used: tuple[str, ...], prompt: str, answer: str) -> Reading:
    template = PromptCompletion(prompt, f"{{{{ {answer} }}}}", engine="jinja")
    return Reading("causal-lm", form, used, {}, template)
