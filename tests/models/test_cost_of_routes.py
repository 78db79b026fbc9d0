"""A backward pass over many routes makes no tensor of the whole batch for each of them: counted, not timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig
from tiny_bases import CASES, Case, random_ids
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hf_mtl.adapters import Term
from hf_mtl.adapters.grouped import grouped_delta
from hf_mtl.data import Chunk, EncoderDecoderSequence, ImageSequence, PackedBatch, PaddedBatch, Sequence
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models import RoutedModel, per_sequence

TOKENS, WIDTH = 256, 32
COUNTS = (4, 8)  # routes; from four on, a route's own part is smaller than what counts as a whole

LORA = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)


class _Made(TorchDispatchMode):
    """Counts the tensors of at least so many elements that operators make, and leaves views and changed ones out."""

    def __init__(self, elements: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.elements = elements
        self.count: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # Any: the signature is torch's own
        given = {_place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor) and leaf.numel() >= self.elements and _place(leaf) not in given:
                self.count += 1
        return output


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _made_in_backward(loss: Tensor, elements: int) -> int:
    with _Made(elements) as made:
        loss.backward()
    count: int = made.count
    return count


def _sequence(case: Case, route: str, row: int, length: int, head: HeadShape | None) -> Sequence:
    """A sequence with a label on every token, or one for a head on sequences."""
    if case.kind == "image":
        pixels = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(row), dtype=torch.float64)
        return ImageSequence(route, [], [0], [-100], row, 1000 + row, head=head, pixel_values=pixels)
    ids = random_ids(length, row)
    places = [0] if head is HeadShape.SEQUENCE else list(range(length))
    labels, key = ids[: len(places)], 1000 + row
    if case.kind == "pair":
        return EncoderDecoderSequence(route, ids, places, labels, row, key, head=head, decoder_input_ids=ids)
    return Sequence(route, ids, places, labels, row, key, head=head)


def _laid_out(
    model: RoutedModel, case: Case, heads: Mapping[str, HeadShape | None]
) -> PackedBatch | PaddedBatch:
    """As many tokens for any number of routes; on a stream in more and shorter sequences, the more routes there are."""
    sequences = 2 * len(heads) if model.architecture.packed else 16
    owners = [route for route in heads for _ in range(sequences // len(heads))]
    return model.layout.lay_out(
        [
            Chunk(route, [_sequence(case, route, row, TOKENS // sequences, heads[route])])
            for row, route in enumerate(owners)
        ]
    )


def _model(case: Case, config: PeftConfig, heads: Mapping[str, HeadShape | None]) -> RoutedModel:
    model = RoutedModel(case.base())
    for route, shape in heads.items():
        spec = None if shape is None else HeadSpec(shape, 2 if shape is HeadShape.SPAN else 3)
        model.add_adapter(route, config, head=spec)
    return model.train()


def _loss(outputs: Mapping[str, Tensor]) -> Tensor:
    """Each route's own loss, split by its sequences on the way, and their sum."""
    return torch.stack([output.float().logsumexp(-1).sum() for output in outputs.values()]).sum()


def _counts(
    case: Case, config: PeftConfig, shape: Callable[[int], HeadShape | None], elements: int
) -> list[int]:
    found = []
    for routes in COUNTS:
        heads = {f"route {i:02}": shape(i) for i in range(routes)}
        model = _model(case, config, heads)
        batch = _laid_out(model, case, heads)
        found.append(_made_in_backward(_loss(model.by_route(batch)), elements))
    return found


LANGUAGE = [
    "LlamaForCausalLM",
    "GPT2LMHeadModel",
    "BertForMaskedLM",
    "ModernBertForMaskedLM",
    "T5ForConditionalGeneration",
]
HEADED = ["LlamaForCausalLM", "BertModel", "RobertaModel", "ModernBertModel", "T5ForConditionalGeneration"]


@pytest.mark.parametrize("name", LANGUAGE)
def test_the_vocabulary_head_makes_nothing_per_route(name: str) -> None:
    few, many = _counts(CASES[name], LORA, lambda _: None, TOKENS * WIDTH)
    assert few == many > 0


@pytest.mark.parametrize("shape", HeadShape)
@pytest.mark.parametrize("name", HEADED)
def test_heads_make_nothing_per_route(name: str, shape: HeadShape) -> None:
    few, many = _counts(CASES[name], LORA, lambda _: shape, TOKENS * WIDTH)
    assert few == many > 0


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "T5ForConditionalGeneration"])
def test_nor_do_heads_of_all_shapes_beside_the_vocabulary_head(name: str) -> None:
    shapes = [None, *HeadShape]
    few, many = _counts(CASES[name], LORA, lambda i: shapes[i % 4], TOKENS * WIDTH)
    assert few == many > 0


