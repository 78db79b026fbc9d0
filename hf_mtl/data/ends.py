"""The tokens that end completions, found out from what is learned.

What a task learns last is what must stop its generation: the tokenizer's end token, or whatever the chat template
writes behind an assistant's turn (`<|im_end|>`, `<|eot_id|>`, `<end_of_turn>`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_mtl.data.examples import Example
from hf_mtl.data.tokens import added_ids
from hf_mtl.errors import ConfigError, listing
from hf_mtl.notices import logger_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["EndFinder", "EndToken", "answer_text", "check_ends", "last_run"]

logger = logger_of(__name__)

_SHOWN = 8  # tokens of a completion's end that a message shows


class EndToken(NamedTuple):
    """A token that ends completions.

    Args:
        id: Its id.
        text: Its text in the vocabulary, by which another tokenizer is recognised.
    """

    id: int
    text: str


def last_run(positions: Sequence[int]) -> int:
    """Where the last run of consecutive positions begins.

    >>> last_run([3, 4, 9, 10, 11])
    2
    """
    start = len(positions) - 1
    while start > 0 and positions[start - 1] == positions[start] - 1:
        start -= 1
    return start


def answer_text(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """A completion as generation gives it: without its end and without special tokens."""
    place = _Stops.of(tokenizer).place(ids)
    return str(tokenizer.decode(list(ids if place is None else ids[:place]), skip_special_tokens=True))


def check_ends(ends: Mapping[str, Iterable[EndToken]], tokenizer: PreTrainedTokenizerBase) -> None:
    """Check the ends of tasks against a tokenizer.

    Raises:
        ConfigError: If a token has another text there.
    """
    problems = []
    for task, own in ends.items():
        for end in own:
            found = tokenizer.convert_ids_to_tokens(end.id) if 0 <= end.id < len(tokenizer) else None
            if found != end.text:
                problems.append(
                    f"task {task!r}: its completions end with the token {end.id}, {end.text!r}, and the tokenizer has "
                    f"{found!r} there. Use the tokenizer that was saved beside the adapter."
                )
    if problems:
        raise ConfigError(problems)


class EndFinder:
    """Finds the tokens that end one task's completions in its encoded rows.

    Args:
        task: The task's name.
        tokenizer: The base's tokenizer.
        sink: Where the ends go, under the task's name, as they are found.

    Example:
        ```python
        finder = EndFinder("chat", tokenizer, model.ends)
        finder.add(examples)
        finder.problem()  # None, or why nothing could stop the task's answers
        ```
    """

    def __init__(
        self,
        task: str,
        tokenizer: PreTrainedTokenizerBase,
        sink: dict[str, tuple[EndToken, ...]],
    ) -> None:
        self._task = task
        self._tokenizer = tokenizer
        self._sink = sink
        self._stops = _Stops.of(tokenizer)
        self._ended: Counter[int] = Counter()
        self._inside: Counter[int] = Counter()
        self._endless = 0
        self._cut = 0
        self._sample: tuple[int, ...] = ()

    @property
    def ids(self) -> list[int]:
        """The ends that were found, ascending."""
        return sorted(self._ended)

    def add(self, examples: Iterable[Example]) -> None:
        """Look at the completions of further rows."""
        before = len(self._ended)
        for example in examples:
            self._take(example.label_positions, example.label_ids, cut=example.truncated)
        if len(self._ended) > before:
            self._tell()

    def add_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:  # Any: lists of the fields of `Example`
        """Look at encoded rows that are stored: batches of columns."""
        for batch in rows:
            for positions, ids, cut in zip(
                batch["label_positions"], batch["label_ids"], batch["truncated"], strict=True
            ):
                self._take(positions, ids, cut=cut)
        self._tell()

    def add_ids(self, ids: Iterable[int]) -> None:
        """Take ends that an earlier part of the run has found."""
        self._ended.update(ids)
        self._tell()

    def problem(self) -> str | None:
        """Why nothing could stop generation; None if something can, or no completion was seen to its end."""
        if self._ended or not self._endless:
            return None
        shown = self._tokenizer.decode(list(self._sample[-_SHOWN:]))
        return (
            f"its completions end with nothing that can stop generation: they end with plain text, such as {shown!r}, "
            f"so that answers would go on to max_new_tokens. Let the chat template end the assistant's turns with an "
            f"end token ({{{{ eos_token }}}}, or a token that was added to the tokenizer), or use "
            f"PromptCompletion(prompt=..., completion=...), which ends every completion with the tokenizer's eos_token."
        )

    def warn(self) -> None:
        """Say in the log what the user should know of ends that are not the same throughout."""
        if self._ended and self._endless:
            logger.warning(
                "task %r: %d of its completions end with no token that can stop generation (the others with %s); what "
                "is learned from them is to go on. Look at the chat template.",
                self._task, self._endless, self._named(self._ended),
            )  # fmt: skip
        inside = [token for token in self._ended if self._inside[token]]
        if inside:
            logger.warning(
                "task %r: %s ends some completions and stands inside %d others, which generation will cut off there. "
                "Let all completions end with a token that stands nowhere else.",
                self._task, self._named(inside), sum(self._inside[token] for token in inside),
            )  # fmt: skip
        if self._cut and not self._ended and not self._endless:
            logger.warning(
                "task %r: every completion is cut off at max_length, so that no end is learned, and only the base's "
                "end tokens stop its answers. Raise max_length if they are to end by themselves.",
                self._task,
            )

    def _named(self, ids: Iterable[int]) -> str:
        return listing(str(self._tokenizer.convert_ids_to_tokens(token)) for token in sorted(ids))

    def _tell(self) -> None:
        if self._ended:
            texts = self._tokenizer.convert_ids_to_tokens(self.ids)
            self._sink[self._task] = tuple(map(EndToken, self.ids, map(str, texts)))

    def _take(self, positions: Sequence[int], ids: Sequence[int], *, cut: bool) -> None:
        runs = list(_runs(positions, ids))
        if cut and runs:  # the last completion may have lost its end
            self._cut += 1
            runs.pop()
        for run in runs:
            place = self._stops.place(run)
            if place is None:
                self._endless += 1
                self._sample = self._sample or tuple(run)
                continue
            self._ended[run[place]] += 1
            self._inside.update(set(run[:place]) & self._stops.ids)


def _runs(positions: Sequence[int], ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """The ids of each run of consecutive positions."""
    start = 0
    for i in range(1, len(positions) + 1):
        if i == len(positions) or positions[i] != positions[i - 1] + 1:
            yield ids[start:i]
            start = i


class _Stops:
    """Which tokens of a tokenizer can stop generation: special ones and those that were added, never plain text.

    A plain token, such as a line break, stands inside answers too.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.ids = added_ids(tokenizer)
        self._tokenizer = tokenizer
        self._blank: dict[int, bool] = {}

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> _Stops:
        """Those of a tokenizer, found out once for each vocabulary."""
        return _stops_of(tokenizer, len(tokenizer), tuple(tokenizer.all_special_ids))

    def place(self, run: Sequence[int]) -> int | None:
        """The place of the token that ends a completion; only white space may stand behind it."""
        for i in range(len(run) - 1, -1, -1):
            token = int(run[i])
            if token in self.ids:
                return i
            if not self._is_blank(token):
                return None
        return None

    def _is_blank(self, token: int) -> bool:
        if token not in self._blank:
            self._blank[token] = not str(self._tokenizer.decode([token])).strip()
        return self._blank[token]


@lru_cache(maxsize=8)
def _stops_of(tokenizer: PreTrainedTokenizerBase, size: int, special: tuple[int, ...]) -> _Stops:
    return _Stops(tokenizer)
