"""Training: rounds, per-task steps, and the `transformers.Trainer` that drives them."""

from hf_mtl.training.arguments import MultiTaskTrainingArguments
from hf_mtl.training.progress import ProgressDisplay
from hf_mtl.training.rounds import Round, RoundLoader, RoundPlan
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.trainer import MultiTaskTrainer
from hf_mtl.training.verdict import TaskFigures, Verification
from hf_mtl.training.verification import verify_isolation

__all__ = [
    "MultiTaskTrainer",
    "MultiTaskTrainingArguments",
    "ProgressDisplay",
    "Round",
    "RoundLoader",
    "RoundPlan",
    "TaskFigures",
    "TaskSettings",
    "Verification",
    "verify_isolation",
]
