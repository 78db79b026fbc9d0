"""Tasks and suites: the only place that joins data, adapters and metrics.

>>> from datasets import Dataset
>>> from hf_mtl import PromptCompletion, Task, TaskSuite
>>> rows = Dataset.from_list([{"lemma": "run", "past": "ran"}])
>>> suite = TaskSuite([Task("past tense", train=rows, template=PromptCompletion("{lemma} ->", " {past}"))])
>>> suite.names
('past tense',)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.lazy import lazy_names
from hf_mtl.tasks.declaring import declare
from hf_mtl.tasks.form import TaskForm
from hf_mtl.tasks.formats import Reading, found_labels
from hf_mtl.tasks.kinds import (
    KINDS,
    Answers,
    CausalLM,
    Context,
    Declared,
    Found,
    ImageClassification,
    Kind,
    Labelled,
    LabelScoring,
    LanguageModelling,
    Option,
    Outcome,
    Processor,
    Query,
    QuestionAnswering,
    Regression,
    Seq2SeqLM,
    TextClassification,
    TokenClassification,
    check_query,
    kind_of,
    register,
    row_tokens,
)
from hf_mtl.tasks.row_encoder import RowEncoder, sequence_of
from hf_mtl.tasks.seen import SeenPiece, SeenRow, SeenSequence, seen_row
from hf_mtl.tasks.settling import Settled, settle
from hf_mtl.tasks.suite import TaskSuite
from hf_mtl.tasks.task import Task

if TYPE_CHECKING:
    from hf_mtl.tasks.encoding import EncodedSplit, SplitFacts, encode_split
    from hf_mtl.tasks.formats import Recognised, recognise
    from hf_mtl.tasks.objectives import suite_objective
    from hf_mtl.tasks.sharing import Sharing, SharingPlan
    from hf_mtl.tasks.structures import STRUCTURES, sharing_of


__all__ = [
    "KINDS",
    "STRUCTURES",
    "Answers",
    "CausalLM",
    "Context",
    "Declared",
    "EncodedSplit",
    "Found",
    "ImageClassification",
    "Kind",
    "LabelScoring",
    "Labelled",
    "LanguageModelling",
    "Option",
    "Outcome",
    "Processor",
    "Query",
    "QuestionAnswering",
    "Reading",
    "Recognised",
    "Regression",
    "RowEncoder",
    "SeenPiece",
    "SeenRow",
    "SeenSequence",
    "Seq2SeqLM",
    "Settled",
    "Sharing",
    "SharingPlan",
    "SplitFacts",
    "Task",
    "TaskForm",
    "TaskSuite",
    "TextClassification",
    "TokenClassification",
    "check_query",
    "declare",
    "encode_split",
    "found_labels",
    "kind_of",
    "recognise",
    "register",
    "row_tokens",
    "seen_row",
    "sequence_of",
    "settle",
    "sharing_of",
    "suite_objective",
]

__getattr__ = lazy_names(
    __name__,
    {
        "encoding": "EncodedSplit SplitFacts encode_split",
        "formats": "Recognised recognise",
        "objectives": "suite_objective",
        "sharing": "Sharing SharingPlan",
        "structures": "STRUCTURES sharing_of",
    },
)
