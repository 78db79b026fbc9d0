"""Greedy generation of mixed routes in one batch, token by token as plain PEFT's `generate` writes one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from decoding_cases import PACKED, case_of, letters, plain_models, prompts, request, routed, written
from peft import PeftModel
from plain_peft import for_plain_peft
from tiny_bases import TESTED
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from hf_mtl.adapters import RoutedPass, StackedLoras, forms, quantised_layers
from hf_mtl.export import save_suite
from hf_mtl.models import Decoder

PEFT_WARNS = pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")
pytestmark = [PEFT_WARNS, pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")]

LENGTHS = (9, 1, 4, 17, 6, 2, 12, 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", PACKED)
def test_all_kinds_together_equal_plain_peft(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    case = TESTED[name]
    model = routed(case, dtype)
    plain = plain_models(model, case, tmp_path)
    rows = [(route, ids) for seed in (0, 1) for route, ids in zip(plain, prompts(LENGTHS, seed), strict=True)]
    rows = rows[::2] + rows[1::2]  # not sorted by route
    news = [3 + 5 * i % 11 for i in range(len(rows))]
    requests = [request(route, ids, new) for (route, ids), new in zip(rows, news, strict=True)]
    answers = Decoder(model, letters()).generate(requests)
    expected = [written(plain[route], ids, new) for (route, ids), new in zip(rows, news, strict=True)]
    assert [answer.token_ids for answer in answers] == expected
    assert {answer.finish for answer in answers} == {"length"}
    # the adapters matter, and so do the prompts
    bare = [written(plain[None], ids, new) for (_, ids), new in zip(rows, news, strict=True)]
    assert sum(a != b for a, b in zip(bare, expected, strict=True)) > len(rows) // 2
    assert len(set(expected)) == len(rows)


@pytest.mark.parametrize("window", [3, 7])
def test_a_window_that_is_shorter_than_prefix_and_text(window: int, tmp_path: Path) -> None:
    case = case_of("MistralForCausalLM", sliding_window=window)
    model = routed(case, kinds=("mlp", "prefix", "prompt"))
    plain = plain_models(model, case, tmp_path)
    rows = list(zip(plain, prompts((12, 1, 5, 8)), strict=True))
    answers = Decoder(model, letters()).generate(request(route, ids, 12) for route, ids in rows)
    assert [answer.token_ids for answer in answers] == [written(plain[r], ids, 12) for r, ids in rows]


@pytest.mark.parametrize("bits", [4, 8])
def test_on_a_quantised_base(bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes", reason="needs pip install hf-mtl[4bit]")
    # On some CPUs it evaluates 4-bit layers in bf16, whose rounding turns with the number of rows, and so do tokens.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)
    case = TESTED["LlamaForCausalLM"]
    case.base(torch.float32).save_pretrained(tmp_path / "base")
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32}
    config = (
        BitsAndBytesConfig(load_in_4bit=True, **four) if bits == 4 else BitsAndBytesConfig(load_in_8bit=True)
    )

    def base() -> PreTrainedModel:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            tmp_path / "base", dtype=torch.float32, quantization_config=config
        )
        loaded.eval()
        return loaded

    model = routed(case, kinds=("mlp", "wide", "ia3", "prefix"), base=base())
    save_suite(model, tmp_path / "suite", processor=None)
    plain: dict[str | None, PeftModel | PreTrainedModel] = {None: base()}
    for name in model.adapter_names:
        plain[name] = PeftModel.from_pretrained(for_plain_peft(base()), tmp_path / "suite" / name)
    assert quantised_layers(model.base)
    rows = list(zip(plain, prompts((5, 3, 8, 4, 11)), strict=True))
    answers = Decoder(model, letters()).generate(request(route, ids) for route, ids in rows)
    assert [answer.token_ids for answer in answers] == [written(plain[r], ids, 8) for r, ids in rows]
    assert len({answer.token_ids for answer in answers}) == len(rows)


def test_rows_that_join_and_leave_in_the_middle(tmp_path: Path) -> None:
    case = TESTED["LlamaForCausalLM"]
    model = routed(case)
    plain = plain_models(model, case, tmp_path)
    decoder = Decoder(model, letters(), max_rows=4, token_budget=20)
    rows = [(route, ids) for seed in (2, 3) for route, ids in zip(plain, prompts(LENGTHS, seed), strict=True)]
    told: dict[int, list[int]] = {}
    most = 0
    asked: dict[int, tuple[str | None, tuple[int, ...], int]] = {}
    while rows or decoder.busy:
        for _ in range(2):  # two newcomers a step
            if rows:
                route, ids = rows.pop()
                new = 1 + len(rows) % 6
                asked[decoder.add(request(route, ids, new))] = (route, ids, new)
        for event in decoder.step():
            told.setdefault(event.request, []).append(event.token_id)
            assert (event.finish is not None) == (len(told[event.request]) == asked[event.request][2])
        most = max(most, decoder.running)
    assert 1 < most <= 4
    for number, (route, ids, new) in asked.items():
        assert tuple(told[number]) == written(plain[route], ids, new)


def test_stacks_of_adapters_write_what_their_sum_writes(tmp_path: Path) -> None:
    case = TESTED["LlamaForCausalLM"]
    model = routed(case, kinds=("mlp", "wide", "ia3", "prefix"))
    model.add_route("sum", {"mlp": 0.5, "wide": 2.0})
    model.add_route("mixed", {"prefix": 1.0, "ia3": 0.5, "mlp": 1.0})
    model.add_route("half", {"mlp": 0.5})
    routes = ("sum", "mixed", "half", "mlp", None)
    asked = [request(route, ids, 9) for route, ids in zip(routes, prompts((4, 9, 2, 6, 3)), strict=True)]
    together = Decoder(model, letters()).generate(asked)
    for one, answer in zip(asked, together, strict=True):
        ids = one.input_ids
        assert (
            one.route is None
            or answer.token_ids != Decoder(model, letters()).generate([request(None, ids, 9)])[0].token_ids
        )
        with model.route(one.route) as base:  # the base's own generate, one by one
            output = base.generate(  # type: ignore[operator]
                input_ids=torch.tensor([ids]),
                max_new_tokens=9,
                do_sample=False,
                pad_token_id=0,
                eos_token_id=None,
            )
        assert answer.token_ids == tuple(output[0, len(ids) :].tolist())


@pytest.mark.parametrize("stacked", [True, False])
def test_loras_as_one_product_or_one_by_one_write_the_same(
    stacked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = TESTED["LlamaForCausalLM"]
    model = routed(case, kinds=("mlp", "wide", "ia3"))
    plain = plain_models(model, case, tmp_path)
    if not stacked:  # as with many wide adapters on a large base
        monkeypatch.setattr(forms, "_CPU_SPAN_OVERHEAD", -1)
    used: list[bool] = []
    ordinary = StackedLoras.output

    def told(self: StackedLoras, layer: nn.Module, x: Tensor, of: RoutedPass) -> Tensor | None:
        output = ordinary(self, layer, x, of)
        used.append(output is not None)
        return output

    monkeypatch.setattr(StackedLoras, "output", told)
    rows = list(zip(plain, prompts((5, 3, 8, 4)), strict=True))
    answers = Decoder(model, letters()).generate(request(route, ids) for route, ids in rows)
    assert [answer.token_ids for answer in answers] == [written(plain[r], ids, 8) for r, ids in rows]
    assert any(used) is stacked


def test_an_encoder_decoder_takes_mixed_routes_in_one_call(tmp_path: Path) -> None:
    case = TESTED["T5ForConditionalGeneration"]
    model = routed(case, kinds=("mlp", "dora", "ia3"))
    plain = plain_models(model, case, tmp_path)
    rows = [
        (route, ids) for seed in (0, 1) for route, ids in zip(plain, prompts((9, 2, 5, 7), seed), strict=True)
    ]
    news = [2 + i for i in range(len(rows))]
    requests = [request(route, ids, new) for (route, ids), new in zip(rows, news, strict=True)]
    answers = Decoder(model, letters(), max_rows=5).generate(requests)
    expected = [written(plain[route], ids, new) for (route, ids), new in zip(rows, news, strict=True)]
    assert [answer.token_ids for answer in answers] == expected
    assert len(set(expected)) > len(rows) // 2
