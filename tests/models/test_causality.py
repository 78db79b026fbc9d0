"""Whether a base may write is found out by running it, whatever its class says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tiny_bases import CASES, DECODER, ENCODER
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    XLMRobertaConfig,
    XLMRobertaForCausalLM,
)

from hf_mtl import PromptCompletion, RoutedModel, Task, load_base
from hf_mtl.errors import ConfigError
from hf_mtl.models import Decoder, attention, base_problems, place_task
from hf_mtl.tasks import KINDS

WRITERS = [name for name in CASES if "CausalLM" in name or "LMHead" in name]
PAIRS = [name for name, case in CASES.items() if case.kind == "pair"]
XLMR: dict[str, Any] = ENCODER | {"is_decoder": False}
ROWS = Dataset.from_list([{"prompt": "run", "completion": " ran"}])


def xlmr(**changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    base: PreTrainedModel = XLMRobertaForCausalLM(XLMRobertaConfig(**XLMR | changes))
    return base


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", [*WRITERS, *PAIRS])
def test_bases_that_write(name: str, dtype: torch.dtype) -> None:
    model = RoutedModel(CASES[name].base(dtype))
    model.train()
    assert model.writes and model.training  # the probe leaves the model's mode as it was
    kind = "seq2seq-lm" if name in PAIRS else "causal-lm"
    assert not base_problems(model, KINDS[kind]())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["causal-lm", "label-scoring"])
def test_an_encoder_that_was_opened_as_a_writer(kind: str, dtype: torch.dtype) -> None:
    model = RoutedModel(xlmr().to(dtype))  # type: ignore[arg-type]  # transformers wraps `to` without its self
    assert model.has_vocabulary_head and not model.writes
    task = Task(
        "past",
        kind=kind,
        train=ROWS,
        labels=["ran", "sang"],
        template=PromptCompletion("{prompt}", " {completion}"),
    )
    with pytest.raises(ConfigError) as refused:
        place_task(model, task, seed=0)
    text = str(refused.value)
    assert (
        text.startswith(f"task 'past': {kind} needs a base that writes") and "XLMRobertaForCausalLM" in text
    )
    assert "is_decoder=True" in text and "a kind with a head" in text and "past" not in model.routes
    with pytest.raises(ConfigError, match="a XLMRobertaForCausalLM that is not causal"):
        Decoder(model, None)  # type: ignore[arg-type]  # refused before the tokenizer is looked at


def test_the_same_class_as_a_decoder() -> None:
    assert RoutedModel(xlmr(is_decoder=True)).writes


def test_a_folder_of_an_encoder(tmp_path: Path) -> None:
    xlmr().save_pretrained(tmp_path)
    base, identity = load_base(tmp_path)
    assert not RoutedModel(base, identity=identity).writes


def test_the_probe_runs_once_and_draws_no_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = RoutedModel(CASES["LlamaForCausalLM"].base(torch.float32))
    calls = []
    forward = LlamaForCausalLM.forward

    def counted(self: LlamaForCausalLM, *args: Any, **kwargs: Any) -> Any:  # Any: a forward's own
        calls.append(1)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
    state = torch.random.get_rng_state()
    assert model.writes and len(calls) == 4  # two inputs, by themselves and packed
    assert model.writes and len(calls) == 4
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_base_that_looks_ahead_only_when_it_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that is right in an ordinary call and missing in a stream: the packed pass is asked too."""
    model = RoutedModel(CASES["LlamaForCausalLM"].base(torch.float32))
    form = attention._Form
    monkeypatch.setattr(attention, "_Form", lambda causal, window, scaling: form(False, window, scaling))
    assert not model.writes


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_quantised_bases(bits: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="needs pip install hf-mtl[4bit]")
    wide = {"hidden_size": 64, "intermediate_size": 128}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**DECODER | wide)).save_pretrained(tmp_path / "llama")
    loud = xlmr(**wide, initializer_range=0.2)
    loud.save_pretrained(tmp_path / "xlmr")
    causal = {}
    for name in ("llama", "xlmr"):
        base, identity = load_base(tmp_path / name, quantization=bits, dtype="float32")
        causal[name] = RoutedModel(base, identity=identity).writes
    assert causal == {"llama": True, "xlmr": False}


def test_a_base_with_few_positions_and_tokens() -> None:
    config = LlamaConfig(**DECODER | {"max_position_embeddings": 6, "vocab_size": 5})
    assert RoutedModel(AutoModelForCausalLM.from_config(config)).writes
