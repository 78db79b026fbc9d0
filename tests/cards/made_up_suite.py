"""A suite that never was, with one task of every kind and every part that a card can show."""

from __future__ import annotations

from hf_mtl.export.cards import BaseFacts, Figure, RowsFacts, Setting, SplitNumbers, SuiteFacts, TaskFacts

AUTO = {
    "causal-lm": "AutoModelForCausalLM",
    "label-scoring": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "text-classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "image-classification": "AutoModelForImageClassification",
}
LANGUAGE = ("causal-lm", "label-scoring", "seq2seq-lm")
PROMPT = {"prompt": "{text} is", "completion": " {label}", "engine": "format"}


def task(kind: str, name: str | None = None) -> TaskFacts:
    writes = kind in LANGUAGE
    return TaskFacts(
        name=name or kind,
        kind=kind,
        auto_class=AUTO[kind],
        folder=kind,
        about="What it is about.",
        labels=("bad", "good"),
        template=PROMPT if writes else None,
        max_length=64,
        ends=("<|im_end|>",) if kind in ("causal-lm", "seq2seq-lm") else (),
        outputs=None if writes else 2,
        rank=4,
        served_by_vllm=kind == "causal-lm",
        parameters=12345,
        adapter=(Setting("r", "4", "8"),),
        settings=(Setting("batch_size", "16"),),
        rows=(
            RowsFacts("train", "rows.jsonl", drawn="the first 100 rows", licence="mit", numbers=numbers(600)),
            RowsFacts("eval", "someone/rows", "someone/rows", hub_split="test", numbers=numbers(200)),
        ),
        samples=({"text": "a joy", "label": "good"}, {"text": "a bore", "label": "bad"}),
        figures=(
            Figure("accuracy", 0.9, 0.85, 0.95, 0.5, 0.51, alone=0.89, test=0.88, over_seeds={"alone": "0.9 ± 0.01"}),
            Figure("loss", 0.3, before=2.0),
        ),
        evaluated_rows=200,
        losses=((1, 2.0), (10, 0.5)),
        steps=10,
        examples=160,
        tokens=1600,
        seconds=12.0,
        licence="mit",
        languages=("en",),
    )  # fmt: skip


def numbers(rows: int) -> SplitNumbers:
    return SplitNumbers(rows, 0, 10 * rows, 20, 3, {"bad": rows // 2, "good": rows // 2})


def made_up_suite() -> SuiteFacts:
    return SuiteFacts(
        name="made up",
        base=BaseFacts("someone/base", None, "a copy", "apache-2.0", "float32", None, "sampled-sha256:00"),
        tasks=tuple(task(kind) for kind in AUTO),
        sharing="shared+private",
        settings=(Setting("learning_rate", "0.001", "5e-05"),),
        environment={"hf_mtl": "0.1.0", "torch": "2.13.0"},
        seeds=(0, 1),
    )
