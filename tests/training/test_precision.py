"""`bf16=True` is autocast, in every pass of a run, as in the stock Trainer with plain PEFT."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from kind_cases import KINDS, ours, processor_for, task_of
from kind_runs import suite
from kind_runs import trainer_of as heads_trainer
from peft import PrefixTuningConfig
from plain_peft import from_folder, shake
from stock_side import stock_base, stock_results
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel
from hf_mtl.adapters import RoutedLinear, frozen, keep_trainable, kept_bytes
from hf_mtl.errors import ConfigError
from hf_mtl.export import save_suite
from hf_mtl.models import attention, load_base
from hf_mtl.tasks import TaskSuite
from hf_mtl.versions import checkpointing_argument
from runs import ARGUMENTS, logged, tasks, trainer_of, weights

BF16 = 2**-8  # the relative error of one rounding to bf16 is at most half of it

Dtypes = dict[str, set[tuple[str, torch.dtype]]]


@contextlib.contextmanager
def _watched(model: nn.Module) -> Iterator[Dtypes]:
    """By module, whether gradients were on and the dtype of its output."""
    seen: Dtypes = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor) and first.is_floating_point():
                seen.setdefault(name, set()).add(
                    ("train" if torch.is_grad_enabled() else "eval", first.dtype)
                )

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
    yield seen
    for each in hooks:
        each.remove()


SETTINGS: dict[str, Any] = ARGUMENTS | {"max_steps": 1, "per_device_train_batch_size": 4, "bf16": True}


def _stock(plain: Any, batch: dict[str, Tensor], out: Path) -> tuple[Dtypes, list[float]]:
    """The stock Trainer's dtypes and losses, in a step and in evaluation, on one batch."""
    rows: Any = [{}] * 4
    trainer = Trainer(
        plain,
        TrainingArguments(str(out), remove_unused_columns=False, label_names=["labels"], **SETTINGS),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=lambda _: dict(batch),
    )
    with _watched(plain) as seen:
        first = trainer.evaluate()["eval_loss"]
        trainer.train()
    return seen, [first, next(entry["loss"] for entry in logged(trainer) if "loss" in entry)]  # type: ignore[arg-type]


def _batch(plain: Any, stock_pass: Callable[[], object]) -> dict[str, Tensor]:
    """What the stock class is called with."""
    seen: list[dict[str, Tensor]] = []
    hook = plain.register_forward_pre_hook(lambda _, __, named: seen.append(dict(named)), with_kwargs=True)
    stock_pass()
    hook.remove()
    return seen[0]


def _in_stock(name: str, stock: Dtypes) -> str | None:
    """The stock model's module that stands for one of ours."""
    _, inside, head = name.partition(".head.stock.")
    own = head if inside else name.removeprefix("base.")
    return next((path for path in stock if path == own or path.endswith("." + own)), None)


Load = Callable[[Path], PreTrainedModel]
LOADS: dict[str, Load] = {
    "wide": lambda folder: load_base(folder)[0],
    "bf16": lambda folder: load_base(folder, dtype="bfloat16")[0],
    "4bit": lambda folder: load_base(folder, quantization="4bit")[0],
}
CASES = [
    ("llama", "causal-lm", "wide"), ("llama", "causal-lm", "bf16"), ("llama", "causal-lm", "4bit"),
    ("llama", "single-label", "wide"), ("gpt2", "causal-lm", "wide"), ("bert", "single-label", "wide"),
    ("bert", "tags", "wide"), ("modernbert-mean", "single-label", "wide"), ("roberta", "single-label", "wide"),
    ("vit", "images", "wide"), ("t5", "seq2seq-lm", "wide"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "kind", "how"), CASES)
def test_the_same_dtypes_at_the_same_modules_and_nearly_the_same_losses(
    bases: Callable[[str], Path], tmp_path: Path, base: str, kind: str, how: str
) -> None:
    folder, case, task = bases(base), KINDS[kind], task_of("t", KINDS[kind])
    if how == "wide":
        own = ours(folder, task, dtype="float32", move=shake)
        model, processor = own.model, own.processor
        loaded = stock_base(case, model.auto_class("t"), folder, torch.float32)
    else:
        own = ours(folder, task, dtype="float32", move=shake)  # for its rows
        model, processor = RoutedModel(LOADS[how](folder)), processor_for(folder)
        model.add_adapter("t", task.adapter)  # type: ignore[arg-type]
        shake(model, "t", 0)
        loaded = LOADS[how](folder)
    save_suite(model, tmp_path / "start", processor=processor)
    keep_trainable(loaded)
    plain, _ = from_folder(loaded, tmp_path / "start" / "t")
    batch = _batch(plain, lambda: stock_results(plain, case, task, processor, own.sequences("t")))
    expected, stock_losses = _stock(plain, batch, tmp_path / "stock")

    args = MultiTaskTrainingArguments(str(tmp_path / "ours"), **SETTINGS)
    trainer = MultiTaskTrainer(model, args, [task], processing_class=processor)
    with _watched(model) as seen:
        first = trainer.evaluate()["eval_t/loss"]
        trainer.train()
    losses = [first, next(entry["t/loss"] for entry in logged(trainer) if "t/loss" in entry)]

    pairs = {name: stock for name in seen if (stock := _in_stock(name, expected)) is not None}
    assert len(pairs) > 0.7 * len(seen), sorted(set(seen) - set(pairs))
    assert {name: seen[name] for name in pairs} == {name: expected[stock] for name, stock in pairs.items()}
    routed = {
        dtype
        for name, module in model.named_modules()
        if isinstance(module, RoutedLinear)
        for _, dtype in seen[name]
    }
    # bitsandbytes gives back its input's dtype, whatever it computes in.
    assert routed == ({torch.bfloat16, torch.float32} if how == "4bit" else {torch.bfloat16})
    for found, wanted in zip(losses, stock_losses, strict=True):
        assert found == pytest.approx(wanted, rel=4 * BF16)


