"""Which weights are decayed: those that the stock Trainer decays in plain PEFT, on every architecture and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from all_kinds import adapters_for
from kind_bases import BASES, TOKENIZERS, make_base
from peft import LoraConfig, PeftConfig
from plain_peft import from_folder
from tiny_bases import CASES
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainingArguments

from hf_mtl import MultiTaskTrainer, PromptCompletion, Task
from hf_mtl.export import save_suite
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models import RoutedModel
from hf_mtl.training.decay import undecayed
from runs import ARGUMENTS, rows


def _stock(folder: Path) -> Trainer:
    return Trainer(nn.Linear(1, 1), TrainingArguments(str(folder), report_to="none", use_cpu=True))


def _of_plain(trainer: Trainer, base: PreTrainedModel, folder: Path) -> set[str]:
    """The keys, as PEFT's files have them, of what a stock Trainer would not decay."""
    plain, named = from_folder(base, folder)
    decayed = set(trainer.get_decay_parameter_names(plain))
    spared = {id(own) for name, own in plain.named_parameters() if name not in decayed}
    return {key for key, own in named.items() if id(own) in spared}


def _of_ours(trainer: Trainer, model: RoutedModel, name: str) -> set[str]:
    spared = undecayed(trainer, model, [name])
    return {key for key, own in model.adapter_parameters(name).items() if own in spared}


# PEFT warns of merging into tied weights, which nobody does here.
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to:UserWarning")  # PEFT sets it by the layer itself
@pytest.mark.parametrize("case", sorted(CASES))
def test_adapters(tmp_path: Path, case: str) -> None:
    model = RoutedModel(CASES[case].base(torch.float32))
    configs: dict[str, PeftConfig] = adapters_for(CASES[case])
    trainer = _stock(tmp_path)
    for name, config in configs.items():
        model.add_adapter(name, config)
        place = save_suite(model, tmp_path / name, names=[name], processor=None).tasks[name]
        expected = _of_plain(trainer, CASES[case].base(torch.float32), tmp_path / name / place)
        assert _of_ours(trainer, model, name) == expected, name


@pytest.mark.parametrize("shape", HeadShape)
@pytest.mark.parametrize("base", [name for name in BASES if name != "vit"] + ["vit"])
def test_heads(tmp_path: Path, base: str, shape: HeadShape) -> None:
    own = BASES[base].tokenizer
    if own is None and shape is not HeadShape.SEQUENCE:
        return  # images have whole pictures only
    case = make_base(base, None if own is None else TOKENIZERS[own]())
    model = RoutedModel(case.base(torch.float32))
    model.add_adapter(
        "a", LoraConfig(r=2, target_modules=list(case.layers.attention)), head=HeadSpec(shape, 2)
    )
    place = save_suite(model, tmp_path, names=["a"], processor=None).tasks["a"]
    case.config.num_labels = 2
    whole = getattr(transformers, model.auto_class("a")).from_config(case.config)
    trainer = _stock(tmp_path)
    assert _of_ours(trainer, model, "a") == _of_plain(trainer, whole, tmp_path / place)


def test_a_layer_norm_of_any_name_is_left_out(tmp_path: Path) -> None:
    """No head of the supported architectures has one under another name; the stock rule goes by the class too."""
    case = make_base("bert", TOKENIZERS["wordpiece"]())
    model = RoutedModel(case.base(torch.float32))
    model.add_adapter("a", LoraConfig(r=2, target_modules=["query"]), head=HeadSpec(HeadShape.TOKEN, 2))
    placed: Any
    (placed,) = model._heads.placed.values()
    stock: Any = placed.head.stock  # a ModuleDict
    stock["ln_f"] = nn.LayerNorm(2)
    key = "base_model.model.ln_f.weight"
    assert key in model.adapter_parameters("a") and key in _of_ours(_stock(tmp_path), model, "a")


def test_names_of_tasks_are_no_names_of_parameters(tiny_llama: Path, tmp_path: Path) -> None:
    template = PromptCompletion("{text}:", " {label}")
    names = ("plain", "bias.norm", "layernorm")
    suite = [Task(name, train=rows("a", 4), template=template, weight_decay=0.1) for name in names]
    args = TrainingArguments(str(tmp_path), **ARGUMENTS)
    trainer = MultiTaskTrainer(tiny_llama, args, suite)
    trainer.train()
    for name in names:
        assert [group["weight_decay"] for group in trainer.task_optimizers[name].optimizer.param_groups] == [
            0.1
        ]
