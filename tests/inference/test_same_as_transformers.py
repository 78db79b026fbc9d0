"""Every kind's answers are those of `transformers.pipeline` on the stock class with plain PEFT, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from answers import TAGGED, assert_same
from kind_bases import picture
from kind_cases import KINDS, LABELS, PAIRS, TEXTS, KindCase, Ours, ours, task_of
from peft import PeftModel, PrefixTuningConfig
from plain_peft import for_plain_peft, shake
from stock_side import stock_base
from transformers import PreTrainedModel, PreTrainedTokenizerBase, pipeline

from hf_mtl import MultiTaskPipeline
from hf_mtl.export import save_suite


@dataclass(frozen=True)
class Answered:
    """A kind's inputs, and what the stock pipeline is called.

    Args:
        case: The kind.
        task: The stock pipeline.
        inputs: What both are given.
        options: What both take.
    """

    case: KindCase
    task: str
    inputs: list[Any]
    options: Mapping[str, Any] = field(default_factory=dict)


_PAIRED = [{"text": first, "text_pair": second} for first, second in zip(TEXTS, PAIRS, strict=True)]
CASES = {
    "single-label": Answered(KINDS["single-label"], "text-classification", TEXTS),
    "all labels": Answered(KINDS["single-label"], "text-classification", TEXTS, {"top_k": None}),
    "two labels": Answered(KINDS["single-label"], "text-classification", TEXTS, {"top_k": 2}),
    "pair": Answered(KINDS["pair"], "text-classification", _PAIRED, {"top_k": 3}),
    "multi-label": Answered(KINDS["multi-label"], "text-classification", TEXTS, {"top_k": None}),
    "regression": Answered(KINDS["regression"], "text-classification", TEXTS),
    "tokens": Answered(TAGGED, "token-classification", TEXTS),
    "all tokens": Answered(TAGGED, "token-classification", TEXTS, {"ignore_labels": []}),
    **{
        f"entities, {own}": Answered(TAGGED, "token-classification", TEXTS, {"aggregation_strategy": own})
        for own in ("simple", "first", "max", "average")
    },
    "images": Answered(KINDS["images"], "image-classification", [picture(i) for i in range(3)]),
    "best image": Answered(KINDS["images"], "image-classification", [picture(5)], {"top_k": 1}),
    "prompts": Answered(KINDS["causal-lm"], "text-generation", ["the good", "a"], {"max_new_tokens": 6}),
    "new text": Answered(
        KINDS["causal-lm"], "text-generation", ["who wrote"], {"max_new_tokens": 5, "return_full_text": False}
    ),
    "chat": Answered(
        KINDS["chat"], "text-generation", [[{"role": "user", "content": "who ?"}]], {"max_new_tokens": 5}
    ),
}
BOTH = [
    ("single-label", "llama"),
    ("single-label", "roberta"),
    ("single-label", "modernbert-mean"),
    ("single-label", "t5"),
    ("all labels", "bert"),
    ("two labels", "bert"),
    ("pair", "bert"),
    ("multi-label", "bert"),
    ("regression", "bert"),
    ("tokens", "bert"),
    ("tokens", "llama"),
    ("tokens", "t5"),
    ("all tokens", "roberta"),
    ("entities, simple", "llama"),
    ("entities, first", "llama"),
    *((f"entities, {own}", "bert") for own in ("simple", "first", "max", "average")),
    ("images", "vit"),
    ("best image", "vit"),
    ("prompts", "llama"),
    ("prompts", "gpt2"),
    ("new text", "gpt2"),
    ("chat", "llama"),
]


def _tokenizer(own: Ours) -> PreTrainedTokenizerBase:
    assert isinstance(own.processor, PreTrainedTokenizerBase)
    return own.processor


def merged(own: Ours, case: KindCase, base: Path, out: Path) -> PreTrainedModel:
    """The stock class with the exported adapter merged into it by PEFT."""
    save_suite(own.model, out, processor=own.processor)
    stock = stock_base(case, own.model.auto_class("t"), base, torch.float32)
    if case.task.get("labels"):
        stock.config.id2label = dict(enumerate(case.task["labels"]))
    plain = PeftModel.from_pretrained(stock, out / "t").merge_and_unload().eval()
    assert isinstance(plain, PreTrainedModel)
    return plain


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words:UserWarning")
@pytest.mark.parametrize(("name", "base"), BOTH)
def test_answers_are_those_of_the_stock_pipeline(
    bases: Callable[[str], Path], tmp_path: Path, name: str, base: str
) -> None:
    answered = CASES[name]
    task = task_of("t", answered.case)
    own = ours(bases(base), task, dtype="float32", move=shake)
    found = MultiTaskPipeline(own.model, own.processor, {"t": task})(
        [("t", given, answered.options) for given in answered.inputs]
    )
    processor = "image_processor" if answered.task == "image-classification" else "tokenizer"
    options: dict[str, Any] = {processor: own.processor}
    model = merged(own, answered.case, bases(base), tmp_path)
    stock: Any = pipeline(answered.task, model=model, **options)  # type: ignore[call-overload]  # any task
    greedy = {"do_sample": False} if answered.task == "text-generation" else {}
    expected = [stock(given, **answered.options, **greedy) for given in answered.inputs]
    assert_same(found, [[one] if isinstance(one, dict) else one for one in expected])
    assert any(one for one in found)


def test_words_are_told_by_the_characters_of_their_sentence(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    task = task_of("t", TAGGED)
    own = ours(bases("bert"), task, dtype="float32", move=shake)
    options = {"aggregation_strategy": "first", "ignore_labels": []}
    words = ["John", "Smith", "lives", "in", "Paris."]
    [found] = MultiTaskPipeline(own.model, own.processor, {"t": task})([("t", words, options)])
    sentence = " ".join(words)
    assert (
        [own["entity_group"] for own in found]
        and found[0]["start"] == 0
        and found[-1]["end"] == len(sentence)
    )
    tokens = MultiTaskPipeline(own.model, own.processor, {"t": task})([("t", words, {"ignore_labels": []})])[
        0
    ]
    # The full stop is a part of the word that it was given with.
    firsts = [token for token in tokens if token["start"] in (0, 5, 11, 17, 20)]
    assert len(firsts) == len(words) < len(tokens)
    tagger: dict[str, Any] = {"tokenizer": own.processor, "ignore_labels": []}
    stock: Any = pipeline(
        "token-classification", model=merged(own, TAGGED, bases("bert"), tmp_path), **tagger
    )
    assert_same(tokens, stock(sentence))


def _stock_answers(
    model: PreTrainedModel, tokenizer: Any, asked: Mapping[str, str], *, top_k: int, longest: int, null: bool
) -> list[dict[str, Any]]:
    """What the question answering of transformers 4 gave for a context in one window, written down anew."""
    encoded = tokenizer(asked["question"], asked["context"], return_tensors="pt")
    with torch.no_grad():
        output = model(**encoded)
    context = torch.tensor([number == 1 for number in encoded.sequence_ids(0)])
    allowed = context.clone()
    allowed[0] = True  # [CLS]
    start, end = (
        logits[0].masked_fill(~allowed, -10000.0).softmax(-1)
        for logits in (output.start_logits, output.end_logits)
    )
    none = float(start[0] * end[0])
    spans = [
        (float(start[i] * end[j]), i, j)
        for i in context.nonzero().flatten().tolist()
        for j in context.nonzero().flatten().tolist()
        if i <= j < i + longest
    ]
    answers: dict[tuple[int, int], float] = {}
    for score, i, j in sorted(spans, reverse=True)[: 2 * top_k + 10]:
        first = encoded.word_to_chars(encoded.token_to_word(i), sequence_index=1)[0]
        last = encoded.word_to_chars(encoded.token_to_word(j), sequence_index=1)[1]
        answers[first, last] = answers.get((first, last), 0.0) + score
    told: list[dict[str, Any]] = [
        {"score": score, "start": first, "end": last, "answer": asked["context"][first:last]}
        for (first, last), score in answers.items()
    ]
    if null:
        told.append({"score": none, "start": 0, "end": 0, "answer": ""})
    return sorted(told, key=lambda own: -own["score"])[:top_k]


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("top_k", [1, 4])
def test_spans_are_those_that_transformers_gave(
    bases: Callable[[str], Path], tmp_path: Path, top_k: int, null: bool
) -> None:
    case = replace(KINDS["spans"], task={"max_length": 100})
    task = task_of("t", case)
    own = ours(bases("bert"), task, dtype="float32", move=shake)
    asked = [
        {"question": "where does it flow ?", "context": "the river flows to that sea, awful !"},
        {"question": "who ?", "context": "John Smith lives in Paris"},
    ]
    options = {"top_k": top_k, "handle_impossible_answer": null, "max_answer_len": 7}
    found = MultiTaskPipeline(own.model, own.processor, {"t": task})([("t", one, options) for one in asked])
    plain = merged(own, case, bases("bert"), tmp_path)
    for one, answer in zip(asked, found, strict=True):
        expected = _stock_answers(plain, own.processor, one, top_k=top_k, longest=7, null=null)
        assert_same(answer, expected[0] if top_k == 1 else expected)


def test_labels_are_ranked_as_the_stock_model_ranks_their_completions(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    case = replace(
        KINDS["label-scoring"], task={**KINDS["label-scoring"].task, "labels": ["a b", "a c", "sea"]}
    )
    case = replace(case, rows=[row | {"label": "sea"} for row in case.rows])
    task = task_of("t", case)
    own = ours(bases("llama"), task, dtype="float32", move=shake)
    rows = [{"text": text} for text in TEXTS]
    found = MultiTaskPipeline(own.model, own.processor, {"t": task})([("t", row) for row in rows])
    plain = merged(own, case, bases("llama"), tmp_path)
    tokenizer = _tokenizer(own)
    for row, ranked in zip(rows, found, strict=True):
        prompt = tokenizer(f"{row['text']}:")["input_ids"]
        sums = []
        for label in case.task["labels"]:
            ids = tokenizer(f" {label}")["input_ids"]
            with torch.no_grad():
                logits = plain(input_ids=torch.tensor([prompt + ids])).logits[0]
            log_probabilities = logits.log_softmax(-1)[len(prompt) - 1 : -1]
            sums.append(log_probabilities[range(len(ids)), ids].sum())
        scores = torch.stack(sums).softmax(-1).tolist()
        expected = [
            {"label": label, "score": score} for label, score in zip(case.task["labels"], scores, strict=True)
        ]
        assert_same(ranked, sorted(expected, key=lambda one: -one["score"]))


def test_an_encoder_decoder_gives_what_it_wrote(bases: Callable[[str], Path], tmp_path: Path) -> None:
    task = task_of("t", KINDS["seq2seq-lm"])
    own = ours(bases("t5"), task, dtype="float32", move=shake)
    pipe = MultiTaskPipeline(own.model, own.processor, {"t": task})
    prompts = ["who wrote the book ?", "awful"]
    found = pipe([("t", prompt, {"max_new_tokens": 6}) for prompt in prompts])
    plain: Any = merged(own, KINDS["seq2seq-lm"], bases("t5"), tmp_path)
    tokenizer = _tokenizer(own)
    for prompt, answer in zip(prompts, found, strict=True):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        output = plain.generate(input_ids=ids, max_new_tokens=6, do_sample=False)
        text = tokenizer.decode(output[0, 1:], skip_special_tokens=True)
        assert answer == [{"generated_text": text}]


def test_an_adapter_that_cannot_be_merged(bases: Callable[[str], Path], tmp_path: Path) -> None:
    task = task_of("t", KINDS["single-label"], adapter=PrefixTuningConfig(num_virtual_tokens=3))
    own = ours(bases("bert"), task, dtype="float32", move=shake)
    found = MultiTaskPipeline(own.model, own.processor, {"t": task})(
        [("t", text, {"top_k": None}) for text in TEXTS]
    )
    save_suite(own.model, tmp_path, processor=own.processor)
    stock = stock_base(KINDS["single-label"], own.model.auto_class("t"), bases("bert"), torch.float32)
    plain = PeftModel.from_pretrained(for_plain_peft(stock), tmp_path / "t").eval()
    for text, answer in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            scores = plain(**_tokenizer(own)(text, return_tensors="pt")).logits[0].softmax(-1).tolist()
        expected = [{"label": label, "score": score} for label, score in zip(LABELS, scores, strict=True)]
        assert_same(answer, sorted(expected, key=lambda one: -one["score"]))
