"""Answers from trained adapters: `MultiTaskPipeline` for inputs of many tasks and kinds in any mix."""

from hf_mtl.inference.inputs import Input, window_size
from hf_mtl.inference.lines import answer_mixed_rows, answer_rows, answer_texts
from hf_mtl.inference.pipeline import MultiTaskPipeline
from hf_mtl.inference.prompts import input_of_text

__all__ = [
    "Input",
    "MultiTaskPipeline",
    "answer_mixed_rows",
    "answer_rows",
    "answer_texts",
    "input_of_text",
    "window_size",
]