def test_the_loss_and_the_weights_are_not_those_of_fp32(tiny_llama: Path, tmp_path: Path) -> None:
    ends, losses = [], []
    for bf16 in (True, False):
        trainer = trainer_of(tiny_llama, tmp_path, tasks(), bf16=bf16)
        trainer.train()
        ends.append({name: weights(trainer, name) for name in trainer.suite})
        losses.append([entry["loss"] for entry in logged(trainer) if "loss" in entry])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=4 * BF16)
    for name, own in ends[0].items():
        assert any(not torch.equal(value, ends[1][name][key]) for key, value in own.items())
        assert {value.dtype for value in own.values()} == {torch.float32}


def test_without_the_flag_no_pass_is_cast(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, tasks())
    with _watched(trainer.model) as seen:
        trainer.train()
        trainer.predict({"verbs": trainer.suite["verbs"].eval})
    assert {dtype for own in seen.values() for _, dtype in own} == {torch.float32}


@pytest.mark.parametrize("way", ["the environment", "a subclass"])
def test_other_ways_to_ask_for_it(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    class Casting(MultiTaskTrainer):
        def compute_loss_context_manager(self) -> Any:
            return torch.autocast("cpu", torch.bfloat16)

    if way == "the environment":  # as `accelerate launch --mixed_precision bf16` sets it
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    made: type[MultiTaskTrainer] = Casting if way == "a subclass" else MultiTaskTrainer
    args = MultiTaskTrainingArguments(str(tmp_path), **ARGUMENTS)
    trainer = made(
        RoutedModel(load_base(tiny_llama)[0]), args, tasks().values(), processing_class=processor_for(tiny_llama)
    )  # fmt: skip
    # A later trainer's precision is in the state that accelerate's objects share; a run keeps its own.
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    trainer_of(tiny_llama, tmp_path / "other", tasks())
    with _watched(trainer.model) as seen:
        trainer.evaluate()
        trainer.train()
    assert seen["base.lm_head"] == {("train", torch.bfloat16), ("eval", torch.bfloat16)}


def test_generation_ranking_and_recomputation_are_under_autocast_too(
    tiny_llama: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"bf16": True, "max_steps": 1, checkpointing_argument(): True}
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), **changes)
    calls: list[torch.dtype] = []
    trainer.model.base.get_submodule("model.layers.0.mlp.gate_proj").register_forward_hook(
        lambda _, __, output: calls.append(output.dtype)
    )
    passes = len(list(trainer.round_plan().next().micro_batches))  # type: ignore[union-attr]
    trainer.train()
    assert calls == 2 * passes * [torch.bfloat16]
    calls.clear()
    trainer.predict({"verbs": trainer.suite["verbs"].eval})
    assert len(calls) > 3 and set(calls) == {torch.bfloat16}  # two evaluations, a prompt, further tokens


def test_recomputation_changes_no_bit(tiny_llama: Path, tmp_path: Path) -> None:
    ends = []
    for checkpointing in (True, False):
        changes: dict[str, Any] = {"bf16": True, checkpointing_argument(): checkpointing}
        trainer = trainer_of(tiny_llama, tmp_path, tasks(), **changes)
        trainer.train()
        ends.append(weights(trainer, "verbs"))
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items())


