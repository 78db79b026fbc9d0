"""What users of a decoder rely on: sampling, stopping, streaming, who may join, and what is refused."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from decoding_cases import letters, prompts, request, routed
from tiny_bases import TESTED
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
)

from hf_mtl.errors import ConfigError, DataError
from hf_mtl.models import Decoder, Event, GenerationRequest, GenerationSettings, RoutedModel
from hf_mtl.models.decoding.text import TextWriter

CASE = TESTED["LlamaForCausalLM"]
KINDS = ("mlp", "wide", "ia3", "prefix")


@pytest.fixture(scope="module")
def model() -> RoutedModel:
    return routed(CASE, kinds=KINDS)


@pytest.fixture
def llama(tiny_llama: Path) -> tuple[RoutedModel, PreTrainedTokenizerBase]:
    model = RoutedModel(AutoModelForCausalLM.from_pretrained(tiny_llama))
    with torch.no_grad():  # as it is made, it writes one token over and over
        for parameter in model.base.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)), alpha=0.1
            )
    return model.eval(), AutoTokenizer.from_pretrained(tiny_llama)


def test_what_is_drawn_depends_on_the_request_alone(model: RoutedModel) -> None:
    asked = [
        request(route, ids, 10, temperature=1.5, seed=seed, top_k=top_k, top_p=top_p)
        for (route, ids), seed, top_k, top_p in zip(
            zip((None, *KINDS, "mlp"), prompts((4, 9, 1, 5, 7, 3)), strict=True),
            (1, 2, 1, 3, 1, 2),
            (None, 20, None, 20, None, None),
            (0.9, None, None, 0.9, None, None),
            strict=True,
        )
    ]
    together = Decoder(model, letters()).generate(asked)
    assert Decoder(model, letters(), max_rows=2).generate(reversed(asked)) == together[::-1]
    for one, answer in zip(asked, together, strict=True):
        assert Decoder(model, letters()).generate([one]) == [answer]
    other = request(None, asked[0].input_ids, 10, temperature=1.5, seed=7, top_p=0.9)
    assert Decoder(model, letters()).generate([other]) != together[:1]


def test_draws_follow_the_probabilities(model: RoutedModel) -> None:
    (ids,) = prompts((6,))
    (greedy,) = Decoder(model, letters()).generate([request("mlp", ids, 6)])
    cold = request("mlp", ids, 6, temperature=1e-4)
    narrow = request("mlp", ids, 6, temperature=2.0, top_k=1)
    few = request("mlp", ids, 6, temperature=2.0, top_p=1e-6)
    for answer in Decoder(model, letters()).generate([cold, narrow, few]):
        assert answer.token_ids == greedy.token_ids
    with model.route("mlp") as base, torch.no_grad():
        exact = base(torch.tensor([ids])).logits[0, -1].div(0.5).softmax(-1)
    drawn = [request("mlp", ids, 1, temperature=0.5, seed=seed) for seed in range(400)]
    counts = torch.zeros(len(exact))
    for answer in Decoder(model, letters(), max_rows=200).generate(drawn):
        counts[answer.token_ids[0]] += 1
    expected, likely = exact.float() * len(drawn), exact > 0.02
    assert int(likely.sum()) >= 3
    assert ((counts - expected)[likely].abs() < 4 * expected[likely].sqrt()).all()


def test_a_repetition_penalty_is_transformers_own(model: RoutedModel) -> None:
    (ids,) = prompts((5,))
    seen = list(ids)
    for _ in range(8):
        with model.route("mlp") as base, torch.no_grad():
            scores = base(torch.tensor([seen])).logits[:, -1]
        penalised = RepetitionPenaltyLogitsProcessor(1.8)(torch.tensor([seen]), scores)
        seen.append(int(penalised.argmax()))
    asked = [request("mlp", ids, 8, repetition_penalty=1.8), request("mlp", ids, 8)]
    answers = Decoder(model, letters()).generate(asked)
    assert list(answers[0].token_ids) == seen[5:]
    assert answers[1].token_ids != answers[0].token_ids
    assert model.base.generation_config is not None
    model.base.generation_config.repetition_penalty = (
        1.8  # what a base asks for holds where a request is silent
    )
    try:
        assert Decoder(model, letters()).generate(asked[1:])[0] == answers[0]
    finally:
        model.base.generation_config.repetition_penalty = 1.0


def test_pieces_join_to_the_text_and_hold_whole_characters(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    for text in ("walked 日本語 naïve 🙂🙃 fine", "é", " ran\n\n", "ß ", "a🙂"):
        writer, ids = TextWriter(tokenizer), tokenizer(text)["input_ids"]
        assert len(ids) > len(text) or text.isascii()  # characters are split over tokens
        pieces = [writer.take(ids[:n], last=n == len(ids)) for n in range(1, len(ids) + 1)]
        assert "".join(pieces) == text
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_stream_tells_what_generate_gives(llama: tuple[RoutedModel, PreTrainedTokenizerBase]) -> None:
    model, tokenizer = llama
    asked = [
        request(None, tuple(tokenizer(text)["input_ids"]), new, temperature=1.0, seed=new)
        for text, new in (("walk", 20), ("good", 3), ("sang and", 31), ("x", 1))
    ]
    answers = Decoder(model, tokenizer).generate(asked)
    told: dict[int, list[Event]] = defaultdict(list)
    for event in Decoder(model, tokenizer, max_rows=2).stream(asked):
        told[event.request].append(event)
    for i, answer in enumerate(answers):
        assert tuple(event.token_id for event in told[i]) == answer.token_ids
        assert "".join(event.text for event in told[i]) == answer.text
        assert answer.text == tokenizer.decode(list(answer.token_ids), skip_special_tokens=True)
        assert [event.finish for event in told[i]] == [None] * (len(told[i]) - 1) + [answer.finish]


def test_stop_strings_end_an_answer_and_are_not_told(
    llama: tuple[RoutedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = llama
    ids = tuple(tokenizer("walk")["input_ids"])
    (free,) = Decoder(model, tokenizer).generate([request(None, ids, 24, temperature=1.0, seed=3)])
    pairs = [free.text[at : at + 2] for at in range(4, len(free.text) - 4)]
    stop = next(pair for pair in pairs if "\ufffd" not in pair)
    asked = [
        request(None, ids, 24, temperature=1.0, seed=3, stop=("never there", stop)),
        request(None, ids, 24, temperature=1.0, seed=3, stop=(free.text[-1] + "!",)),
    ]
    stopped, held = Decoder(model, tokenizer).generate(asked)
    assert stopped.text == free.text[: free.text.index(stop)]
    assert stopped.text and stopped.finish == "stop" and len(stopped.token_ids) < len(free.token_ids)
    assert held == free  # the beginning of a stop string, held back, comes in the end
    pieces: dict[int, str] = defaultdict(str)
    for event in Decoder(model, tokenizer).stream(asked):
        pieces[event.request] += event.text
    assert (pieces[0], pieces[1]) == (stopped.text, free.text)


def test_end_tokens_of_tokenizer_and_base_end_an_answer(model: RoutedModel) -> None:
    (ids,) = prompts((6,))
    (free,) = Decoder(model, letters()).generate([request("wide", ids, 12)])
    end = free.token_ids[3]
    first = free.token_ids.index(end)
    assert model.base.generation_config is not None
    model.base.generation_config.eos_token_id = [end, 96]
    try:
        (ended,) = Decoder(model, letters()).generate([request("wide", ids, 12)])
    finally:
        model.base.generation_config.eos_token_id = None
    assert (ended.token_ids, ended.finish) == (free.token_ids[: first + 1], "stop")
    assert ended.text == letters().decode(list(free.token_ids[:first]))


def test_the_base_has_no_positions_beyond_its_last(model: RoutedModel) -> None:
    (ids,) = prompts((55,))
    (answer,) = Decoder(model, letters()).generate([request("prefix", ids, 30)])
    assert (len(answer.token_ids), answer.finish) == (64 - 55 - 5 + 1, "length")


def test_a_request_that_is_cancelled_leaves_and_others_go_on(model: RoutedModel) -> None:
    decoder = Decoder(model, letters(), max_rows=3)
    rows = list(zip(("mlp", "prefix", None, "wide"), prompts((5, 6, 7, 8)), strict=True))
    expected = [a.token_ids for a in Decoder(model, letters()).generate(request(*row) for row in rows)]
    numbers = [decoder.add(request(*row)) for row in rows]
    told: dict[int, tuple[int, ...]] = defaultdict(tuple)
    for step in range(20):
        for event in decoder.step():
            told[event.request] += (event.token_id,)
        if step == 1:
            assert (decoder.running, decoder.waiting) == (3, 1)
            decoder.cancel(numbers[0])
    assert not decoder.busy
    assert len(told[numbers[0]]) == 3
    assert [told[number] for number in numbers[1:]] == expected[1:]


def test_a_broken_adapter_does_not_reach_its_neighbours() -> None:
    model = routed(CASE, kinds=KINDS)
    rows = list(zip(("mlp", "prefix", "wide", None), prompts((5, 6, 7, 8)), strict=True))
    before = Decoder(model, letters()).generate(request(*row) for row in rows)
    for parameter in model.adapter_parameters("ia3").values():
        parameter.data.fill_(float("nan"))
    broken = request("ia3", (5, 6, 7, 8, 9, 10, 11, 12, 13), 3)
    model.add_adapter("bad", model.adapter_configs["mlp"])
    for parameter in model.adapter_parameters("bad").values():
        parameter.data.fill_(float("nan"))
    other = request("bad", (5, 6), 5)
    decoder = Decoder(model, letters())
    after = decoder.generate([broken, other, *(request(*row) for row in rows)])
    assert after[2:] == before
    # nor does it reach those who take its place while others are still there
    first = decoder.add(request(*rows[0], 12))
    decoder.add(broken)
    told: dict[int, tuple[int, ...]] = defaultdict(tuple)
    for _ in range(6):
        for event in decoder.step():
            told[event.request] += (event.token_id,)
    late = decoder.add(request(*rows[2]))
    while decoder.busy:
        for event in decoder.step():
            told[event.request] += (event.token_id,)
    assert told[late] == before[2].token_ids
    assert told[first][:8] == before[0].token_ids


def test_weights_that_change_between_two_answers_are_seen(model: RoutedModel) -> None:
    model = routed(CASE, kinds=("mlp", "dora"))
    decoder = Decoder(model, letters())
    asked = [request(route, ids) for route, ids in zip(("mlp", "dora"), prompts((6, 6)), strict=True)]
    before = decoder.generate(asked)
    with torch.no_grad():
        for name in ("mlp", "dora"):
            for key, parameter in model.adapter_parameters(name).items():
                if "lora_B" in key:
                    parameter.mul_(-3)
    after = decoder.generate(asked)
    assert after == Decoder(model, letters()).generate(asked)
    assert all(a != b for a, b in zip(after, before, strict=True))


def test_a_model_in_training_is_left_in_training(model: RoutedModel) -> None:
    model.train()
    try:
        decoder = Decoder(model, letters())
        decoder.generate([request("mlp", (5, 6, 7), 2)])
        assert model.training and model.base.training
    finally:
        model.eval()


def test_each_row_of_an_encoder_decoder_has_its_own_settings() -> None:
    case = TESTED["T5ForConditionalGeneration"]
    model = routed(case, kinds=("mlp", "ia3"))
    asked = [
        request("mlp", (5, 6, 7, 8), 6, temperature=1.3, seed=3),
        request(None, (9, 8), 9, stop=("w",)),
        request("ia3", (5, 6, 7), 4, repetition_penalty=1.5),
        request("mlp", (9, 8, 7, 6, 5), 7),
    ]
    together = Decoder(model, letters()).generate(asked)
    assert together == [Decoder(model, letters()).generate([one])[0] for one in asked]
    assert together[1].finish == "stop" and together[1].text == ""
    told: dict[int, list[int]] = defaultdict(list)
    for event in Decoder(model, letters(), max_rows=3).stream(asked):
        told[event.request].append(event.token_id)
    assert [tuple(told[i]) for i in range(4)] == [answer.token_ids for answer in together]


@pytest.mark.parametrize(
    ("route", "ids", "error", "message"),
    [
        ("mlp", (), DataError, "route 'mlp' has an empty prompt. Give at least one token"),
        (None, (), DataError, "bare base has an empty prompt"),
        ("mpl", (5,), ConfigError, "no route 'mpl'.*Did you mean 'mlp'"),
        ("mlp", (5, 97), DataError, "has the token 97, and the base's vocabulary ends at 96"),
        (
            "prefix",
            (5,) * 60,
            DataError,
            "65 tokens, virtual ones included, and the base has positions for 64",
        ),
    ],
)
def test_requests_that_cannot_be_answered_are_refused(
    model: RoutedModel, route: str | None, ids: tuple[int, ...], error: type[Exception], message: str
) -> None:
    decoder = Decoder(model, letters())
    with pytest.raises(error, match=message):
        decoder.generate([request("mlp", (5, 6)), GenerationRequest(route, ids)])
    assert not decoder.busy  # all or none


def test_settings_that_cannot_work_are_told_together() -> None:
    with pytest.raises(ConfigError, match="max_new_tokens=0") as caught:
        GenerationSettings(max_new_tokens=0, temperature=0.0, top_p=1.5, stop=("",))
    assert len(caught.value.problems) == 4
    with pytest.raises(ConfigError, match="Give a temperature"):
        GenerationSettings(top_k=5)


def test_a_decoder_in_use_and_a_base_that_does_not_write_are_refused(model: RoutedModel) -> None:
    decoder = Decoder(model, letters())
    decoder.add(request("mlp", (5, 6)))
    with pytest.raises(ConfigError, match="1 requests in flight"):
        decoder.generate([])
    with pytest.raises(ConfigError, match="writes no text"):
        Decoder(RoutedModel(TESTED["BertModel"].base()), letters())
    with pytest.raises(ConfigError, match="max_rows: expected a whole number above 0, found 0"):
        Decoder(model, letters(), max_rows=0)
