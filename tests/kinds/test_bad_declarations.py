"""Tasks that cannot work: all problems of a declaration at once, and kinds on bases that are not theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from kind_bases import picture
from kind_cases import KINDS, KindCase, ours, task_of
from tiny_bases import CASES

from hf_mtl.data import Chat, PromptCompletion
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.models import RoutedModel, place_task
from hf_mtl.tasks import Task

ROWS = Dataset.from_list([{"text": "a bad play", "label": "bad", "prompt": "a", "completion": "b"}])
CLASSES = "text-classification"

DECLARED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown kind": (
        {"kind": "text-clasification"},
        r"there is no kind 'text-clasification'; known are 'causal-lm', .*Did you mean 'text-classification'\?",
    ),
    "unknown option": (
        {"kind": {"name": CLASSES, "label_smooting": 0.1}},
        "the kind 'text-classification' has no option 'label_smooting'; its options are 'class_weights', "
        r"'label_smoothing', 'problem_type'. Did you mean 'label_smoothing'\?",
    ),
    "no name": ({"kind": {"label_smoothing": 0.1}}, "kind: the option 'name' is missing; choose one of"),
    "labels missing": (
        {"kind": CLASSES, "train": ROWS.to_iterable_dataset()},
        r"labels are missing: name them \(labels=\[...\]\) or give their number \(labels=3\); the rows' features",
    ),
    "labels missing in label-scoring": ({"kind": "label-scoring"}, "labels are missing: name the labels"),
    "one label": ({"kind": CLASSES, "labels": ["bad"]}, r"labels must be two or more different names, found \['bad'\]"),
    "a label twice": ({"kind": CLASSES, "labels": ["a", "b", "a"]}, "labels must be two or more different names"),
    "labels of a regression": (
        {"kind": "regression", "labels": 2},
        "a regression has no labels; give outputs=N for N numbers per row",
    ),
    "outputs": ({"kind": {"name": "regression", "outputs": 0}}, "outputs: expected a whole number from 1 to"),
    "problem_type": (
        {"kind": {"name": CLASSES, "problem_type": "multilabel"}, "labels": 2},
        "problem_type must be one of 'multi_label', 'single_label', found 'multilabel'",
    ),
    "smoothing": (
        {"kind": {"name": CLASSES, "label_smoothing": 1.0}, "labels": 2},
        r"label_smoothing: expected a number of at least 0 and below 1, found 1.0",
    ),
    "weights of other labels": (
        {"kind": {"name": CLASSES, "class_weights": {"bad": 1.0, "god": 2.0}}, "labels": ["bad", "good"]},
        "class_weights are for 'bad', 'god'; expected one for each of 'bad', 'good'",
    ),
    "too few weights": (
        {"kind": {"name": CLASSES, "class_weights": [1.0]}, "labels": 2},
        "class_weights has 1 values; expected 2, one per label",
    ),
    "weights of 0": (
        {"kind": {"name": CLASSES, "class_weights": [1.0, 0.0]}, "labels": 2},
        r"class_weights must be finite and above 0, found \[1.0, 0.0\]",
    ),
    "unknown part": (
        {"kind": CLASSES, "labels": 2, "columns": {"txt": "text"}},
        r"columns: a task of the kind 'text-classification' has no part 'txt'; its parts are 'label', 'text', "
        r"'text_pair'. Did you mean 'text'\?",
    ),
    "unknown column": (
        {"kind": CLASSES, "labels": 2, "columns": {"text": "txt"}},
        r"there is no column 'txt' for the text; the rows have 'completion', .*Did you mean 'text'\? Name another with "
        r"columns=\{'text': ...\}",
    ),
    "unknown column of a pattern": (
        {"kind": CLASSES, "labels": 2, "columns": {"text": "{txt} {label}"}},
        r"there is no column 'txt' for the text;",
    ),
    "column that is not there": ({"kind": "token-classification", "labels": 2}, "there is no column 'tokens' for the"),
    "unknown column of a template": (
        {"kind": "causal-lm", "template": PromptCompletion("{txt}", "{label}")},
        r"there is no column 'txt' for the template; the rows have .* Did you mean 'text'\?",
    ),
    "template of a kind with parts": (
        {"kind": CLASSES, "labels": 2, "template": PromptCompletion("{text}", "{label}")},
        r"template is for kinds that the vocabulary head serves; .* names its parts with columns=\{...\}: 'label'",
    ),
    "columns of a kind with a template": (
        {"kind": "causal-lm", "columns": {"prompt": "text"}},
        "columns: a task of the kind 'causal-lm' has no part 'prompt'; its parts are named by its template",
    ),
    "metric of other answers": (
        {"kind": CLASSES, "labels": 2, "metrics": ["pearsonr"]},
        "the metric 'pearsonr' takes values, this task gives labels and scores; for it are 'accuracy'",
    ),
    "metric of labels for texts": (
        {"kind": "causal-lm", "metrics": ["accuracy"]},
        r"the metric 'accuracy' compares labels, and the task has none: give labels=\[...\]",
    ),
    "unknown metric": (
        {"kind": CLASSES, "labels": 2, "metrics": ["acuracy"]},
        r"there is no metric 'acuracy'; .*Did you mean 'accuracy'\?",
    ),
    "stride": (
        {"kind": {"name": "question-answering", "doc_stride": 64}, "max_length": 64,
         "columns": {"question": "text", "context": "text", "answers": "text"}},
        "doc_stride must be below the window's 64 tokens, found 64",
    ),
    "labels of questions": (
        {"kind": "question-answering", "labels": 2,
         "columns": {"question": "text", "context": "text", "answers": "text"}},
        "a question-answering task has no labels; leave them out",
    ),
    "labels in a chat": (
        {"kind": "label-scoring", "labels": ["a", "b"], "template": Chat("text")},
        "labels cannot be ranked in a chat; use PromptCompletion",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DECLARED)
def test_a_declaration_that_cannot_work_is_refused(name: str) -> None:
    changes, message = DECLARED[name]
    with pytest.raises(ConfigError, match=f"task 't': {message}"):
        Task("t", **{"train": ROWS, **changes})


def test_all_problems_come_at_once() -> None:
    kind = {"name": CLASSES, "problem_type": "several", "label_smoothing": 2.0}
    with pytest.raises(ConfigError) as caught:
        Task("t", train=ROWS, kind=kind, metrics=["acuracy"], learning_rate=-1.0)
    told = str(caught.value)
    assert all(
        word in told
        for word in ("labels must be two", "problem_type", "smoothing", "acuracy", "learning_rate")
    )
    assert told.startswith("5 problems:")


def test_labels_come_from_the_rows_features() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    rows = Dataset.from_list([{"text": "a", "label": 1}], features=features)
    assert Task("t", train=rows, kind=CLASSES).declared.labels == ("no", "yes")
    other = Features({"text": Value("string"), "label": ClassLabel(names=["yes", "no"])})
    swapped = Dataset.from_list([{"text": "a", "label": 1}], features=other)
    with pytest.raises(
        ConfigError, match=r"train and eval rows have different labels: \['no', 'yes'\] and \['yes'"
    ):
        Task("t", train=rows, eval=swapped, kind=CLASSES)


MISPLACED = [
    (
        "causal-lm",
        "t5",
        "causal-lm is for decoders, and the base is an encoder-decoder; use the kind seq2seq-lm",
    ),
    (
        "seq2seq-lm",
        "llama",
        "seq2seq-lm needs an encoder-decoder, such as a T5; for a decoder use the kind causal-lm",
    ),
    (
        "causal-lm",
        "bert",
        "causal-lm needs a base that writes text from left to right; load one with AutoModelForCau",
    ),
    ("label-scoring", "roberta", "label-scoring needs a base that writes text"),
    (
        "images",
        "llama",
        "the kind 'image-classification' reads images, and the base, a LlamaForCausalLM, reads text. Choose another"
        " base, or one of the kinds 'causal-lm', 'label-scoring'",
    ),
    (
        "single-label",
        "vit",
        "the kind 'text-classification' reads text, and the base, a ViTModel, reads images. Choose another base, or "
        "one of the kinds 'image-classification'",
    ),
    ("tags", "vit", "the kind 'token-classification' reads text, and the base, a ViTModel, reads images"),
]


@pytest.mark.parametrize(("kind", "base", "message"), MISPLACED)
def test_a_kind_on_a_base_that_is_not_its_own_is_refused(
    bases: Callable[[str], Path], kind: str, base: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"task 't': {message}"):
        ours(bases(base), task_of("t", KINDS[kind]), dtype="float32")


def test_a_masked_language_model_writes_nothing() -> None:
    model = RoutedModel(CASES["BertForMaskedLM"].base())
    with pytest.raises(ConfigError, match="task 't': causal-lm needs a base that writes text"):
        place_task(model, task_of("t", KINDS["causal-lm"]), seed=0)


def test_a_base_without_its_pooler_can_have_no_such_head() -> None:
    base = CASES["BertModel"].base()
    base.pooler = None  # type: ignore[assignment]  # nn.Module types attributes as Tensor | Module
    with pytest.raises(ConfigError, match="stands on the base's pooler, which this base was loaded without"):
        place_task(RoutedModel(base), task_of("t", KINDS["single-label"]), seed=0)


def test_heads_on_architectures_that_are_not_tested_are_refused() -> None:
    model = RoutedModel(CASES["GPTNeoXForCausalLM"].base())
    with pytest.raises(
        ConfigError, match="heads of a task's own are not supported on 'gpt_neox' bases; use a kind"
    ):
        place_task(model, task_of("t", KINDS["tags"]), seed=0)


def test_a_chat_needs_a_chat_template(bases: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="task 't': The tokenizer has no chat template"):
        ours(bases("gpt2"), task_of("t", KINDS["chat"]), dtype="float32")


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_an_image_of_another_mode_is_told(bases: Callable[[str], Path], mode: str) -> None:
    rows: list[dict[str, Any]] = [
        {"image": picture(0), "label": 0},
        {"image": picture(1, mode=mode), "label": 1},
    ]
    case: KindCase = replace(KINDS["images"], rows=rows)
    with pytest.raises(
        DataError, match=rf"task 't', eval, row 1: the image has the mode '{mode}' .*expected 'RGB'"
    ):
        ours(bases("vit"), task_of("t", case), dtype="float32")


def test_what_is_no_image_is_told(bases: Callable[[str], Path]) -> None:
    case = replace(KINDS["images"], rows=[{"image": "a.png", "label": 0}])
    with pytest.raises(
        DataError, match=r"task 't', eval, row 0: expected an image .* found the text 'a.png'"
    ):
        ours(bases("vit"), task_of("t", case), dtype="float32")


def test_an_empty_data_set_is_told(bases: Callable[[str], Path]) -> None:
    rows = Dataset.from_dict({"text": [], "label": []})
    task = Task("t", eval=rows, kind=CLASSES, labels=2, metrics=[])
    with pytest.raises(DataError, match="task 't', eval: the data set is empty"):
        ours(bases("bert"), task, dtype="float32")


def test_metrics_that_give_one_figure_twice_are_refused() -> None:
    rows = Dataset.from_list([{"text": "a", "label": 0}, {"text": "b", "label": 2}])
    both: list[dict[str, object]] = [{"name": "f1", "average": how} for how in ("macro", "micro")]
    with pytest.raises(
        ConfigError, match="the metrics 'f1' and 'f1' all give the figure 'f1'; leave all but one out"
    ):
        Task("t", eval=rows, kind="text-classification", labels=3, metrics=both)
