"""What hf_mtl.versions says of the libraries is true of those that are installed, whichever they are."""

from __future__ import annotations

import copy
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from decoding_cases import PACKED, case_of, prompts, written
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from plain_peft import for_plain_peft
from tiny_bases import CASES, random_ids
from torch.nn.attention.varlen import varlen_attn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel, TrainingArguments

from hf_mtl import versions
from hf_mtl.export.hub.retrying import passing
from hf_mtl.versions import (
    cache_argument,
    checkpointing_argument,
    checkpoints_activations,
    enable_checkpointing,
    hub_errors,
    installed,
    plain_prefix_problem,
    release,
    varlen_options,
)

ENCODERS = ("BertModel", "RobertaModel")
PEFT_WARNS = pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("5.24.0", (5, 24, 0)),
        ("5.24.0.dev0", (5, 24, 0)),
        ("2.11.0+cu130", (2, 11, 0)),
        ("0.21.2rc1", (0, 21, 2)),
        ("6", (6,)),
    ],
)
def test_a_release_is_compared_as_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert release(version) == numbers


def test_an_installed_library_has_the_release_that_it_says() -> None:
    assert installed("torch") == release(torch.__version__)


@pytest.mark.parametrize("name", [*PACKED, *ENCODERS])
def test_a_base_takes_its_cache_by_the_name(name: str) -> None:
    base = CASES[name].base()
    assert cache_argument() in inspect.signature(base.forward).parameters


def test_arguments_and_bases_checkpoint_by_the_name(tmp_path: Path) -> None:
    chosen: dict[str, Any] = {checkpointing_argument(): True}
    assert vars(TrainingArguments(str(tmp_path), **chosen))[checkpointing_argument()] is True
    base = CASES["LlamaForCausalLM"].base().train()
    assert not checkpoints_activations(base)
    enable_checkpointing(base, {"use_reentrant": False}, every_n_layers=1, offload=False)
    assert checkpoints_activations(base)


def test_grouped_heads_are_told_where_attention_wants_to_be_told() -> None:
    def of_211(query: int, *, scale: float | None = None) -> None: ...
    def of_212(query: int, *, scale: float | None = None, enable_gqa: bool = False) -> None: ...

    assert varlen_options(of_211, grouped=True) == varlen_options(of_211, grouped=False) == {}
    assert varlen_options(of_212, grouped=True) == {"enable_gqa": True}
    assert varlen_options(of_212, grouped=False) == {"enable_gqa": False}
    expected = {"enable_gqa": True} if installed("torch") >= (2, 12) else {}
    assert varlen_options(varlen_attn, grouped=True) == expected


def test_a_broken_line_to_the_hub_is_known_by_its_own_error() -> None:
    """Whichever HTTP library it speaks with: nothing listens at this port."""
    client = importlib.import_module("huggingface_hub.utils").httpx.Client()
    with client, pytest.raises(hub_errors().transport) as failure:
        client.get("http://127.0.0.1:9/")
    assert issubclass(hub_errors().transport, hub_errors().http)
    assert passing(failure.value) is not None


@pytest.mark.parametrize(
    ("peft", "transformers", "works"),
    [
        ((0, 21, 2), (5, 23, 0), True),
        ((0, 18, 0), (5, 17, 0), True),
        ((0, 21, 2), (5, 24, 0), False),
        ((0, 18, 0), (5, 24, 1), False),
        ((0, 22, 0), (5, 24, 0), True),
    ],
)
def test_which_versions_of_peft_and_transformers_fit(
    monkeypatch: pytest.MonkeyPatch, peft: tuple[int, ...], transformers: tuple[int, ...], works: bool
) -> None:
    monkeypatch.setattr(versions, "installed", {"peft": peft, "transformers": transformers}.__getitem__)
    problem = plain_prefix_problem()
    assert (problem is None) == works
    if problem is not None:
        assert 'pip install "transformers<5.24"' in problem


def _bert() -> PreTrainedModel:
    torch.manual_seed(0)
    config = CASES["BertModel"].config
    assert isinstance(config, BertConfig)
    model: PreTrainedModel = BertForSequenceClassification(config).eval()
    return model


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
def test_plain_prefixes_on_an_encoder_with_a_head() -> None:
    """They work in plain PEFT, or cannot work with these versions: then we say so."""
    config = PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)
    ids = torch.tensor([random_ids(7, 0)])
    plain = get_peft_model(_bert(), copy.deepcopy(config)).eval()
    translated = get_peft_model(for_plain_peft(_bert()), config).eval()
    translated.load_state_dict(plain.state_dict())
    bare = _bert()(input_ids=ids).logits
    assert not torch.allclose(translated(input_ids=ids).logits, bare, atol=1e-4)
    if plain_prefix_problem() is None:
        assert torch.equal(plain(input_ids=ids).logits, translated(input_ids=ids).logits)
    else:
        with pytest.raises(ValueError, match="Model does not support past key values"):
            plain(input_ids=ids)


@PEFT_WARNS
@pytest.mark.filterwarnings("ignore:Both `past_key_values` and `cache` are set:FutureWarning")
@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
def test_plain_prefixes_in_generate() -> None:
    """They have an effect, or none with these versions: then we say so."""
    case = case_of("LlamaForCausalLM")
    (prompt,) = prompts((9,))

    def text(base: PreTrainedModel) -> tuple[int, ...]:
        torch.manual_seed(0)
        config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
        plain: PeftModel = get_peft_model(base, config)
        plain.to(base.dtype)
        return written(plain, prompt, 12)

    bare = written(case.base(), prompt, 12)
    translated, plain = text(for_plain_peft(case.base())), text(case.base())
    assert translated != bare
    assert plain == (translated if plain_prefix_problem() is None else bare)


def test_prompts_in_one_pass_need_no_cache() -> None:
    """Where only `generate` goes wrong, a pass of the whole text is right with every version."""
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    ids = torch.tensor([random_ids(7, 0)])
    results = []
    for base in (CASES["LlamaForCausalLM"].base(), for_plain_peft(CASES["LlamaForCausalLM"].base())):
        torch.manual_seed(0)
        results.append(get_peft_model(base, copy.deepcopy(config)).double()(input_ids=ids).logits)
    assert torch.equal(*results)
