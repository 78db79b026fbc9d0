"""Tasks and suites: the only place that joins data, adapters and metrics.

>>> from datasets import Dataset
>>> from hf_mtl import PromptCompletion, Task, TaskSuite
>>> rows = Dataset.from_list([{"lemma": "run", "past": "ran"}])
>>> suite = TaskSuite([Task("past tense", train=rows, template=PromptCompletion("{lemma} ->", " {past}"))])
>>> suite.names
('past tense',)
"""

from hf_mtl.tasks.encoding import EncodedSplit, encode_candidates, encode_split, prompt_of, row_encoder
from hf_mtl.tasks.suite import TaskSuite
from hf_mtl.tasks.task import Task

__all__ = [
    "EncodedSplit",
    "Task",
    "TaskSuite",
    "encode_candidates",
    "encode_split",
    "prompt_of",
    "row_encoder",
]
