"""A base that is set to add a load-balancing loss of a whole batch is refused where it would be trained."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from tiny_decoders import SHAPE
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    MixtralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
)

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.errors import ConfigError
from hf_mtl.models import ConfiguredBase
from runs import ARGUMENTS, rows

FEW: dict[str, Any] = {"num_experts_per_tok": 1, "num_hidden_layers": 1}
CONFIGS: dict[str, PreTrainedConfig] = {
    "mixtral": MixtralConfig(**(SHAPE | FEW), num_local_experts=4),
    "qwen2_moe": Qwen2MoeConfig(**(SHAPE | FEW), num_experts=4, moe_intermediate_size=16),
    "qwen3_moe": Qwen3MoeConfig(**(SHAPE | FEW), num_experts=4, moe_intermediate_size=16),
}


def _base(name: str, tokenizer_of: Path, *, adds_loss: bool) -> PreTrainedModel:
    config = copy.deepcopy(CONFIGS[name])
    config.vocab_size = len(AutoTokenizer.from_pretrained(tokenizer_of))
    vars(config)["output_router_logits"] = adds_loss
    torch.manual_seed(0)
    base: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return base


def _trainer(model: Any, tokenizer_of: Path, out: Path) -> MultiTaskTrainer:
    lora = LoraConfig(r=2, target_modules=["q_proj"])
    suite = [Task("a", train=rows("a", 4), template=PromptCompletion("{text}:", " {label}"), adapter=lora)]
    args = MultiTaskTrainingArguments(str(out), **(ARGUMENTS | {"max_steps": 1}))
    return MultiTaskTrainer(model, args, suite, processing_class=AutoTokenizer.from_pretrained(tokenizer_of))


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_refused_with_what_to_set(name: str, tiny_llama: Path, tmp_path: Path) -> None:
    base = _base(name, tiny_llama, adds_loss=True)
    message = f"output_router_logits=True.*'{name}'.*depend on its neighbours.*Set output_router_logits=False"
    with pytest.raises(ConfigError, match=message):
        _trainer(base, tiny_llama, tmp_path)
    routed = RoutedModel(_base(name, tiny_llama, adds_loss=True))  # for inference, which has no loss
    with pytest.raises(ConfigError, match=message):
        _trainer(routed, tiny_llama, tmp_path)
    routed.base.config.output_router_logits = False
    _trainer(routed, tiny_llama, tmp_path).train()


def test_a_recipe_hears_of_it_before_weights_are_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    _base("mixtral", tiny_llama, adds_loss=True).config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="config.json of the base's folder"):
        ConfiguredBase.load(tmp_path)


def test_the_stock_loss_is_no_sum_over_rows(tiny_llama: Path) -> None:
    """The reason for the refusal, in the stock model: what a batch adds is not what its rows add alone."""
    base = _base("mixtral", tiny_llama, adds_loss=True).eval()
    with torch.no_grad():
        routers = [own for name, own in base.named_parameters() if name.endswith(".gate.weight")]
        for router in routers:  # at their start all experts are about as likely
            router.mul_(100)
    assert routers
    ids = torch.randint(0, 90, (2, 12), generator=torch.Generator().manual_seed(0))

    def added(rows_of: torch.Tensor) -> float:
        with torch.no_grad():
            return float(base(input_ids=rows_of, labels=rows_of).aux_loss)

    both, alone = added(ids), [added(ids[:1]), added(ids[1:])]
    assert abs(both - sum(alone) / 2) > 1e-2 * both and abs(both - sum(alone)) > 1e-2 * both
