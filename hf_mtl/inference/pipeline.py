"""Answers to inputs of many tasks, in any mix.

pipe = MultiTaskPipeline.from_pretrained("runs/mine")
pipe([
    ("sentiment", "great"),
    ("names", "John lives in Paris", {"aggregation_strategy": "simple"}),
    ("questions", {"question": "Where does John live?", "context": "John lives in Paris."}),
])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, overload

import torch
from rich.progress import Progress
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import check_ends
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.inference.forms import forms_of
from hf_mtl.inference.passes import run_heads
from hf_mtl.inference.queries import Answerer, Asked, asked_of
from hf_mtl.inference.writing import requests_of, run_writing
from hf_mtl.models import GenerationRequest, RoutedModel, SavedSuite, context_on
from hf_mtl.notices import logger_of
from hf_mtl.tasks import Found, Processor, Task, TaskForm
from hf_mtl.terminal import Terminal

__all__ = ["MultiTaskPipeline"]

logger = logger_of(__name__)

TOKEN_BUDGET = 8192
WINDOW = 512  # inputs that are made ready together where they come one by one

Result = Any  # what the task's kind gives
Each = TypeVar("Each")
Item = tuple[str, Any] | tuple[str, Any, Mapping[str, Any]]  # a task, an input of its kind's forms, options


class MultiTaskPipeline:
    """Answers inputs of many tasks, in any mix, in the forms that `transformers.pipeline` gives for each kind of task.

    The inputs of all tasks that heads answer go through the base together, in mixed batches.

    Args:
        model: The routed model; it is moved nowhere.
        processor: The base's tokenizer or image processor.
        forms: By route, what is known of its task: a `TaskForm`, or the task itself. Of a route that is not here, the
            kind follows from its head, and its labels are `LABEL_0` and so on where the model knows none.
        token_budget: Most tokens of a pass; a longer sequence goes alone.

    Raises:
        ConfigError: If a form is for no route of the model, fits neither base nor head, or the tokenizer is another
            than that by which the ends of a task's answers are known.
    """

    def __init__(
        self,
        model: RoutedModel,
        processor: Processor,
        forms: Mapping[str, TaskForm | Task] = MappingProxyType({}),
        *,
        token_budget: int = TOKEN_BUDGET,
    ) -> None:
        if token_budget < 1:
            raise ConfigError(f"token_budget must be at least 1, found {token_budget!r}.")
        known = {name: TaskForm.of(own) if isinstance(own, Task) else own for name, own in forms.items()}
        self.model = model
        self.processor = processor
        self.forms = forms_of(model, known)
        self.token_budget = token_budget
        if isinstance(processor, PreTrainedTokenizerBase):
            check_ends({name: form.ends for name, form in self.forms.items()}, processor)
        self._tasks = {name: self._answerer(name, form) for name, form in self.forms.items()}

    def _answerer(self, name: str, form: TaskForm) -> Answerer:
        context = context_on(self.model, name, form.declared, self.processor)
        end_ids = tuple(end.id for end in form.ends)
        return Answerer(name, form.kind, context, self.model.virtual_tokens(name), end_ids)

    @classmethod
    def from_pretrained(
        cls,
        suite: str | Path,
        *,
        base: str | Path | None = None,
        dtype: str | None = None,
        quantization: str | None = None,
        token: str | None = None,
        allow_pickle: bool = False,
        token_budget: int = TOKEN_BUDGET,
    ) -> MultiTaskPipeline:
        """Open the folder of a run, a suite or one adapter, or a suite on the Hub; on the GPU if there is one.

        Args:
            suite: The folder with `hf_mtl.json`, or `user/suite` or `user/suite@revision`; or one task of either, as
                `user/suite:task`.
            base: Where the base is loaded from; default: where it was when the adapters were saved, or its Hub id.
            dtype: The base's dtype; default that of its files.
            quantization: As in `load_base`.
            token: For private repositories; default: that of `hf auth login`.
            allow_pickle: Whether the base's weights may be pickles, as in `load_base`.
            token_budget: Most tokens of a pass.

        Raises:
            CheckpointError: If a part is missing or broken, or the base is not the one of the adapters.
        """
        saved = SavedSuite.find(suite, token=token)
        model = saved.load(base=base, dtype=dtype, quantization=quantization, allow_pickle=allow_pickle)
        processor = saved.processor(model)
        if torch.cuda.is_available():
            model.to("cuda")
        return cls(model, processor, model.forms, token_budget=token_budget)

    @overload
    def __call__(
        self,
        inputs: Sequence[Item],
        *,
        token_budget: int | None = None,
        progress: bool = False,
    ) -> list[Result]: ...

    @overload
    def __call__(
        self, inputs: Iterator[Item], *, token_budget: int | None = None, progress: bool = False
    ) -> Iterator[Result]: ...

    def __call__(
        self, inputs: Iterable[Item], *, token_budget: int | None = None, progress: bool = False
    ) -> list[Result] | Iterator[Result]:
        """Answer inputs.

        Args:
            inputs: `(task, input)` or `(task, input, options)`; what inputs and options a kind takes is described in
                `docs/inference.md`. A list is checked as a whole before anything is run; of any other iterable,
                some hundred inputs are read, checked and answered at a time.
            token_budget: Most tokens of a pass; default that of the pipeline.
            progress: Whether to show a bar, on the standard error output.

        Returns:
            The results in the order of the inputs: a list for a list, else an iterator.

        Raises:
            DataError: If inputs cannot be used: each is listed with its number, counted from 1, its task and what was
                expected.
        """
        budget = self.token_budget if token_budget is None else token_budget
        if isinstance(inputs, Sequence):
            with _bar(len(inputs), shown=progress) as bar:
                return self._answers(enumerate(inputs, start=1), budget, bar)
        return self._lazily(inputs, budget, progress=progress)

    def prompt(self, task: str, given: object) -> str:
        """The text that an input becomes for an adapter that continues it.

        Raises:
            DataError: If the input cannot be used, or the task writes nothing.
        """
        [asked] = asked_of([(1, (task, given))], self._tasks)
        if asked.query.prompt is None:
            raise DataError(f"task {task!r} continues no prompts; its kind is {asked.task.kind.name!r}.")
        return asked.query.prompt

    def _lazily(self, inputs: Iterable[Item], token_budget: int, *, progress: bool) -> Iterator[Result]:
        with _bar(None, shown=progress) as bar:
            for window in _windows(enumerate(inputs, start=1)):
                yield from self._answers(window, token_budget, bar)

    def _answers(
        self, inputs: Iterable[tuple[int, object]], token_budget: int, bar: Progress
    ) -> list[Result]:
        asked = asked_of(inputs, self._tasks)
        written = [own for own in asked if own.query.prompt is not None]
        requests = self._requests(written)
        _warn_of_truncation(asked)
        was_training = self.model.training
        self.model.eval()
        results: dict[int, Result] = {}
        try:
            for own, found in chain(self._by_heads(asked, token_budget), self._by_writing(written, requests)):
                results[own.number] = own.task.kind.reply(own.query, found, own.task.context)
                bar.advance(bar.task_ids[0])
        finally:
            self.model.train(was_training)
        return [results[own.number] for own in asked]

    def _by_heads(self, asked: list[Asked], token_budget: int) -> Iterator[tuple[Asked, Found]]:
        run = [own for own in asked if own.query.examples]
        yield from ((own, Found()) for own in asked if not own.query.examples and own.query.prompt is None)
        for window in _windows(iter(run)):
            yield from run_heads(self.model, window, token_budget)

    def _requests(self, written: list[Asked]) -> list[GenerationRequest]:
        if not written:
            return []
        assert isinstance(self.processor, PreTrainedTokenizerBase)  # which has made the prompts
        return requests_of(self.model, self.processor, written)

    def _by_writing(
        self, written: list[Asked], requests: list[GenerationRequest]
    ) -> Iterator[tuple[Asked, Found]]:
        if written:
            assert isinstance(self.processor, PreTrainedTokenizerBase)
            yield from run_writing(self.model, self.processor, written, requests)


def _windows(items: Iterator[Each]) -> Iterator[list[Each]]:
    while window := list(islice(items, WINDOW)):
        yield window


def _bar(total: int | None, *, shown: bool) -> Progress:
    bar = Progress(console=Terminal(stderr=True), disable=not shown)
    bar.add_task("Answering", total=total)
    return bar


def _warn_of_truncation(asked: Iterable[Asked]) -> None:
    cut = [own for own in asked if own.truncated]
    if cut:
        logger.warning(
            "%d inputs are longer than their task's max_length or the base's positions, and only their beginnings are "
            "read; the first is input %d (task %r).",
            len(cut),
            cut[0].number,
            cut[0].task.name,
        )
