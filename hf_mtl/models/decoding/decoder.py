"""Many texts at once, each through its own route: requests join at any step and leave when they have ended."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_mtl.bounds import COUNT, bound_problems
from hf_mtl.data import BEYOND_VOCABULARY, PaddedLayout, check_ends, unknown_token
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.models.architectures import positions_of
from hf_mtl.models.decoding.packed import PackedRows
from hf_mtl.models.decoding.padded import write_padded
from hf_mtl.models.decoding.row import Row
from hf_mtl.models.decoding.sampling import choose
from hf_mtl.models.decoding.settings import Event, Generation, GenerationRequest
from hf_mtl.models.ends import base_end_ids
from hf_mtl.models.layouts import vocabulary_of
from hf_mtl.models.routed_model import RoutedModel
from hf_mtl.models.writers import writing_problem

__all__ = ["Decoder"]

_ENDLESS = 1 << 62


class Decoder:
    """Writes texts for requests of any routes, together.

    On a packed decoder, each step first runs the prompts of newcomers, as one stream, and then one token of every row.
    On other bases (encoder-decoders) a step answers a whole batch at once. Not for several threads at a time. The
    adapters' weights must not change while requests are in flight.

    Args:
        model: A routed model whose base writes text.
        tokenizer: The base's tokenizer.
        max_rows: Most texts that are written at a time; further requests wait.
        token_budget: Most tokens of prompts that one step runs, virtual ones included; a longer prompt goes alone.

    Raises:
        ConfigError: If the base writes no text, a bound is not positive, or the tokenizer is not that of the tasks.

    Example:
        ```python
        decoder = Decoder(model, tokenizer)
        number = decoder.add(GenerationRequest("summary", tuple(tokenizer("Once").input_ids)))
        while decoder.busy:
            for event in decoder.step():
                print(event.request, event.text)
        ```
    """

    def __init__(
        self,
        model: RoutedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_rows: int = 64,
        token_budget: int = 4096,
    ) -> None:
        _check(model, max_rows, token_budget)
        check_ends(model.ends, tokenizer)
        self._model = model
        self._tokenizer = tokenizer
        self._max_rows = max_rows
        self._token_budget = token_budget
        self._end_ids = {*base_end_ids(model.base), tokenizer.eos_token_id} - {None}
        self._penalty = _penalty(model)
        self._vocabulary = vocabulary_of(model.base)
        self._positions = positions_of(model.base.config.to_dict(), model.architecture)
        self._packed = PackedRows(model) if model.architecture.packed else None
        self._waiting: deque[Row] = deque()
        self._count = 0

    @property
    def busy(self) -> bool:
        """Whether there is a request that has not ended."""
        return bool(self._waiting or self._running)

    @property
    def waiting(self) -> int:
        """How many requests have not begun."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many texts are being written."""
        return len(self._running)

    @property
    def _running(self) -> Sequence[Row]:
        return () if self._packed is None else self._packed.rows

    def add(self, request: GenerationRequest) -> int:
        """Take up a request; it begins at the next step that has room.

        Returns:
            Its number, which its events carry.

        Raises:
            ConfigError: If there is no such route, or it ends in a head of its own.
            DataError: If the prompt is empty, holds a token that the base does not know, or is too long for it.
        """
        return self._add(request, streams=True).number

    def cancel(self, number: int) -> None:
        """Drop a request, wherever it stands; there will be no event of it. A number that has ended is left alone."""
        self._waiting = deque(row for row in self._waiting if row.number != number)
        if self._packed is not None:
            self._packed.remove([row for row in self._packed.rows if row.number == number])

    def step(self) -> list[Event]:
        """Write one token of every text, and begin as many requests as the token budget allows.

        A request that begins writes its first token and, unless that ends it, its second one.

        Returns:
            The new tokens, the first one of a request first; empty if nothing is to be done.
        """
        with self._inference():
            return [*self._begin(), *self._advance()]

    def generate(self, requests: Iterable[GenerationRequest]) -> list[Generation]:
        """Answer requests.

        Returns:
            The answers, in the requests' order.

        Raises:
            ConfigError: As `add`, or if other requests are in flight.
            DataError: As `add`.
        """
        self._refuse_busy()
        rows = self._add_all(requests, streams=False)
        with self._dropping(rows), self._inference():
            while self.busy:
                while self._begin():  # offline, full steps matter more than the next token's delay
                    pass
                self._advance()
        return [row.generation() for row in rows]

    def stream(self, requests: Iterable[GenerationRequest]) -> Iterator[Event]:
        """Answer requests token by token; their numbers count from 0 in their order.

        Yields:
            Events, as the tokens are written. An iterator that is given up drops what has not ended.

        Raises:
            ConfigError: As `generate`.
            DataError: As `add`.
        """
        self._refuse_busy()
        rows = self._add_all(requests, streams=True)
        place = {row.number: i for i, row in enumerate(rows)}
        with self._dropping(rows):
            while self.busy:
                for event in self.step():
                    yield Event(place[event.request], event.token_id, event.text, event.finish)

    def _refuse_busy(self) -> None:
        if self.busy:
            raise ConfigError(
                f"This decoder has {self.running + self.waiting} requests in flight. Call step() until it is no longer "
                f"busy, or use another Decoder on the same model."
            )

    def _add_all(self, requests: Iterable[GenerationRequest], *, streams: bool) -> list[Row]:
        """Take up all requests, or none."""
        rows: list[Row] = []
        try:
            for request in requests:
                rows.append(self._add(request, streams=streams))
        except (ConfigError, DataError):
            self._waiting.clear()
            raise
        return rows

    def _add(self, request: GenerationRequest, *, streams: bool) -> Row:
        room = self._room(request)
        ends = () if request.route is None else self._model.ends.get(request.route, ())
        end_ids = frozenset([*self._end_ids, *(end.id for end in ends), *request.end_ids])
        row = Row(self._count, request, self._tokenizer, end_ids=end_ids, room=room, streams=streams)
        self._count += 1
        self._waiting.append(row)
        return row

    def _room(self, request: GenerationRequest) -> int:
        """Check a request; returns how many tokens can be written behind its prompt."""
        route, ids = request.route, request.input_ids
        if route is not None and self._model.route_head(route) is not None:
            raise ConfigError(f"The route {route!r} has a head of its own, which writes no text.")
        where = f"A request to {'the bare base' if route is None else f'the route {route!r}'}"
        if not ids:
            raise DataError(
                f"{where} has an empty prompt. Give at least one token, for example the begin token."
            )
        if problem := unknown_token(ids, self._vocabulary, self._tokenizer):
            raise DataError(f"{where} {problem}. {BEYOND_VOCABULARY}")
        if self._positions is None:
            return _ENDLESS
        used = self._length(request)
        if used > self._positions:
            raise DataError(
                f"{where} has a prompt of {used} tokens, virtual ones included, and the base has positions for "
                f"{self._positions}. Shorten the prompt."
            )
        # An encoder-decoder's answer begins at the decoder's own first position.
        return self._positions - (0 if self._model.config.is_encoder_decoder else used - 1)

    def _length(self, request: GenerationRequest) -> int:
        """A prompt's tokens, the virtual ones included."""
        route = request.route
        return len(request.input_ids) + (0 if route is None else self._model.virtual_tokens(route))

    @contextlib.contextmanager
    def _dropping(self, rows: Sequence[Row]) -> Iterator[None]:
        """Drop in the end what of `rows` has not ended."""
        try:
            yield
        finally:
            for row in rows:
                if row.finish is None:
                    self.cancel(row.number)

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        was_training = self._model.training
        if was_training:
            self._model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            if was_training:
                self._model.train()

    def _begin(self) -> list[Event]:
        """Run the prompts of the next requests, as many as there is room for."""
        chosen = self._next()
        if not chosen:
            return []
        if self._packed is None:
            layout = self._model.layout
            assert isinstance(layout, PaddedLayout)
            return write_padded(self._model, chosen, pad_id=layout.pad_id, penalty=self._penalty)
        return self._written(*self._packed.begin(chosen))

    def _next(self) -> list[Row]:
        """Of the waiting, in their order, those that fit; the first one if nothing else is running."""
        chosen: list[Row] = []
        tokens = 0
        while self._waiting and len(self._running) + len(chosen) < self._max_rows:
            tokens += self._length(self._waiting[0].request)
            if chosen and tokens > self._token_budget:
                break
            chosen.append(self._waiting.popleft())
        return chosen

    def _advance(self) -> list[Event]:
        if self._packed is None or not self._packed.rows:
            return []
        return self._written(*self._packed.advance())

    def _written(self, rows: list[Row], logits_NV: Tensor) -> list[Event]:
        """Choose the rows' next tokens; those that have ended leave."""
        assert self._packed is not None
        chosen = choose(logits_NV, rows, penalty=self._penalty, with_prompts=True)
        events = [row.take(token) for row, token in zip(rows, chosen, strict=True)]
        self._packed.remove([row for row in rows if row.finish is not None])
        return sorted(events, key=lambda event: event.request)


def _check(model: RoutedModel, max_rows: int, token_budget: int) -> None:
    problems = []
    if problem := writing_problem(model):
        problems.append(problem)
    sizes = {"max_rows": max_rows, "token_budget": token_budget}
    problems += bound_problems(dict.fromkeys(sizes, COUNT), sizes)
    if problems:
        raise ConfigError(problems)


def _penalty(model: RoutedModel) -> float:
    """The repetition penalty that the base's generation config asks for; 1 is none."""
    given = model.base.generation_config.repetition_penalty if model.base.can_generate() else None
    return 1.0 if given is None else given
