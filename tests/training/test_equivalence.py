"""Promise 1: a task trained jointly ends with the weights that plain PEFT and the stock Trainer give it alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import (
    IA3Config,
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
    get_peft_model_state_dict,
)
from plain_peft import for_plain_peft
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.data import RowTokens, pack
from hf_mtl.data.packing import Chunk
from hf_mtl.training import Round
from hf_mtl.training.sources import StoredRows

STEPS, ROWS = 20, 4
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": ROWS,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_steps": 3,
    "max_grad_norm": 0.5,
    "lr_scheduler_type": "linear",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 5,
    "use_cpu": True,
}


def _tasks(**changes: Any) -> list[Task]:
    verbs = [{"lemma": f"walk{'k' * (i % 7)}", "past": f"walked{i % 5}"} for i in range(24)]
    words = [{"text": "good " * (1 + i % 5), "label": ["negative", "positive"][i % 2]} for i in range(30)]
    targets = ["q_proj", "v_proj", "down_proj"]
    return [
        Task(
            "past tense",
            train=Dataset.from_list(verbs),
            template=PromptCompletion("{lemma}:", " {past}"),
            adapter=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"),
            **changes,
        ),
        Task(
            "layers",
            train=Dataset.from_list(words),
            template=PromptCompletion("{text} is", " {label}"),
            adapter=LoraConfig(r=2, lora_alpha=4, target_modules=targets),
            **changes,
        ),
    ]


def _base(folder: Path, dtype: torch.dtype) -> Any:
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    if dtype is torch.float64:
        base.loss_function = _wide_loss
    return base


def _wide_loss(
    logits: Tensor, labels: Tensor, vocab_size: int, num_items_in_batch: Tensor, **_: object
) -> Tensor:
    """The stock loss of a causal language model, but for its cast to fp32: 1e-10 asks for more digits."""
    targets, wide = labels[:, 1:].flatten(), logits[:, :-1].flatten(0, 1)
    return cross_entropy(wide, targets, reduction="sum") / num_items_in_batch


class _InOrder(Trainer):
    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        rows: Any = train_dataset or self.train_dataset
        return SequentialSampler(rows)


def _padded(rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
    width = max(len(row["input_ids"]) for row in rows)

    def column(name: str, fill: int) -> Tensor:
        return torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in rows])

    mask = [{"mask": [1] * len(row["input_ids"])} for row in rows]
    return {
        "input_ids": column("input_ids", 0),
        "labels": column("labels", -100),
        "attention_mask": torch.tensor([m["mask"] + [0] * (width - len(m["mask"])) for m in mask]),
    }


def _alone(
    trainer: MultiTaskTrainer, name: str, start: dict[str, Tensor], base: Any, out: Path, steps: int = STEPS
) -> dict[str, Tensor]:
    """Train the task alone with plain peft and the stock Trainer, on the rows that the joint run gave it."""
    source = trainer.sources[name]
    assert isinstance(source, StoredRows)
    order = [sequence.row for step in range(steps) for sequence in source.batch(step)]
    task, tokenizer = source.split.encoder.task, source.split.encoder.context.tokenizer
    tokens = RowTokens(task.declared.template, tokenizer)
    rows = [encoded for row in order for encoded in tokens.encode(source.split.source[row])]
    batches = [len(source.batch(step)) for step in range(steps)]
    assert set(batches) == {ROWS}, "the stock Trainer cannot follow short batches inside an epoch"
    plain = get_peft_model(
        for_plain_peft(base), copy.deepcopy(trainer.model.adapter_configs[name]), autocast_adapter_dtype=False
    ).to(base.dtype)
    trained = {key: p for key, p in plain.named_parameters() if p.requires_grad}
    if plain.peft_config["default"].is_prompt_learning:
        (embeddings,) = trained.values()
        parameters = {"prompt_embeddings": embeddings}
    else:
        parameters = get_peft_model_state_dict(plain, state_dict=trained, save_embedding_layers=False)
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(start[key])
    data = Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])
    _InOrder(
        plain,
        TrainingArguments(str(out), save_strategy="no", **(SETTINGS | {"max_steps": steps})),
        train_dataset=data,
        data_collator=_padded,
    ).train()
    return {key: p.detach() for key, p in parameters.items()}


def _largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[key] - b[key]).norm() / b[key].norm()) for key in a)


def _first_round(trainer: MultiTaskTrainer) -> Round:
    round_ = trainer.round_plan().next()
    assert round_ is not None
    return round_


def _joint(
    folder: Path, out: Path, dtype: torch.dtype, tasks: list[Task], **changes: Any
) -> MultiTaskTrainer:
    args = MultiTaskTrainingArguments(str(out), **(SETTINGS | changes))
    model = RoutedModel(_base(folder, dtype))
    for task in tasks:
        model.add_adapter(task.name, task.adapter, seed=args.seed)  # type: ignore[arg-type]
    for name in model.adapter_names:
        for parameter in model.adapter_parameters(name).values():
            parameter.data = parameter.data.to(dtype)
    return MultiTaskTrainer(model, args, tasks, processing_class=AutoTokenizer.from_pretrained(folder))


def _first(rows: Any) -> Dataset:
    selected: Dataset = rows.select(range(24))
    return selected


def _snapshot(trainer: MultiTaskTrainer, name: str) -> dict[str, Tensor]:
    return {key: p.detach().clone() for key, p in trainer.model.adapter_parameters(name).items()}


@pytest.mark.parametrize("steps", [STEPS, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_joint_equals_plain_peft_alone(
    tiny_llama: Path, tmp_path: Path, dtype: torch.dtype, tolerance: float, steps: int
) -> None:
    tasks = _tasks()
    tasks = [replace(task, train=_first(task.train)) for task in tasks]
    trainer = _joint(tiny_llama, tmp_path / "joint", dtype, tasks, max_steps=steps)
    start = {task.name: _snapshot(trainer, task.name) for task in tasks}
    trainer.train()
    for task in tasks:
        joint = _snapshot(trainer, task.name)
        base = _base(tiny_llama, dtype)
        alone = _alone(trainer, task.name, start[task.name], base, tmp_path / "alone", steps)
        assert _largest_difference(joint, start[task.name]) > 1e-2, (
            "nothing was learned, so nothing was compared"
        )
        assert _largest_difference(joint, alone) < tolerance


def test_joint_equals_plain_peft_alone_for_other_kinds(tiny_llama: Path, tmp_path: Path) -> None:
    adapters = {
        "past tense": LoraConfig(r=4, target_modules=["v_proj"], use_dora=True, modules_to_save=["lm_head"]),
        "layers": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    }
    tasks = [replace(task, train=_first(task.train), adapter=adapters[task.name]) for task in _tasks()]
    trainer = _joint(tiny_llama, tmp_path / "joint", torch.float64, tasks)
    start = {name: _snapshot(trainer, name) for name in adapters}
    trainer.train()
    for name in adapters:
        alone = _alone(trainer, name, start[name], _base(tiny_llama, torch.float64), tmp_path / "alone")
        assert _largest_difference(_snapshot(trainer, name), start[name]) > 5e-3
        assert _largest_difference(_snapshot(trainer, name), alone) < 1e-10


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_lora_prefix_and_prompt_jointly_equal_plain_peft_alone(
    tiny_llama: Path, tmp_path: Path, dtype: torch.dtype, tolerance: float
) -> None:
    first, second = _tasks()
    assert isinstance(second.train, Dataset)
    rows = second.train.select(range(24))
    prefix = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    tasks = [
        first,
        replace(second, train=rows, adapter=prefix),
        replace(second, name="prompt", train=rows, adapter=prompt),
    ]
    budget = 150
    trainer = _joint(tiny_llama, tmp_path / "joint", dtype, tasks, token_budget=budget, max_chunk_tokens=60)
    start = {task.name: _snapshot(trainer, task.name) for task in tasks}
    for batch in _first_round(trainer).micro_batches:
        virtual = sum(trainer.model.virtual_tokens(route) for route, _ in batch.rows)
        assert batch.tokens + virtual <= budget
    trainer.train()
    for task in tasks:
        joint = _snapshot(trainer, task.name)
        alone = _alone(trainer, task.name, start[task.name], _base(tiny_llama, dtype), tmp_path / "alone")
        assert _largest_difference(joint, start[task.name]) > 3e-3, (
            "nothing was learned, so nothing was compared"
        )
        assert _largest_difference(joint, alone) < tolerance


def test_a_neighbour_changes_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    first, second = _tasks()
    other = replace(second, learning_rate=0.5, max_grad_norm=0.0, max_steps=7, batch_size=9)
    ends = []
    for tasks in ([first, second], [first, other]):
        trainer = _joint(tiny_llama, tmp_path, torch.float64, tasks)
        trainer.train()
        ends.append(_snapshot(trainer, first.name))
    assert _largest_difference(ends[0], ends[1]) < 1e-12


def test_the_token_budget_changes_memory_and_not_results(tiny_llama: Path, tmp_path: Path) -> None:
    ends, passes = [], []
    for budget in (4096, 40):
        trainer = _joint(
            tiny_llama,
            tmp_path,
            torch.float64,
            _tasks(),
            token_budget=budget,
            max_chunk_tokens=40,
            max_steps=4,
        )
        passes.append(len(_first_round(trainer).groups))
        trainer.train()
        ends.append(
            {n + key: p for n in ("layers", "past tense") for key, p in _snapshot(trainer, n).items()}
        )
    assert passes[0] == 1 and passes[1] > 2
    assert _largest_difference(ends[0], ends[1]) < 1e-12


def test_a_finished_task_stands_still(tiny_llama: Path, tmp_path: Path) -> None:
    first, second = _tasks()
    # At a rate that does not fade out: a gradient that is left over would move the weights.
    short = replace(second, max_steps=3, lr_scheduler_type="constant")
    trainer = _joint(tiny_llama, tmp_path, torch.float32, [first, short], max_steps=10)
    seen: list[dict[str, Tensor]] = []
    step = trainer.training_step

    def watched(model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        seen.append(_snapshot(trainer, short.name))
        assert (short.name in inputs.label_counts) == (len(seen) <= 3)
        return step(model, inputs, num_items_in_batch)

    trainer.training_step = watched  # type: ignore[method-assign]
    trainer.train()
    assert len(seen) == 10
    assert not all(torch.equal(seen[2][key], seen[3][key]) for key in seen[3])
    assert all(torch.equal(seen[3][key], seen[9][key]) for key in seen[3])


def test_batch_times_accumulation_is_one_batch(tiny_llama: Path, tmp_path: Path) -> None:
    ends = []
    for batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        changes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        trainer = _joint(tiny_llama, tmp_path, torch.float64, _tasks(), max_steps=5, **changes)
        trainer.train()
        ends.append(_snapshot(trainer, "layers"))
    assert _largest_difference(ends[0], ends[1]) == _largest_difference(ends[0], ends[2]) == 0.0


def test_exported_folder_in_plain_peft_gives_the_same_logits(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = _joint(tiny_llama, tmp_path, torch.float32, _tasks(), max_steps=5, learning_rate=0.01)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    for name, folder in {"past tense": "past-tense", "layers": "layers"}.items():
        plain = PeftModel.from_pretrained(_base(tiny_llama, torch.float32), tmp_path / "saved" / folder)
        sequence = trainer.sources[name].split.sequence(3)  # type: ignore[attr-defined]
        with torch.no_grad():
            routed = trainer.model.eval()(pack([Chunk(name, [sequence])]))
            expected = plain.eval()(torch.tensor([sequence.input_ids])).logits[0, sequence.label_positions]
            bare = _base(tiny_llama, torch.float32)(torch.tensor([sequence.input_ids])).logits[
                0, sequence.label_positions
            ]
        assert (routed - expected).abs().max() < 1e-5
        assert (routed - bare).abs().max() > 1e-3, "the adapter does nothing, so nothing was compared"
