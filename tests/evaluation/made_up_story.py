"""A run that never was, with every part that a page can show."""

from __future__ import annotations

import math

import numpy as np

from hf_mtl.evaluation import Score, TaskResult
from hf_mtl.evaluation.page import Incident, RunStory, Share, changes_of
from hf_mtl.relations import Relations, Source

TASKS = ("sentiment", "named entities", "past <tense>", "similarity")
MARKUP = TASKS[2]  # a name that would be markup if it were not escaped


def results() -> tuple[TaskResult, ...]:
    figures = {
        "sentiment": ("accuracy", 0.512, 0.498, 0.874, 0.84, 0.905),
        "named entities": ("f1", 0.0, 0.03, 0.781, 0.74, 0.82),
        MARKUP: ("exact_match", 0.02, 0.01, 0.655, 0.60, 0.71),
        "similarity": ("pearson", None, 0.61, 0.58, 0.5, 0.65),
    }
    return tuple(
        TaskResult(
            task,
            rows=1000 + number,
            seconds=60.0 + 10 * number,
            scores=(
                Score(metric, constant, before, after, low, high),
                Score("loss", None, 2.0 + number, 0.5 + number / 8, greater_is_better=False),
            ),
            test={metric: after - 0.01, "loss": 0.6},
        )
        for number, (task, (metric, constant, before, after, low, high)) in enumerate(figures.items())
    )


def relations(source: Source = "given") -> Relations:
    values = [[1, 0.62, -0.31, 0.05], [0.62, 1, 0.1, 0.2], [-0.31, 0.1, 1, -0.85], [0.05, 0.2, -0.85, 1]]
    return Relations(TASKS, np.array(values), source, ("one pair was never measured",))


def made_up_story() -> RunStory:
    rounds = range(10, 401, 10)
    falling = {
        task: tuple((r, (2 + n) * math.exp(-r / (60 + 40 * n)) + 0.3 + 0.1 * math.sin(r)) for r in rounds)
        for n, task in enumerate(TASKS)
    }
    measured = {
        task: tuple((r, 0.4 + 0.1 * n + 0.2 * (1 - math.exp(-r / 100))) for r in range(0, 401, 100))
        for n, task in enumerate(TASKS)
    }
    single = {
        "sentiment": {"accuracy": 0.86},
        "named entities": {"f1": 0.80},
        MARKUP: {"exact_match": 0.6},
        "similarity": {"loss": 0.875},
    }
    return RunStory(
        name="four & more",
        tasks=TASKS,
        facts={"base": "someone/model", "trainable_parameters": 123456, "note": "", "torch": "2.13"},
        results=results(),
        changes=changes_of(results(), single),
        losses=falling,
        evaluations={"accuracy": {"sentiment": measured["sentiment"]}, "loss": measured},
        relations=relations(),
        cosines=relations("gradient cosines"),
        transfer={
            one: {
                "sentiment": {"accuracy": 0.5 + 0.374 * (one == "sentiment")},
                MARKUP: {"exact_match": 0.7 - 0.1 * n},
            }
            for n, one in enumerate(TASKS)
        },
        learning_rates={
            owner: tuple((r, 1e-3 * (1 - r / 400) / (1 + n)) for r in rounds)
            for n, owner in enumerate((*TASKS, "shared"))
        },
        loss_weights={task: tuple((r, 1 + n * r / 400) for r in rounds) for n, task in enumerate(TASKS)},
        shares={
            task: Share(
                1000 * (n + 1), (n + 1) / 10, 400, 3200, 0.25, planned_examples_share=0.25, planned_tokens_share=0.2
            )
            for n, task in enumerate(TASKS)
        },
        throughput=tuple((r, 1800 + 50 * math.sin(r)) for r in rounds),
        padding=tuple((r, 0.1 + 0.02 * math.cos(r)) for r in rounds),
        incidents=(
            Incident("sentiment", 17, "its loss is nan", (3, 4, 5)),
            Incident(MARKUP, 120, "its gradient norm is inf", tuple(range(20)), quarantined=True,
                     outcome="back to its weights of step 119, the last good ones"),
        ),
        skipped={MARKUP: {"train": {"empty answer": 1200, "over-long prompt": 1}}},
    )  # fmt: skip
