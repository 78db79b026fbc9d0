"""Adapters of all kinds on tiny bases, and what plain PEFT's own `generate` writes with each of them."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from peft import IA3Config, LoraConfig, PeftConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig
from plain_peft import for_plain_peft, shake
from tiny_bases import TESTED, Case
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hf_mtl.export import save_suite
from hf_mtl.models import GenerationRequest, GenerationSettings, RoutedModel

PACKED = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "GPT2LMHeadModel")


def letters() -> PreTrainedTokenizerFast:
    """A tokenizer without merges: one token per id of a tiny base, and none that ends a text."""
    from tokenizers import Tokenizer, decoders, models

    words = {f"w{i} ": i for i in range(97)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0 "))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def configs(case: Case) -> dict[str, PeftConfig]:
    """One adapter of each kind; two LoRAs of different ranks, one also on the vocabulary head where it is not tied."""
    layers = case.layers
    attention, feedforward = list(layers.attention), [layers.feedforward]
    transposed = "fan_in_fan_out" in dict(case.adapter)
    head = [] if transposed else ["lm_head"]
    return {
        "mlp": LoraConfig(
            r=2,
            lora_alpha=8,
            init_lora_weights=False,
            target_modules="all-linear",
            fan_in_fan_out=transposed,
        ),
        "wide": LoraConfig(
            r=5,
            lora_alpha=10,
            init_lora_weights=False,
            target_modules=[*attention, layers.other, *head],
        ),
        "dora": LoraConfig(
            r=3, use_dora=True, init_lora_weights=False, target_modules=attention, fan_in_fan_out=transposed
        ),
        "ia3": IA3Config(
            target_modules=[*attention, *feedforward],
            feedforward_modules=feedforward,
            init_ia3_weights=False,
            fan_in_fan_out=transposed,
        ),
        "own": LoraConfig(
            r=2,
            init_lora_weights=False,
            target_modules=attention,
            modules_to_save=feedforward,
            fan_in_fan_out=transposed,
        ),
        "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
        "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    }


def routed(
    case: Case,
    dtype: torch.dtype = torch.float64,
    kinds: tuple[str, ...] = (),
    base: PreTrainedModel | None = None,
) -> RoutedModel:
    """A case's base, or one that is given, with one adapter of each kind."""
    model = RoutedModel(base or case.base(dtype))
    for name, config in configs(case).items():
        if not kinds or name in kinds:
            model.add_adapter(name, config)
            if name == "own":  # a copy begins as the base's layer
                shake(model, name, seed=1)
    assert model.base.generation_config is not None
    model.base.generation_config.eos_token_id = None  # so that lengths are what a test asks for
    return model.eval()


def plain_models(
    model: RoutedModel, case: Case, folder: Path
) -> dict[str | None, PeftModel | PreTrainedModel]:
    """The bare base, and plain PEFT with each of the adapters."""
    save_suite(model, folder, processor=None)
    dtype = model.base.dtype
    plain: dict[str | None, PeftModel | PreTrainedModel] = {
        name: PeftModel.from_pretrained(
            for_plain_peft(case.base(dtype)), folder / name, autocast_adapter_dtype=False
        ).to(dtype)
        for name in model.adapter_names
    }
    return {None: case.base(dtype), **plain}


def prompts(lengths: tuple[int, ...], seed: int = 0) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.randint(4, 97, (n,), generator=generator).tolist()) for n in lengths]


def written(plain: PeftModel | PreTrainedModel, prompt: tuple[int, ...], new: int) -> tuple[int, ...]:
    """What plain PEFT's `generate` adds to one prompt by itself."""
    plain.eval()
    output = plain.generate(  # type: ignore[operator]
        input_ids=torch.tensor([prompt]),
        max_new_tokens=new,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    base = plain.get_base_model() if isinstance(plain, PeftModel) else plain
    assert isinstance(base, PreTrainedModel)
    return tuple(output[0, 1 if base.config.is_encoder_decoder else len(prompt) :].tolist())


def request(route: str | None, ids: tuple[int, ...], new: int = 8, **settings: object) -> GenerationRequest:
    return GenerationRequest(route, ids, GenerationSettings(max_new_tokens=new, **settings))  # type: ignore[arg-type]


def case_of(name: str, **changes: object) -> Case:
    """A case whose base has another configuration in places."""
    case = copy.deepcopy(TESTED[name])
    for key, value in changes.items():
        setattr(case.config, key, value)
    return case
