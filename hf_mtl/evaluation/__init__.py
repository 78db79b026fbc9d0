"""Measuring tasks in shared passes, and showing what came out."""

from hf_mtl.evaluation.comparison import ALONE, COMPARISON_FILE, Comparison, Estimate, Variant
from hf_mtl.evaluation.comparison_table import comparison_table
from hf_mtl.evaluation.data_table import data_table
from hf_mtl.evaluation.evaluator import Evaluator, means
from hf_mtl.evaluation.figures import TaskOutcomes, figures_of
from hf_mtl.evaluation.generated import GeneratedSample, generated_sample
from hf_mtl.evaluation.plots import NO_PICTURES, can_draw, plot_losses
from hf_mtl.evaluation.report import Report, Score, TaskResult, build_report
from hf_mtl.evaluation.report_table import report_table
from hf_mtl.evaluation.transfer import transfer

__all__ = [
    "ALONE",
    "COMPARISON_FILE",
    "NO_PICTURES",
    "Comparison",
    "Estimate",
    "Evaluator",
    "GeneratedSample",
    "Report",
    "Score",
    "TaskOutcomes",
    "TaskResult",
    "Variant",
    "build_report",
    "can_draw",
    "comparison_table",
    "data_table",
    "figures_of",
    "generated_sample",
    "means",
    "plot_losses",
    "report_table",
    "transfer",
]
