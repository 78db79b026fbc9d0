"""Kinds of task, one per file, and the registry that recipes look them up in.

    >>> sorted(KINDS)[:3]
    ['causal-lm', 'image-classification', 'label-scoring']
    >>> kind_of("question-answering").doc_stride
    128
    >>> kind_of({"name": "text-classification", "label_smoothing": 0.1}).label_smoothing
    0.1

A kind of your own is one class, registered once:

    >>> from dataclasses import dataclass
    >>> @register
    ... @dataclass(frozen=True)
    ... class Haiku(LanguageModelling):
    ...     name = "haiku"
    >>> kind_of("haiku")
    Haiku(label_smoothing=0.0)
    >>> del KINDS["haiku"]
"""

from hf_mtl.tasks.kinds.causal_lm import CausalLM
from hf_mtl.tasks.kinds.declared import Declared, Role
from hf_mtl.tasks.kinds.image_classification import ImageClassification
from hf_mtl.tasks.kinds.kind import Answers, Context, Kind, Labelled, Outcome, Processor
from hf_mtl.tasks.kinds.label_scoring import LabelScoring
from hf_mtl.tasks.kinds.language import LanguageModelling
from hf_mtl.tasks.kinds.limits import check_examples, check_query
from hf_mtl.tasks.kinds.query import Found, Option, Query
from hf_mtl.tasks.kinds.question_answering import QuestionAnswering
from hf_mtl.tasks.kinds.ranking import candidates_of
from hf_mtl.tasks.kinds.registry import KINDS, kind_of, register
from hf_mtl.tasks.kinds.regression import Regression
from hf_mtl.tasks.kinds.seq2seq_lm import Seq2SeqLM
from hf_mtl.tasks.kinds.text_classification import TextClassification
from hf_mtl.tasks.kinds.token_classification import TokenClassification
from hf_mtl.tasks.kinds.writing import row_tokens

__all__ = [
    "KINDS",
    "Answers",
    "CausalLM",
    "Context",
    "Declared",
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
    "Regression",
    "Role",
    "Seq2SeqLM",
    "TextClassification",
    "TokenClassification",
    "candidates_of",
    "check_examples",
    "check_query",
    "kind_of",
    "register",
    "row_tokens",
]

for _kind in (
    CausalLM,
    ImageClassification,
    LabelScoring,
    QuestionAnswering,
    Regression,
    Seq2SeqLM,
    TextClassification,
    TokenClassification,
):
    register(_kind)
