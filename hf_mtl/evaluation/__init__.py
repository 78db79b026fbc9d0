"""Measuring tasks in shared passes, and showing what came out."""

from hf_mtl.evaluation.evaluator import Evaluator, means
from hf_mtl.evaluation.plots import plot_losses
from hf_mtl.evaluation.ranking import best_label, extra_prefixes
from hf_mtl.evaluation.report import Report, Score, TaskResult, build_report

__all__ = [
    "Evaluator",
    "Report",
    "Score",
    "TaskResult",
    "best_label",
    "build_report",
    "extra_prefixes",
    "means",
    "plot_losses",
]
