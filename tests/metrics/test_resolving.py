"""What a user may write as a metric, and what is told of a wrong one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from metric_rows import rows_of

from hf_mtl.errors import ConfigError
from hf_mtl.metrics import METRICS, Metric, confidence_intervals, problems, resolve

MODULE = '''
import datasets
import evaluate


class ShareOfEqual(evaluate.Metric):
    """A user's own module."""

    def _info(self):
        return evaluate.MetricInfo(
            description="Share of equal rows.", citation="", inputs_description="",
            features=datasets.Features(FEATURES),
        )

    def _compute(self, predictions, references):
        equal = [one == other for one, other in zip(predictions, references)]
        return {"share": sum(equal) / len(equal), "by_row": equal, "parts": {"rows": len(equal)}}
'''
INTEGERS = '{"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}'


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Any]:
    """Write an `evaluate` module with these features to a file, and load it from there."""

    def loaded(features: str) -> Any:
        path = tmp_path / "share_of_equal.py"
        path.write_text(MODULE.replace("FEATURES", features), encoding="utf-8")
        spec = importlib.util.spec_from_file_location("share_of_equal", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.ShareOfEqual(cache_dir=str(tmp_path / "cache"))

    return loaded


def test_a_name_and_a_name_with_options() -> None:
    assert resolve("f1") is METRICS["f1"]
    metric = resolve({"name": "f1", "average": "macro"})
    assert metric.settings == {"average": "macro", "labels": None, "pos_label": 1, "sample_weight": None}
    assert metric == resolve(MappingProxyType({"name": "f1", "average": "macro"})) == resolve(metric)
    assert METRICS["f1"].settings["average"] == "binary"


def test_an_evaluate_module_passes_through(load: Callable[[str], Any]) -> None:
    metric = resolve(load(INTEGERS))
    assert (metric.name, metric.form) == ("share_of_equal", "labels")
    predictions, references = rows_of("labels")
    figures = metric.compute(predictions=predictions, references=references)
    assert figures == {"share": float(np.mean(predictions == references)), "parts_rows": 60.0}
    assert metric.main_key(figures) == "share"
    assert problems(metric, forms=["texts"])[0].startswith("the metric 'share_of_equal' takes labels")
    found = confidence_intervals(metric, predictions, references, seed=0, resamples=5)
    assert (
        found["share"]
        == confidence_intervals(METRICS["accuracy"], predictions, references, seed=0, resamples=5)["accuracy"]
    )


@pytest.mark.parametrize(
    ("field", "form"),
    [
        ('datasets.Value("bool")', "labels"),
        ('datasets.Sequence(datasets.Value("int32"))', "labels"),
        ('datasets.Value("float32")', "values"),
        ('datasets.Sequence(datasets.Value("float32"))', None),
        ('datasets.Value("string")', "texts"),
        ('datasets.Sequence(datasets.Value("string"))', "tags"),
        ('{"id": datasets.Value("string"), "prediction_text": datasets.Value("string")}', "answers"),
        ('{"source": datasets.Value("string")}', None),
    ],
)
def test_an_evaluate_modules_features_tell_its_form(
    load: Callable[[str], Any], field: str, form: str | None
) -> None:
    module = load(f'{{"predictions": {field}, "references": datasets.Value("int64")}}')
    assert resolve(module).form == form
    assert resolve(module, form="scores").form == "scores"


def test_an_evaluate_module_with_other_fields(load: Callable[[str], Any]) -> None:
    module = load('{"scores": datasets.Value("float"), "references": datasets.Value("int64")}')
    with pytest.raises(ConfigError, match="its fields are 'references', 'scores'; wrap it in a function"):
        resolve(module)


class Longest:
    """An object of the same interface that is no evaluate module."""

    def compute(self, *, predictions: Any, references: Any) -> dict[str, float] | None:
        return {"longest": max(map(len, predictions))} if predictions[0] else None


def scaled(predictions: Any, references: Any, *, by: float) -> dict[str, float]:
    return {"scaled": by * len(predictions)}


def test_an_object_with_compute_and_callables() -> None:
    metric = resolve(Longest(), form="texts")
    assert (metric.name, metric.form) == ("Longest", "texts")
    assert metric.compute(predictions=["a", "abc"], references=["", ""]) == {"longest": 3.0}
    assert resolve(partial(scaled, by=2.5)).compute(predictions=[1, 2], references=[1, 2]) == {"scaled": 5.0}
    assert resolve(lambda predictions, references: {"one": np.float32(1)}).compute(
        predictions=[1], references=[1]
    ) == {"one": 1.0}  # fmt: skip
    assert resolve(Metric("own", function=scaled)).name == "own"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("acuracy", "there is no metric 'acuracy'; known are 'accuracy', 'chrf',"),
        ("acuracy", "Did you mean 'accuracy'?"),
        (
            {"average": "macro"},
            "a metric with options needs its name, such as {'name': 'f1', 'average': 'macro'}",
        ),
        ({"name": "f2"}, "there is no metric 'f2'"),
        (
            {"name": "f1", "averag": "macro"},
            "the metric 'f1' has no option 'averag'; its options are 'average', 'labels', 'pos_label', "
            "'sample_weight'. Did you mean 'average'?",
        ),
        ({"name": "mae", "squared": True}, "the metric 'mae' has no option 'squared'; its options are none."),
        (
            {"name": "f1", "average": "makro"},
            "the metric 'f1': average must be one of 'binary', 'macro', 'micro', 'weighted', 'samples', found 'makro'.",
        ),
        ({"name": "f1", "average": None}, "average must be one of"),
        ({"name": "f1", "labels": []}, "labels must be a list of whole numbers, found []."),
        ({"name": "f1", "labels": [True]}, "labels must be a list of whole numbers"),
        ({"name": "f1", "pos_label": -1}, "pos_label must be a whole number of at least 0, found -1."),
        ({"name": "f1", "sample_weight": [-1.0]}, "sample_weight must be one weight per row, none negative"),
        ({"name": "mse", "squared": "no"}, "squared must be true or false, found 'no'."),
        ({"name": "seqeval", "scheme": "IOB3"}, "scheme must be one of 'IOB1', 'IOB2'"),
        (
            {"name": "exact_match", "regexes_to_ignore": ["a", 1]},
            "regexes_to_ignore must be a list of regular expressions",
        ),
        (
            {"name": "rouge", "rouge_types": ["rougeX"]},
            "rouge_types must be a list of texts that match rouge([1-9]|L|Lsum)",
        ),
        ({"name": "rouge", "tokenizer": "words"}, "tokenizer must be a function from a text to its tokens"),
        ({"name": "sacrebleu", "tokenize": "ja"}, "tokenize must be one of '13a'"),
        ({"name": "chrf", "char_order": 0}, "char_order must be a whole number of at least 1, found 0."),
        (
            {"name": "squad_v2", "no_answer_threshold": 2},
            "no_answer_threshold must be a number from 0 to 1, found 2.",
        ),
        (
            3,
            "a metric must be a name, a dictionary with a name, an evaluate module or a callable, found 3 of type int.",
        ),
        (Longest, "a metric must be an object, found the class 'Longest'; give Longest()."),
    ],
)
def test_wrong_declarations(declared: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(declared)
    assert message in str(caught.value)
    assert problems(declared) == list(caught.value.problems)


def test_all_wrong_options_at_once() -> None:
    assert len(problems({"name": "f1", "average": "makro", "beta": 2})) == 2


@pytest.mark.parametrize(
    ("declared", "form", "message"),
    [
        ("f1", "label", "there is no form 'label' of predictions; known are 'answers', "),
        ("f1", "texts", "the metric 'f1' takes labels, not texts; leave form out."),
    ],
)
def test_wrong_forms(declared: Any, form: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(declared, form=form)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "facts", "message"),
    [
        ("f1", {"labels": 3}, "the metric 'f1': the figure of one class does not stand for 3 labels; set average to "
         "one of 'macro' (every class counts alike); 'micro' (every row counts alike); 'weighted' (every class "
         "counts by its rows)."),
        ("f1", {"labels": 2}, None),
        ("f1", {}, None),
        ("f1", {"labels": 2, "multi_label": True}, "'samples' (the mean over rows, for several labels a row)."),
        ({"name": "f1", "average": "macro"}, {"labels": 3}, None),
        ({"name": "f1", "average": "samples"}, {}, "average 'samples' is for several labels a row"),
        ({"name": "f1", "average": "macro", "pos_label": 0}, {}, "pos_label counts only with average 'binary'"),
        ({"name": "f1", "labels": [1]}, {}, "labels counts only with another average than 'binary'"),
        ({"name": "exact_match", "regexes_to_ignore": ["a", "("]}, {}, "regexes_to_ignore: '(' is refused"),
        ({"name": "exact_match", "regexes_to_ignore": ["(a|a)*b"]}, {}, "a repeat inside a repeat"),
        ({"name": "exact_match", "regexes_to_ignore": [".*a.*b"]}, {}, "its repeats, one behind the other"),
        ({"name": "exact_match", "regexes_to_ignore": [r"(?s).*#### ", r"\d+(\.\d+)?", r"^A:\s*.*$"]}, {}, None),
        ({"name": "f1", "pos_label": 4}, {"labels": 2}, "there is no class 4; the classes are 0 to 1."),
        ({"name": "f1", "average": "macro", "labels": [0, 3]}, {"labels": 3}, "there is no class 3"),
        ("matthews_correlation", {"labels": 3, "multi_label": True}, "it compares one label per row"),
        ("roc_auc", {"labels": 3}, "3 classes are ranked in one of two ways; set multi_class to 'ovr'"),
        ("roc_auc", {"labels": 3, "multi_label": True}, None),
        ({"name": "roc_auc", "multi_class": "ovo", "max_fpr": 0.1}, {"labels": 3}, "max_fpr is for two classes only"),
        ({"name": "roc_auc", "average": "micro"}, {}, "average 'micro' is for several labels a row"),
        ({"name": "seqeval", "mode": "strict"}, {}, "mode 'strict' needs the scheme of the tags"),
        ({"name": "seqeval", "scheme": "IOB2"}, {}, "scheme counts only with mode 'strict'"),
        ("f1", {"forms": ["texts", "likelihoods"]}, "the metric 'f1' takes labels, this task gives likelihoods and "
         "texts; for it are 'chrf', 'exact_match', 'perplexity', 'rouge', 'sacrebleu'."),
        ({"name": "sacrebleu", "smooth_value": 0.5}, {}, "smooth_value counts only with smooth_method 'floor' or"),
        ({"name": "rouge", "tokenizer": list, "use_stemmer": True}, {}, "use_stemmer counts only without a tokenizer"),
        (scaled, {"forms": ["texts"]}, None),
    ],
)  # fmt: skip
def test_problems_of_a_task(declared: Any, facts: dict[str, Any], message: str | None) -> None:
    found = problems(declared, **facts)
    assert found == [] if message is None else len(found) == 1 and message in found[0], found


@pytest.mark.parametrize(
    ("name", "module", "install"),
    [
        ("rouge", "rouge_score", "hf-mtl[metrics]"),
        ("f1", "sklearn", "scikit-learn"),
        ("chrf", "sacrebleu", "hf-mtl[metrics]"),
    ],
)
def test_a_missing_package(name: str, module: str, install: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = (
        f"the metric {name!r} needs the package {module}, which is not installed: pip install '{install}'"
    )
    assert problems(name) == [message]
    with pytest.raises(ConfigError) as caught:
        METRICS[name].compute(predictions=["a"], references=["a"])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda predictions, references: 0.5,
            "must return a dictionary of figures such as {'score': 0.5}, found 0.5",
        ),
        (lambda predictions, references: {"rows": [1, 2]}, "returned no number, only {'rows': [1, 2]}."),
        (Longest(), "the metric 'Longest' gave no figures"),
    ],
)
def test_figures_that_are_none(function: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(function).compute(predictions=[""], references=[""])
    assert message in str(caught.value)


def test_a_metrics_own_error_names_the_metric() -> None:
    def broken(predictions: Any, references: Any) -> dict[str, float]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        resolve(broken).compute(predictions=[1], references=[1])
    assert caught.value.__notes__ == ["raised by the metric 'broken'"]


def test_a_metric_needs_something_to_compute_with() -> None:
    with pytest.raises(ConfigError, match="the metric 'empty' has nothing to compute with"):
        Metric("empty")
