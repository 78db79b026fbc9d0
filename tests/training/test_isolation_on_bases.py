"""Isolation on bases that nobody has listed: kept by switching off what ties tasks together, or the run is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from tiny_bases import BART, DECODER
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    Phi3Config,
    PreTrainedModel,
)

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel, Task
from hf_mtl.errors import ConfigError
from hf_mtl.export.cards import FACTS_FILE, SuiteFacts
from hf_mtl.models import identify
from hf_mtl.training import verify_isolation
from runs import ARGUMENTS, tasks, trainer_of, weights

pytestmark = pytest.mark.usefixtures("ordinary_algorithms_afterwards")

END = 0  # of the tiny Llama's tokenizer, which pads with it too


def _two(**changes: Any) -> dict[str, Task]:
    lora = LoraConfig(r=4, lora_dropout=0.1, target_modules="all-linear")
    found = {name: replace(task, adapter=lora, **changes) for name, task in tasks().items()}
    return {name: found[name] for name in ("verbs", "mlp")}


def _bart() -> PreTrainedModel:
    rates = {"dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.1, "encoder_layerdrop": 0.3}
    ends = {"pad_token_id": END, "eos_token_id": END, "bos_token_id": END, "decoder_start_token_id": END}
    torch.manual_seed(0)
    base: PreTrainedModel = AutoModelForSeq2SeqLM.from_config(
        BartConfig(**BART | rates | ends | {"vocab_size": 300, "max_position_embeddings": 128})
    )
    return base


def _phi(original: int = 24) -> PreTrainedModel:
    """Rotary positions that change behind so many tokens; the rows here have 8 to 69."""
    ends: dict[str, Any] = {"pad_token_id": END, "eos_token_id": END, "bos_token_id": END}
    rope: dict[str, Any] = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
    rope |= {"original_max_position_embeddings": original}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    sizes = DECODER | {"vocab_size": 300, "num_key_value_heads": 2, "max_position_embeddings": 128}
    config = Phi3Config(**sizes, **ends, original_max_position_embeddings=original, rope_parameters=rope)
    torch.manual_seed(0)
    base: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return base


def _trainer(
    folder: Path, out: Path, base: PreTrainedModel, suite: dict[str, Task], **changes: Any
) -> MultiTaskTrainer:
    return trainer_of(folder, out, suite, model=RoutedModel(base), **({"max_steps": 3} | changes))


def test_a_task_on_bart_is_to_the_bit_what_it_is_alone(tiny_llama: Path, tmp_path: Path) -> None:
    """Dropout by functions and layerdrop, which follow the process's random stream, made 0.18 of its weights differ."""
    ends: list[dict[str, Tensor]] = []
    for names in (("verbs", "mlp"), ("mlp",)):
        suite = {name: _two(kind="seq2seq-lm")[name] for name in names}
        trainer = _trainer(tiny_llama, tmp_path, _bart(), suite, full_determinism=True)
        start = weights(trainer, "mlp")
        trainer.train()
        ends.append(weights(trainer, "mlp"))
        assert any(not torch.equal(start[key], value) for key, value in ends[-1].items())
        assert trainer.isolation == ()
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items())


def test_a_base_that_ties_tasks_together_is_refused_with_the_ways_out(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError) as refused:
        _trainer(tiny_llama, tmp_path, _phi(), _two()).train()
    text = str(refused.value)
    assert "on this Phi3ForCausalLM would not be the task trained alone" in text
    assert "probe 'positions': relative difference" in text
    assert "set max_length=24, up to which they are the same, or set isolation='relaxed'" in text

    # Each of them works: longer rows are cut, there is one task, or the run goes on and says so.
    assert _trainer(tiny_llama, tmp_path, _phi(80), _two()).train()
    alone = {"mlp": _two()["mlp"]}
    _trainer(tiny_llama, tmp_path, _phi(), alone).train()
    relaxed = _trainer(tiny_llama, tmp_path, _phi(), _two(), isolation="relaxed")
    relaxed.train()
    assert "positions" in {found.probe for found in relaxed.isolation}
    assert "isolation='relaxed': the rotary angles of a row" in caplog.text
    cards = relaxed.create_model_card()
    facts = SuiteFacts.load(tmp_path / FACTS_FILE)
    assert facts.isolation is not None and "relaxed: " in facts.isolation
    assert len(cards) == 3 and all("are not isolated" in card.read_text(encoding="utf-8") for card in cards)


@pytest.mark.parametrize("isolation", ["required", pytest.param("relaxed", marks=pytest.mark.slow)])
def test_verify_probes_before_it_trains(tiny_llama: Path, tmp_path: Path, isolation: str) -> None:
    def verify() -> Any:
        return verify_isolation(
            lambda: ((base := _phi()), identify(base)),
            MultiTaskTrainingArguments(
                str(tmp_path), **(ARGUMENTS | {"isolation": isolation, "warmup_steps": 0})
            ),
            _two().values(),
            processing_class=AutoTokenizer.from_pretrained(tiny_llama),
            rounds=1,
        )

    if isolation == "required":
        with pytest.raises(ConfigError, match="probe 'positions'"):
            verify()
        return
    found = verify()
    assert any("probe 'positions'" in text for text in found.findings)


def test_other_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="isolation must be one of 'relaxed', 'required', found 'off'"):
        MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, report_to="none", isolation="off")
