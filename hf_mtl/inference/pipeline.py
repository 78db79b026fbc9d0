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
from typing import Any, overload

import torch
from rich.progress import Progress
from transformers import PreTrainedTokenizerBase

from hf_mtl.bounds import COUNT
from hf_mtl.data import check_ends
from hf_mtl.errors import ConfigError, DataError, HfMtlError
from hf_mtl.inference.forms import forms_of
from hf_mtl.inference.inputs import WINDOW, Input, windows_of
from hf_mtl.inference.passes import run_heads
from hf_mtl.inference.queries import Answerer, Asked, asked_of, unusable
from hf_mtl.inference.truncated import Truncated
from hf_mtl.inference.writing import requests_of, run_writing
from hf_mtl.models import GenerationRequest, RoutedModel, SavedSuite, context_on
from hf_mtl.tasks import Found, Processor, Task, TaskForm
from hf_mtl.terminal import Terminal

__all__ = ["MultiTaskPipeline"]

TOKEN_BUDGET = 8192

Result = Any  # what the task's kind gives
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
        _check_budget(token_budget)
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
                `docs/inference.md`. A list is checked as a whole before anything is run; of any other iterable, first
                16 and then up to 512 inputs are read, checked and answered at a time.
            token_budget: Most tokens of a pass; default that of the pipeline.
            progress: Whether to show a bar, on the standard error output.

        Returns:
            The results in the order of the inputs: a list for a list, else an iterator.

        Raises:
            ConfigError: If `token_budget` is no whole number above 0.
            DataError: If inputs cannot be used: each is listed with its number, counted from 1, its task and what was
                expected. Of an iterator, those before the first of them have been answered.
        """
        if token_budget is not None:
            _check_budget(token_budget)
        if not isinstance(inputs, Sequence):
            answered = self.by_windows(windows_of(inputs), token_budget=token_budget, progress=progress)
            return (result for window in answered for _, result in window)
        asked, requests, error = self._ready([Input(i, item) for i, item in enumerate(inputs, start=1)])
        if error is not None:
            raise error
        Truncated().add(asked)
        with _bar(len(inputs), shown=progress) as bar:
            return [result for _, result in self._run(asked, requests, token_budget, bar)]

    def by_windows(
        self,
        windows: Iterable[Sequence[Input]],
        *,
        token_budget: int | None = None,
        progress: bool = False,
        total: int | None = None,
    ) -> Iterator[list[tuple[Asked, Result]]]:
        """Answer inputs window by window; a window is read when the one before it has been answered.

        Args:
            windows: Inputs that are answered together, numbered in their order.
            token_budget: Most tokens of a pass; default that of the pipeline.
            progress: Whether to show a bar, on the standard error output.
            total: How many inputs there are, for the bar, if it is known.

        Yields:
            For each window its inputs, as they were read, with their results.

        Raises:
            DataError: If inputs of a window cannot be used; those before the first of them have been answered.
            ConfigError: If options do not go together; as above.
        """
        cut = Truncated()
        with _bar(total, shown=progress) as bar, cut:
            for window in windows:
                asked, requests, error = self._ready(window)
                cut.add(asked)
                yield self._run(asked, requests, token_budget, bar)
                if error is not None:
                    raise error

    def prompt(self, task: str, given: object) -> str:
        """The text that an input becomes for an adapter that continues it.

        Raises:
            DataError: If the input cannot be used, or the task writes nothing.
        """
        ready, problems = asked_of([Input(1, (task, given))], self._tasks)
        if problems:
            raise unusable([*problems.values()], 1)
        [asked] = ready
        if asked.query.prompt is None:
            raise DataError(f"task {task!r} continues no prompts; its kind is {asked.task.kind.name!r}.")
        return asked.query.prompt

    def _ready(
        self, inputs: Sequence[Input]
    ) -> tuple[list[Asked], dict[int, GenerationRequest], HfMtlError | None]:
        """The inputs before the first that cannot be used, what a decoder is asked for them, and what is wrong."""
        asked, problems = asked_of(inputs, self._tasks)
        error: HfMtlError | None = None
        if problems:
            error = unusable([*problems.values()], len(inputs))
            asked = [own for own in asked if own.number < min(problems)]
        requests, refused = self._requests([own for own in asked if own.query.prompt is not None])
        if refused:
            error = ConfigError([problem for each in refused.values() for problem in each])
            asked = [own for own in asked if own.number < min(refused)]
        return asked, requests, error

    def _run(
        self,
        asked: list[Asked],
        requests: Mapping[int, GenerationRequest],
        token_budget: int | None,
        bar: Progress,
    ) -> list[tuple[Asked, Result]]:
        budget = self.token_budget if token_budget is None else token_budget
        was_training = self.model.training
        self.model.eval()
        results: dict[int, Result] = {}
        try:
            for own, found in chain(self._by_heads(asked, budget), self._by_writing(asked, requests)):
                results[own.number] = own.task.kind.reply(own.query, found, own.task.context)
                bar.advance(bar.task_ids[0])
        finally:
            self.model.train(was_training)
        return [(own, results[own.number]) for own in asked]

    def _by_heads(self, asked: list[Asked], token_budget: int) -> Iterator[tuple[Asked, Found]]:
        run = [own for own in asked if own.query.examples]
        yield from ((own, Found()) for own in asked if not own.query.examples and own.query.prompt is None)
        queries = iter(run)
        while window := list(islice(queries, WINDOW)):
            yield from run_heads(self.model, window, token_budget)

    def _requests(self, written: list[Asked]) -> tuple[dict[int, GenerationRequest], dict[int, list[str]]]:
        if not written:
            return {}, {}
        assert isinstance(self.processor, PreTrainedTokenizerBase)  # which has made the prompts
        return requests_of(self.model, self.processor, written)

    def _by_writing(
        self, asked: list[Asked], requests: Mapping[int, GenerationRequest]
    ) -> Iterator[tuple[Asked, Found]]:
        written = [own for own in asked if own.query.prompt is not None]
        if written:
            assert isinstance(self.processor, PreTrainedTokenizerBase)
            yield from run_writing(self.model, self.processor, written, requests)


def _check_budget(token_budget: int) -> None:
    if (problem := COUNT.problem(token_budget)) is not None:
        raise ConfigError(f"token_budget: {problem}")


def _bar(total: int | None, *, shown: bool) -> Progress:
    bar = Progress(console=Terminal(stderr=True), disable=not shown)
    bar.add_task("Answering", total=total)
    return bar