def test_nor_do_images() -> None:
    case = CASES["ViTModel"]
    patches = 1 + (12 // 4) ** 2
    few, many = _counts(case, LORA, lambda _: HeadShape.SEQUENCE, 16 * patches * WIDTH)
    assert few == many > 0


KINDS: dict[str, PeftConfig] = {
    "lora with dropout": LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.2),
    "dora": LoraConfig(r=4, target_modules="all-linear", use_dora=True),
    "ia3": IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "own copy": LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["down_proj"]),
    "prefix": PrefixTuningConfig(num_virtual_tokens=2),
    "prompt": PromptTuningConfig(num_virtual_tokens=2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [None, HeadShape.SEQUENCE])
def test_kinds_of_adapters_make_nothing_per_route(kind: str, shape: HeadShape | None) -> None:
    few, many = _counts(CASES["LlamaForCausalLM"], KINDS[kind], lambda _: shape, TOKENS * WIDTH)
    assert few == many > 0


def test_means_of_prompts_make_nothing_per_route() -> None:
    few, many = _counts(
        CASES["ModernBertModel"], KINDS["prompt"], lambda _: HeadShape.SEQUENCE, TOKENS * WIDTH
    )
    assert few == many > 0


@pytest.mark.parametrize("dropout", [False, True])
def test_grouped_products_make_nothing_per_term(dropout: bool) -> None:
    found = []
    for count in COUNTS:
        x, y = (torch.randn(TOKENS, WIDTH).requires_grad_() for _ in range(2))
        length = TOKENS // count
        terms = [
            Term(
                at, at + length, 1.0, torch.randn(4, WIDTH).requires_grad_(), torch.randn(WIDTH, 4).requires_grad_(),
                torch.ones(length, WIDTH) if dropout else None,
            )
            for at in range(0, TOKENS, length)
        ]  # fmt: skip
        found.append(_made_in_backward(grouped_delta(y, x, terms).sum(), TOKENS * WIDTH))
    assert found[0] == found[1] > 0


def test_all_routes_share_one_node_of_the_graph() -> None:
    heads = dict.fromkeys([f"route {i:02}" for i in range(8)])
    case = CASES["LlamaForCausalLM"]
    model = _model(case, LORA, heads)
    logits = model.by_route(_laid_out(model, case, heads))
    assert len({own.grad_fn for own in logits.values()}) == 1
    own = logits["route 03"]
    assert len({part.grad_fn for part in per_sequence(own, [TOKENS // 16] * 2)}) == 1


@pytest.mark.parametrize("shape", [None, *HeadShape])
def test_the_bits_are_those_of_a_view_per_route(shape: HeadShape | None) -> None:
    """One split for all, against one route at a time: the same outputs, and the same gradients."""
    case = CASES["LlamaForCausalLM"]
    heads = {f"route {i:02}": shape for i in range(4)}
    model = _model(case, LORA, heads)
    batch = _laid_out(model, case, heads)
    together = {name: own.detach() for name, own in model.by_route(batch).items()}
    _loss(model.by_route(batch)).backward()
    for name in heads:
        parameters = list(model.adapter_parameters(name).values())
        outputs = model.by_route(batch)
        assert torch.equal(outputs[name], together[name])
        gradients = torch.autograd.grad(_loss({name: outputs[name]}), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert parameter.grad is not None and torch.equal(parameter.grad, gradient)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("shape", [None, *HeadShape])
def test_a_loss_that_is_not_finite_reaches_no_other_route(shape: HeadShape | None, value: float) -> None:
    case = CASES["LlamaForCausalLM"]
    heads = {f"route {i:02}": shape for i in range(4)}
    model = _model(case, LORA, heads)
    batch = _laid_out(model, case, heads)

    def gradients(factors: Mapping[str, float]) -> dict[str, list[Tensor]]:
        outputs = model.by_route(batch)
        _loss({name: own * factors.get(name, 1.0) for name, own in outputs.items()}).backward()
        found = {}
        for name in heads:
            parameters = model.adapter_parameters(name).values()
            found[name] = [p.grad for p in parameters if p.grad is not None]
            for parameter in parameters:
                parameter.grad = None
        return found

    expected, found = gradients({}), gradients({"route 01": value})
    assert not all(bool(own.isfinite().all()) for own in found["route 01"])
    for name in heads.keys() - {"route 01"}:
        assert len(found[name]) == len(expected[name]) > 0
        for own, other in zip(found[name], expected[name], strict=True):
            assert torch.equal(own, other)
