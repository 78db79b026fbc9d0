"""Evaluation of many tasks in shared passes."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import EvalPrediction

from hf_mtl.adapters import unchanging_weights
from hf_mtl.data import EndFinder, PackedBatch, PaddedBatch, chunk_per_route, fill_micro_batches, route_parts
from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.evaluation.figures import TaskOutcomes, figures_of
from hf_mtl.models import RoutedModel, context_of, per_sequence
from hf_mtl.tasks import Context, EncodedSplit, Labelled, Outcome, Processor, TaskSuite, encode_split

__all__ = ["Evaluator", "means"]


@dataclass(frozen=True)
class _Item:
    """One evaluated sequence, and those that are run with it to measure it."""

    task: str
    line: int
    asked: tuple[TokenSequence, ...]

    @property
    def tokens(self) -> int:
        return sum(sequence.tokens for sequence in self.asked)


_Measured = list[tuple[str, int, Outcome]]  # task, line of its encoded rows, outcome


class Evaluator:
    """Measures the tasks of a suite on their `eval` rows.

    It has the length of its passes, and gives their batches when it is iterated: what a callback of the trainer sees as
    `eval_dataloader`.

    Args:
        model: The routed model; each task names a route of it.
        processor: The base's tokenizer or image processor.
        suite: The tasks; those without `eval` rows are left out.
        token_budget: Most tokens of one pass.
        share: The number of this process and that of all; each measures its part of the rows.
        gather: Gives the values of all processes.
        forward_pass: The context of a forward pass and its losses, such as autocast.
        compute_metrics: Further figures of each task: for language models from the most likely tokens and the labels
            `[rows, longest]`, for other kinds from predictions and references in the first of their forms.
    """

    def __init__(  # noqa: PLR0913  # the keywords are each about another thing
        self,
        model: RoutedModel,
        processor: Processor,
        suite: TaskSuite,
        *,
        token_budget: int,
        share: tuple[int, int] = (0, 1),
        gather: Callable[[_Measured], list[_Measured]] = lambda own: [own],
        forward_pass: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
    ) -> None:
        self.compute_metrics = compute_metrics
        self._passes: int | None = None
        self.share = share
        self.gather = gather
        self.forward_pass = forward_pass
        self.model = model
        self.tasks = {name: task for name, task in suite.items() if task.eval is not None}
        self.token_budget = token_budget
        self.contexts: dict[str, Context] = {
            name: context_of(model, task, processor) for name, task in self.tasks.items()
        }
        self.splits: dict[str, EncodedSplit] = {
            name: encode_split(
                task, task.eval, self.contexts[name], split="eval", virtual=model.virtual_tokens(name)
            )
            for name, task in self.tasks.items()
            if task.eval is not None
        }
        for name, task in self.tasks.items():
            if task.own_kind.shape is None and name not in model.ends:  # a task that was not trained here
                EndFinder(name, self.contexts[name].tokenizer, model.ends).add_rows(
                    self.splits[name].labelled()
                )

    def run(
        self, on_progress: Callable[[int, int], None] | None = None, *, intervals: bool = False
    ) -> dict[str, dict[str, float]]:
        """Measure every task.

        Args:
            on_progress: Called with the sequences done and those in all after each pass.
            intervals: Whether to add `<key>_low` and `<key>_high`, the ends of a 95 % bootstrap interval over rows.

        Returns:
            For each task its figures: `loss` (the mean as in training; nats for classes and tokens), `rows`, its
            metrics, and for each metric's main key `<key>_constant`, what the best constant answer scores.
        """
        return self.figures(self.outcomes(on_progress), intervals=intervals)

    def figures(
        self, outcomes: Mapping[str, TaskOutcomes], *, intervals: bool = False
    ) -> dict[str, dict[str, float]]:
        """What `run` gives, of outcomes that are there already."""
        return {
            name: figures_of(own, self.model, intervals=intervals, compute_metrics=self.compute_metrics)
            for name, own in outcomes.items()
        }

    def __len__(self) -> int:
        """The number of passes of this process."""
        if self._passes is None:
            self._passes = len(self._groups())
        return self._passes

    def __iter__(self) -> Iterator[PackedBatch | PaddedBatch]:
        """The batch of each pass of this process, laid out one after the other."""
        return (self._lay_out(group) for group in self._groups())

    @torch.no_grad()
    @unchanging_weights()
    def outcomes(self, on_progress: Callable[[int, int], None] | None = None) -> dict[str, TaskOutcomes]:
        """What the model gives for every row of every task, over all processes."""
        was_training = self.model.training
        self.model.eval()
        measured: _Measured = []
        groups = self._groups()
        self._passes = len(groups)
        done, all_items = 0, sum(map(len, groups))
        for group in groups:
            with self.forward_pass():
                measured += self._measure(group)
            done += len(group)
            if on_progress is not None:
                on_progress(done, all_items)
        self.model.train(was_training)
        parts = [own for part in self.gather(measured) for own in part]
        found: dict[str, dict[int, list[Outcome]]] = {name: defaultdict(list) for name in self.tasks}
        numbers = {name: split.rows["row"] for name, split in self.splits.items()}
        for name, line, outcome in sorted(parts, key=lambda own: own[:2]):
            found[name][numbers[name][line]].append(outcome)
        return {
            name: TaskOutcomes(
                task, self.contexts[name], self.splits[name].source, found[name], self.forward_pass
            )
            for name, task in self.tasks.items()
        }

    def _groups(self) -> list[list[_Item]]:
        """What this process measures, pass by pass."""
        rank, processes = self.share
        every = [(name, line) for name, split in self.splits.items() for line in range(len(split))]
        items = [self._item(name, line) for name, line in every[rank::processes]]
        return list(fill_micro_batches(items, self.token_budget))

    def _lay_out(self, group: Sequence[_Item]) -> PackedBatch | PaddedBatch:
        return self.model.layout.lay_out(
            chunk_per_route(sequence for item in group for sequence in item.asked)
        )

    def _item(self, name: str, line: int) -> _Item:
        own = self.splits[name].sequence(line)
        return _Item(name, line, self.tasks[name].own_kind.questions(own, self.contexts[name]))

    def _measure(self, group: Sequence[_Item]) -> _Measured:
        """One pass over the sequences of a group."""
        batch = self._lay_out(group).to(self.model.device)
        logits = self.model.by_route(batch)
        measured: _Measured = []
        for name, part in route_parts(batch.rows, batch.label_counts).items():
            outputs = iter(per_sequence(logits[name], batch.label_counts[part.rows]))
            labelled = iter(_labelled(batch, part.rows, part.labels))
            for item in group:
                if item.task == name:
                    own = [(next(outputs), next(labelled)) for _ in item.asked]
                    measured.append((name, item.line, self._outcome(item, own)))
        return measured

    def _outcome(self, item: _Item, own: Sequence[tuple[Tensor, Labelled]]) -> Outcome:
        task, context = self.tasks[item.task], self.contexts[item.task]
        logits = [each for each, _ in own]
        losses = task.own_kind.losses(logits[0], own[0][1], task.declared)
        return Outcome(
            loss_sum=float(losses.double().sum()),
            weight=item.asked[0].share,
            output=task.own_kind.output(item.asked, logits, context),
        )


def _labelled(batch: PackedBatch | PaddedBatch, rows: slice, labels: slice) -> list[Labelled]:
    """The labels of each sequence of a route."""
    counts = batch.label_counts[rows]
    return [
        Labelled(ids, (targets,), (count,))
        for ids, targets, count in zip(
            batch.label_ids[labels].split(list(counts)), batch.targets[rows], counts, strict=True
        )
    ]


def means(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of every figure over the tasks that have it.

    >>> means({"a": {"loss": 1.0, "accuracy": 0.5, "rows": 8.0}, "b": {"loss": 3.0}})
    {'accuracy': 0.5, 'loss': 2.0}
    """
    told = ("_constant", "_low", "_high")
    keys = sorted(
        {key for own in figures.values() for key in own if key != "rows" and not key.endswith(told)}
    )
    values = {key: [own[key] for own in figures.values() if key in own] for key in keys}
    return {key: sum(own) / len(own) for key, own in values.items()}
