"""The tokens that end completions, and the text before them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tokenizers_made import TOKENIZERS, made_tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl.data import EndFinder, EndToken, Example, PromptCompletion, RowTokens, answer_text, last_run

END, TURN = "<|end|>", "<|turn|>"


@pytest.fixture
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerBase:
    own: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_llama)
    own.add_tokens([TURN])  # not a special token: decoding does not leave it out
    return own


def example(tokenizer: PreTrainedTokenizerBase, *turns: str, cut: bool = False) -> Example:
    """A sequence whose turns are learned, with two tokens that are read before each."""
    positions: list[int] = []
    ids: list[int] = []
    place = 0
    for turn in turns:
        own = tokenizer(turn)["input_ids"]
        place += 2
        positions += range(place, place + len(own))
        ids += own
        place += len(own)
    return Example([0] * (place + 1), positions, ids, truncated=cut)


def found(
    tokenizer: PreTrainedTokenizerBase, *examples: Example
) -> tuple[EndFinder, dict[str, tuple[EndToken, ...]]]:
    sink: dict[str, tuple[EndToken, ...]] = {}
    finder = EndFinder("talk", tokenizer, sink)
    finder.add(examples)
    return finder, sink


@pytest.mark.parametrize(
    ("learned", "text"),
    [
        (f" ran{END}", " ran"),
        (" ran", " ran"),  # cut off before its end
        (f"ran{TURN}\n", "ran"),  # a chat template's line break behind the end
        (f"ran {END}", "ran "),
        (f"{END}", ""),
        (f"thought{END}ran{TURN}", "thoughtran"),  # a special token inside an answer, as generation shows it
    ],
)
def test_the_text_of_an_answer(tokenizer: PreTrainedTokenizerBase, learned: str, text: str) -> None:
    ids = tokenizer(learned)["input_ids"]
    assert answer_text(ids, tokenizer) == text


@pytest.mark.parametrize(
    ("positions", "start"), [([4], 0), ([1, 2, 3], 0), ([1, 2, 5], 2), ([1, 3, 5, 6, 7], 2)]
)
def test_the_last_run(positions: list[int], start: int) -> None:
    assert last_run(positions) == start


def test_each_turn_has_its_end(tokenizer: PreTrainedTokenizerBase) -> None:
    turn, end = (tokenizer.convert_tokens_to_ids(text) for text in (TURN, END))
    assert isinstance(turn, int) and isinstance(end, int)
    finder, sink = found(
        tokenizer, example(tokenizer, f"ran{TURN}\n", f"sang{TURN}\n"), example(tokenizer, f"call{END}")
    )
    ends = {EndToken(turn, TURN), EndToken(end, END)}
    assert set(sink["talk"]) == ends and finder.problem() is None
    assert finder.ids == sorted(end.id for end in ends)


def test_nothing_is_said_of_a_completion_that_was_cut_off(
    tokenizer: PreTrainedTokenizerBase, caplog: pytest.LogCaptureFixture
) -> None:
    finder, sink = found(tokenizer, example(tokenizer, f"ran{TURN}", "sa", cut=True))
    assert [end.text for end in sink["talk"]] == [TURN] and finder.problem() is None
    finder, sink = found(tokenizer, example(tokenizer, "ran and s", cut=True))
    with caplog.at_level(logging.WARNING):
        finder.warn()
    assert not sink and finder.problem() is None
    assert "task 'talk': every completion is cut off at max_length" in caplog.text


def test_plain_text_stops_nothing(
    tokenizer: PreTrainedTokenizerBase, caplog: pytest.LogCaptureFixture
) -> None:
    finder, sink = found(tokenizer, example(tokenizer, "ran\n", "sang\n"))
    problem = finder.problem()
    assert not sink and problem is not None
    assert "'ran\\n'" in problem and "{{ eos_token }}" in problem and "PromptCompletion" in problem
    finder.add([example(tokenizer, f"ran{END}")])
    with caplog.at_level(logging.WARNING):
        finder.warn()
    assert finder.problem() is None and "2 of its completions end with no token" in caplog.text


def test_an_end_that_stands_inside_other_completions(
    tokenizer: PreTrainedTokenizerBase, caplog: pytest.LogCaptureFixture
) -> None:
    finder, _ = found(tokenizer, example(tokenizer, f"a{TURN}b{END}"), example(tokenizer, f"c{END}"))
    finder.warn()
    assert not caplog.records  # what never ends a completion may stand inside one
    finder.add([example(tokenizer, f"d{TURN}")])
    with caplog.at_level(logging.WARNING):
        finder.warn()
    assert f"{TURN!r} ends some completions and stands inside 1 others" in caplog.text


def test_an_unknown_token_is_no_end(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.unk_token = TURN
    finder, sink = found(tokenizer, example(tokenizer, f"ran{TURN}"))
    assert not sink and finder.problem() is not None


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_the_end_token_of_every_tokenizer_ends(name: str) -> None:
    """Of GPT-2's too, which has one token for the end and for what it does not know."""
    tokenizer = made_tokenizer(name)
    if tokenizer.eos_token is None:
        tokenizer.eos_token = "<|im_end|>"
    row = {"prompt": "The weather is", "completion": " fine"}
    [encoded] = RowTokens(PromptCompletion("{prompt}", "{completion}"), tokenizer).encode(row)
    finder, sink = found(tokenizer, Example.next_token(encoded))
    assert finder.problem() is None and finder.ids == [tokenizer.eos_token_id]
    assert sink["talk"][0].text == tokenizer.eos_token
    assert answer_text(encoded.input_ids[-1:], tokenizer) == ""