@pytest.mark.parametrize("kind", ["LoRA", "prefix"])
def test_attention_sees_one_dtype(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    seen: set[tuple[torch.dtype, ...]] = set()
    ordinary = attention._one_by_one

    def watching(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor:
        seen.add((query.dtype, key.dtype, value.dtype))
        assert not torch.is_autocast_enabled("cpu")  # or its detour by fp32 would be cast back
        return ordinary(query, key, value, *rest)

    monkeypatch.setattr(attention, "_one_by_one", watching)
    own = tasks()
    if kind == "prefix":
        own = {"verbs": own["verbs"]}
        own["verbs"] = replace(
            own["verbs"], adapter=PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
        )
    trainer = trainer_of(tiny_llama, tmp_path, own, bf16=True, max_steps=1)
    assert trainer.model.causal  # found out by passes of its own, in the base's dtype
    seen.clear()
    trainer.train()
    trainer.evaluate()
    assert seen == {(torch.bfloat16,) * 3}


def test_frozen_weights_are_cast_once_and_freed_afterwards(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast: list[int] = []
    ordinary = frozen._cast

    def counting(weight: Tensor, dtype: torch.dtype) -> Any:
        cast.append(id(weight))
        return ordinary(weight, dtype)

    monkeypatch.setattr(frozen, "_cast", counting)
    changes: dict[str, Any] = {
        "bf16": True,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "token_budget": 60,
        "max_chunk_tokens": 60,
    }
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), **changes)
    linear = [m.base_layer if isinstance(m, RoutedLinear) else m for m in trainer.model.base.modules()
              if isinstance(m, RoutedLinear | nn.Linear)]  # fmt: skip
    held: list[int] = []

    class Look(TrainerCallback):
        def on_step_end(self, *arguments: Any, **named: Any) -> None:
            held.append(kept_bytes(trainer.model))

    trainer.add_callback(Look())
    trainer.train()
    weights_seen: list[Any] = [layer.weight for layer in linear]
    distinct = {id(weight): weight for weight in weights_seen}
    assert len(cast) == len(set(cast)) == len(distinct)
    assert set(held) == {2 * sum(weight.numel() for weight in distinct.values())}
    assert kept_bytes(trainer.model) == 0
    trainer.evaluate()
    assert kept_bytes(trainer.model) == 0


def test_a_weight_that_a_callback_changes_is_cast_anew(tiny_llama: Path, tmp_path: Path) -> None:
    ends = []
    for data in (True, False):
        trainer = trainer_of(tiny_llama, tmp_path, tasks(), bf16=True, max_steps=3)
        layer: Any = trainer.model.base.get_submodule("model.layers.0.mlp.gate_proj")
        weight = layer.base_layer.weight

        class Change(TrainerCallback):
            def __init__(self, weight: Tensor, data: bool) -> None:
                self.weight, self.data = weight, data

            def on_step_begin(self, *arguments: Any, **named: Any) -> None:
                with torch.no_grad():
                    (self.weight.data if self.data else self.weight).mul_(1.5)

        trainer.add_callback(Change(weight, data))
        trainer.train()
        ends.append(weights(trainer, "verbs"))
    unchanged = trainer_of(tiny_llama, tmp_path, tasks(), bf16=True, max_steps=3)
    unchanged.train()
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items())
    assert not all(torch.equal(ends[0][key], value) for key, value in weights(unchanged, "verbs").items())


REFUSED = [
    ({"fp16": True}, "fp16=True is refused: it needs loss scaling.*use bf16=True"),
    ({"bf16_full_eval": True}, "bf16_full_eval=True is refused: it converts the model itself.*use bf16=True"),
    ({"fp16_full_eval": True}, "fp16_full_eval=True is refused: it converts the model itself"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_is_refused(tiny_llama: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trainer_of(tiny_llama, tmp_path, tasks(), **changes)


@pytest.mark.parametrize("found", ["fp16", "fp8"])
def test_what_accelerates_own_settings_ask_for_is_refused_too(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", found)
    with pytest.raises(
        ConfigError, match=f"mixed_precision='{found}' is refused: .*accelerate.*'no' or 'bf16'"
    ):
        trainer_of(tiny_llama, tmp_path, tasks())


def test_an_accelerator_of_a_subclass_is_looked_at(tiny_llama: Path, tmp_path: Path) -> None:
    class Scaling(MultiTaskTrainer):
        def _build_accelerator_args(self, **own: Any) -> dict[str, Any]:
            return super()._build_accelerator_args(**own) | {"mixed_precision": "fp16"}

    model, args = (
        RoutedModel(load_base(tiny_llama)[0]),
        MultiTaskTrainingArguments(str(tmp_path), **ARGUMENTS),
    )
    with pytest.raises(ConfigError, match="mixed_precision='fp16' is refused"):
        Scaling(model, args, tasks().values(), processing_class=processor_for(tiny_llama))


def test_tf32_is_as_in_the_stock_arguments(tmp_path: Path) -> None:
    for made in (TrainingArguments, MultiTaskTrainingArguments):
        made(str(tmp_path), use_cpu=True, tf32=False)
        with pytest.raises((ConfigError, ValueError), match="--tf32 requires Ampere"):
            made(str(tmp_path), use_cpu=True, tf32=True)


def test_heads_learn_and_answer_under_autocast(bases: Callable[[str], Path], tmp_path: Path) -> None:
    trainer = heads_trainer(
        bases("bert"), tmp_path, suite(), bf16=True, max_steps=30, learning_rate=1e-2, max_grad_norm=1.0
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"]
    output = trainer.predict({name: task.eval for name, task in trainer.suite.items()})
    assert output.metrics is not None and output.metrics["test_loss"] == after["eval_loss"]
    for name in trainer.suite:
        parameters = trainer.model.adapter_parameters(name).values()
        assert {parameter.dtype for parameter in parameters} == {torch.float32}
    assert isinstance(trainer.suite, TaskSuite)
