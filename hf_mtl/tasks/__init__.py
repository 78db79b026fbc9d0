"""Tasks and suites: the only place that joins data, adapters and metrics.

>>> from datasets import Dataset
>>> from hf_mtl import PromptCompletion, Task, TaskSuite
>>> rows = Dataset.from_list([{"lemma": "run", "past": "ran"}])
>>> suite = TaskSuite([Task("past tense", train=rows, template=PromptCompletion("{lemma} ->", " {past}"))])
>>> suite.names
('past tense',)
"""

from hf_mtl.tasks.declaring import declare
from hf_mtl.tasks.encoding import EncodedSplit, RowEncoder, SplitFacts, encode_split, sequence_of
from hf_mtl.tasks.form import TaskForm
from hf_mtl.tasks.formats import Reading, Recognised, found_labels, recognise
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
from hf_mtl.tasks.objectives import suite_objective
from hf_mtl.tasks.seen import SeenPiece, SeenRow, SeenSequence, seen_row
from hf_mtl.tasks.settling import Settled, settle
from hf_mtl.tasks.sharing import Sharing, SharingPlan
from hf_mtl.tasks.structures import STRUCTURES, sharing_of
from hf_mtl.tasks.suite import TaskSuite
from hf_mtl.tasks.task import Task

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
