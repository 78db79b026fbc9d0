"""How well each task's adapter does the others' work."""

from __future__ import annotations

from dataclasses import replace

from hf_mtl.evaluation.evaluator import Evaluator
from hf_mtl.models import RoutedModel
from hf_mtl.tasks import Processor, TaskSuite

__all__ = ["transfer"]


def transfer(
    model: RoutedModel, processor: Processor, suite: TaskSuite, *, token_budget: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Measure every task's eval rows with every adapter whose head is of the same form.

    A head that was trained for other labels of the same number is measured too: what it gives is then by chance.

    Args:
        model: The model with the tasks' routes.
        processor: The base's tokenizer or image processor.
        suite: The tasks; those without eval rows are not measured on.
        token_budget: As in `Evaluator`.

    Returns:
        By the task that was trained and the task that is measured, the figures.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for trained in suite:
        for measured, task in suite.items():
            if task.eval is None or model.route_head(trained) != model.route_head(measured):
                continue
            own = TaskSuite([replace(task, name=trained)])  # the route that a row takes is its task's name
            figures = Evaluator(model, processor, own, token_budget=token_budget).run()
            found.setdefault(trained, {})[measured] = figures[trained]
    return found
