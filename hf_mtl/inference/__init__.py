"""Answers from trained adapters: `MultiTaskPipeline` for inputs of many tasks and kinds in any mix."""

from hf_mtl.inference.lines import answer_mixed_rows, answer_rows
from hf_mtl.inference.pipeline import MultiTaskPipeline

__all__ = ["MultiTaskPipeline", "answer_mixed_rows", "answer_rows"]
