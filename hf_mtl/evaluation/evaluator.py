"""Evaluation of many tasks in shared passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import EvalPrediction, PreTrainedTokenizerBase

from hf_mtl.data import IGNORED, Chunk, Sequence, fill_micro_batches
from hf_mtl.evaluation.ranking import best_label, extra_prefixes
from hf_mtl.metrics import OUTCOME_METRICS, Outcome, constant_answer
from hf_mtl.models import RoutedModel, generate
from hf_mtl.tasks import Task, TaskSuite, encode_candidates, encode_split, prompt_of

__all__ = ["Evaluator", "means"]


@dataclass(frozen=True)
class _Row:
    """One evaluation row: its own sequence first, then the extra prefixes that ranking its labels takes."""

    task: str
    row: int
    sequences: tuple[Sequence, ...]
    completions: tuple[tuple[int, ...], ...]

    @property
    def tokens(self) -> int:
        return sum(sequence.tokens for sequence in self.sequences)


_Measured = list[tuple[str, int, Outcome]]  # task, row, outcome


class Evaluator:
    """Measures the tasks of a suite on their `eval` rows.

    Args:
        model: The routed model; each task names an adapter of it.
        tokenizer: The base's tokenizer.
        suite: The tasks; those without `eval` rows are left out.
        token_budget: Most tokens of one pass.
        share: The number of this process and that of all; each measures its part of the rows.
        gather: Gives the values of all processes.
        compute_metrics: Further figures of each task, from the most likely tokens and the labels, `[rows, longest]`.
    """

    def __init__(
        self,
        model: RoutedModel,
        tokenizer: PreTrainedTokenizerBase,
        suite: TaskSuite,
        *,
        token_budget: int,
        share: tuple[int, int] = (0, 1),
        gather: Callable[[_Measured], list[_Measured]] = lambda own: [own],
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
    ) -> None:
        self.compute_metrics = compute_metrics
        self.share = share
        self.gather = gather
        self.model = model
        self.tokenizer = tokenizer
        self.tasks = {name: task for name, task in suite.items() if task.eval is not None}
        self.token_budget = token_budget
        self.splits = {
            name: encode_split(task, task.eval, tokenizer, split="eval", virtual=model.virtual_tokens(name))
            for name, task in self.tasks.items()
            if task.eval is not None
        }
        self.candidates = {name: encode_candidates(task, tokenizer) for name, task in self.tasks.items()}

    @torch.no_grad()
    def run(self, on_progress: Callable[[int, int], None] | None = None) -> dict[str, dict[str, float]]:
        """Measure every task.

        Args:
            on_progress: Called with the rows done and the rows in all after each pass.

        Returns:
            For each task its figures: `loss` (mean over tokens, nats), `rows`, `constant` (what the best
            constant answer would score), and its metrics.
        """
        was_training = self.model.training
        self.model.eval()
        measured: _Measured = []
        rank, processes = self.share
        every = [(name, row) for name, split in self.splits.items() for row in range(len(split))]
        rows = [self._row(name, row) for name, row in every[rank::processes]]
        done = 0
        for group in fill_micro_batches(rows, self.token_budget):
            for row, outcome in zip(group, self._measure(group), strict=True):
                measured.append((row.task, row.row, outcome))
            done += len(group)
            if on_progress is not None:
                on_progress(done, len(rows))
        self.model.train(was_training)
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        parts = [own for part in self.gather(measured) for own in part]
        for name, _, outcome in sorted(parts, key=lambda own: own[:2]):
            outcomes[name].append(outcome)
        return {name: self._figures(task, outcomes[name]) for name, task in self.tasks.items()}

    def _row(self, name: str, row: int) -> _Row:
        split = self.splits[name]
        own = split.sequence(row)
        reference = tuple(own.label_ids)
        extra = extra_prefixes(self.candidates[name], reference) if self.candidates[name] else []
        prompt = own.input_ids[: own.label_positions[0] + 1]
        last = len(prompt) - 1
        sequences = [own] + [
            Sequence(
                name,
                prompt + list(prefix),
                list(range(last, last + len(prefix) + 1)),
                [*prefix, 0],
                row,
                virtual=own.virtual,
            )
            for prefix in extra
        ]
        return _Row(name, row, tuple(sequences), (reference, *extra))

    def _measure(self, group: list[_Row]) -> list[Outcome]:
        """One pass over the rows of a group, which are sorted by task."""
        by_task: dict[str, Chunk] = {}
        for row in group:
            by_task.setdefault(row.task, Chunk(row.task, [])).sequences.extend(row.sequences)
        batch = self.model.layout.lay_out(by_task.values()).to(self.model.device)
        logits_NV = self.model(batch)
        wide = torch.promote_types(logits_NV.dtype, torch.float32)
        log_probabilities_NV = logits_NV.log_softmax(dim=-1, dtype=wide)
        outputs = iter(log_probabilities_NV.split(batch.label_counts))
        ordered = sorted(group, key=lambda row: row.task)  # as every layout does; sorted is stable
        measured = {
            (row.task, row.row): self._outcome(row, [next(outputs) for _ in row.sequences]) for row in ordered
        }
        return [measured[row.task, row.row] for row in group]

    def _outcome(self, row: _Row, outputs: list[Tensor]) -> Outcome:
        own_NV, reference = outputs[0], torch.tensor(row.completions[0], device=outputs[0].device)
        candidates = self.candidates[row.task]
        predicted = own_NV.argmax(dim=-1)
        return Outcome(
            loss_sum=-float(own_NV.gather(1, reference[:, None]).double().sum()),
            tokens=len(reference),
            exact=bool((predicted == reference).all()),
            reference=str(self.tokenizer.decode(list(row.completions[0]), skip_special_tokens=True)),
            ranked=best_label(candidates, list(zip(row.completions, outputs, strict=True)))
            if candidates
            else None,
            predicted_ids=tuple(predicted.tolist()),
            reference_ids=row.completions[0],
        )

    def _figures(self, task: Task, outcomes: list[Outcome]) -> dict[str, float]:
        figures = {
            "loss": sum(o.loss_sum for o in outcomes) / sum(o.tokens for o in outcomes),
            "rows": float(len(outcomes)),
            "constant": constant_answer(outcomes),
        }
        figures |= {m: OUTCOME_METRICS[m].compute(outcomes) for m in task.metrics if isinstance(m, str)}
        if self.compute_metrics is not None:
            predictions, labels = (
                _table([own.predicted_ids for own in outcomes]),
                _table([own.reference_ids for own in outcomes]),
            )
            figures |= self.compute_metrics(EvalPrediction(predictions=predictions, label_ids=labels))
        texts = [metric for metric in task.metrics if not isinstance(metric, str)]
        if texts and task.eval is not None:
            prompts = [prompt_of(task, row, self.tokenizer) for row in task.eval]
            longest = max(outcome.tokens for outcome in outcomes)
            answers = generate(self.model, self.tokenizer, task.name, prompts, max_new_tokens=longest)
            references = [outcome.reference for outcome in outcomes]
            for metric in texts:
                figures |= metric(answers, references)
        return figures


def _table(rows: list[tuple[int, ...]]) -> np.ndarray:
    """Rows of unlike lengths as one array, filled up with -100."""
    table = np.full((len(rows), max(map(len, rows))), IGNORED)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def means(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of every figure over the tasks that have it.

    >>> means({"a": {"loss": 1.0, "accuracy": 0.5, "rows": 8.0}, "b": {"loss": 3.0}})
    {'accuracy': 0.5, 'loss': 2.0}
    """
    keys = sorted({key for own in figures.values() for key in own} - {"rows", "constant"})
    values = {key: [own[key] for own in figures.values() if key in own] for key in keys}
    return {key: sum(own) / len(own) for key, own in values.items()}
