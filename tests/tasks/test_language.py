"""What one forward pass says of a conversation: its last answer is compared as a text, and all of its tokens count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl import Chat
from hf_mtl.data import Sequence
from hf_mtl.tasks import CausalLM, Context, Declared, Outcome

END = "<|end|>"


@pytest.fixture
def tokenizer(tiny_llama: Path) -> PreTrainedTokenizerBase:
    own: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_llama)
    return own


def one_hot(ids: list[int], size: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(ids), size).float()


def read(
    tokenizer: PreTrainedTokenizerBase, turns: list[str], wrong: tuple[int, int] | None = None
) -> Outcome:
    """The outcome of a sequence with some learned turns, all foretold but one token: its turn and its place there."""
    ids = [tokenizer(turn)["input_ids"] for turn in turns]
    guesses = [list(own) for own in ids]
    if wrong is not None:
        guesses[wrong[0]][wrong[1]] += 1
    positions: list[int] = []
    place = 1
    for own in ids:
        positions += range(place, place + len(own))
        place += len(own) + 2
    labels = [token for own in ids for token in own]
    sequence = Sequence("talk", [0] * place, positions, labels, 0)
    context = Context(Declared(template=Chat()), tokenizer)
    output = CausalLM().output(
        [sequence], [one_hot([token for own in guesses for token in own], len(tokenizer))], context
    )
    return Outcome(loss_sum=2.0, weight=float(len(labels)), output=output)


def test_the_last_answer_of_one_sequence(tokenizer: PreTrainedTokenizerBase) -> None:
    context = Context(Declared(template=Chat()), tokenizer)
    turns = [f"ran{END}", f"sang{END}"]
    right, wrong, endless = (read(tokenizer, turns, place) for place in ((0, 0), (1, 0), (1, -1)))
    answers = CausalLM().answers("texts", {0: [right], 1: [wrong], 2: [endless]}, {}, context)
    assert answers.references == ["sang"] * 3
    assert [text == "sang" for text in answers.predictions] == [True, False, False]


def test_a_row_of_several_sequences(tokenizer: PreTrainedTokenizerBase) -> None:
    """One for each turn, as of a chat template that rewrites earlier turns."""
    context = Context(Declared(template=Chat()), tokenizer)
    turns = read(tokenizer, [f"a{END}"], (0, 0)), read(tokenizer, [f"good{END}"])
    tokens = [len(own.output.reference_ids) for own in turns]
    kind, row = CausalLM(), {0: list(turns)}
    assert kind.answers("texts", row, {}, context).references == ["good"]
    assert kind.answers("texts", row, {}, context).predictions == ["good"]
    assert kind.answers("likelihoods", row, {}, context).predictions == [(4.0, float(sum(tokens)))]
    assert kind.answers("tokens", row, {}, context).predictions == [(sum(tokens) - 1, sum(tokens))]
