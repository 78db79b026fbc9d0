"""Arguments: the vocabulary of transformers, and what is refused instead of being ignored."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, HfArgumentParser, SchedulerType, Trainer, TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from transformers.training_args import OptimizerNames

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task
from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.training import TaskSettings
from hf_mtl.training.argument_sorts import sort_problems

ROWS = Dataset.from_list([{"a": str(i), "b": "x"} for i in range(10)])
TEMPLATE = PromptCompletion("{a}", " {b}")


def _args(folder: Path, **changes: Any) -> MultiTaskTrainingArguments:
    return MultiTaskTrainingArguments(
        str(folder), report_to="none", disable_tqdm=True, use_cpu=True, **changes
    )


def test_real_subclasses() -> None:
    assert issubclass(MultiTaskTrainer, Trainer) and issubclass(MultiTaskTrainingArguments, TrainingArguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nonfinite": "ignore"}, "nonfinite must be one of 'raise', 'skip', found 'ignore'"),
        ({"stop_rule": "never"}, "stop_rule must be one of .*'first_exhausted'.*found 'never'"),
        ({"token_budget": 0}, "token_budget: expected a whole number above 0, found 0"),
        ({"token_budget": 100}, "token_budget=100 cannot hold a chunk of max_chunk_tokens=1024"),
        ({"mixture": None}, "mixture must not be None; leave it out"),
        ({"sharing": None}, "sharing must not be None; leave it out"),
        (
            {"mixture": '{"kind": "rates"'},
            "mixture=.* is not JSON: .* column 17 .*Write a name, or a JSON object",
        ),
        ({"sharing": '{"name": "shard"}'}, "there is no structure 'shard'.*Did you mean 'shared'"),
        ({"optim": "adamm"}, "optim: expected one of .*'adamw_torch'.*, found 'adamm'"),
        ({"lr_scheduler_type": "linaer"}, "lr_scheduler_type: expected one of .*Did you mean 'linear'"),
        ({"eval_strategy": None}, "eval_strategy: expected one of 'epoch', 'no', 'steps', found None"),
        ({"log_level": "loud"}, "log_level: expected one of 'critical', .*, found 'loud'"),
        ({"bf16": "no"}, "bf16: expected True or False, found 'no'"),
        ({"greater_is_better": "no"}, "greater_is_better: expected True or False or None, found 'no'"),
        ({"metric_for_best_model": 5}, "metric_for_best_model: expected a text or None, found 5"),
        ({"lr_scheduler_kwargs": [1]}, "lr_scheduler_kwargs: expected a mapping or a text or None"),
        ({"debug": "everything"}, "transformers refuses these training arguments: everything is not a valid"),
    ],
)
def test_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _args(tmp_path, **changes)


def test_every_choice_of_transformers_is_one(tmp_path: Path) -> None:
    """As text and as a member; and what the class has made of its fields may be given again."""
    args = _args(tmp_path, accelerator_config={"split_batches": False}, debug="underflow_overflow")
    enums: dict[str, type[Enum]] = {
        "optim": OptimizerNames,
        "lr_scheduler_type": SchedulerType,
        "eval_strategy": IntervalStrategy,
    }
    for name, kind in enums.items():
        for member in kind:
            for value in (member, member.value):
                changed = copy.copy(args)
                vars(changed)[name] = value
                assert [*sort_problems(changed)] == []
    assert replace(args, max_steps=3).max_steps == 3


def _parsed(cls: Any, line: list[str]) -> Any:
    (args,) = HfArgumentParser(cls).parse_args_into_dataclasses(line)
    return args


def test_a_command_line_is_read_as_that_of_the_stock_class(tmp_path: Path) -> None:
    """As scripts for Trainer read their arguments."""
    line = f"--output_dir {tmp_path} --use_cpu --report_to none --learning_rate 0.1 --bf16 --warmup_steps 0.5".split()
    line += ["--no_remove_unused_columns", "--lr_scheduler_kwargs", '{"num_cycles": 2}']
    stock = _parsed(TrainingArguments, line).to_dict()
    ours = _parsed(MultiTaskTrainingArguments, line).to_dict()
    assert {name: ours[name] for name in stock} == stock and stock["learning_rate"] == 0.1
    defaults = _args(tmp_path).to_dict()
    assert all(ours[name] == defaults[name] for name in ours.keys() - stock.keys())


def test_a_command_line_sets_our_fields_too(tmp_path: Path) -> None:
    """Options are JSON, as for stock fields that take a mapping."""
    mixture = {"kind": "temperature", "temperature": 2.0}
    line = f"--output_dir {tmp_path} --use_cpu --report_to none --sharing shared --skip_spikes".split()
    line += ["--mixture", json.dumps(mixture), "--objective", '{"name": "equal"}', "--token_budget", "2048"]
    args = _parsed(MultiTaskTrainingArguments, line)
    assert (args.mixture, args.sharing, args.objective) == (mixture, "shared", {"name": "equal"})
    assert args.skip_spikes is True and args.token_budget == 2048


@pytest.mark.parametrize(
    ("task", "args", "steps", "batch"),
    [
        ({}, {"num_train_epochs": 2, "per_device_train_batch_size": 4}, 6, 4),
        ({}, {"max_steps": 7, "per_device_train_batch_size": 4}, 7, 4),
        ({"num_train_epochs": 1}, {"max_steps": 7, "per_device_train_batch_size": 4}, 3, 4),
        ({"max_steps": 9}, {"max_steps": 7}, 7, 8),
        ({"max_steps": 9}, {"num_train_epochs": 1}, 9, 8),
        ({"batch_size": 5}, {"num_train_epochs": 1, "gradient_accumulation_steps": 3}, 1, 15),
        ({"batch_size": 2, "gradient_accumulation_steps": 2}, {"num_train_epochs": 1}, 3, 4),
        (
            {},
            {"num_train_epochs": 1, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3},
            2,
            6,
        ),
    ],
)
def test_steps_and_batches(
    tmp_path: Path, task: dict[str, Any], args: dict[str, Any], steps: int, batch: int
) -> None:
    settings = TaskSettings.resolve(
        Task("t", train=ROWS, template=TEMPLATE, **task), _args(tmp_path, **args), rows=len(ROWS)
    )
    assert (settings.steps, settings.batch_size) == (steps, batch)


def test_a_task_overrides_the_arguments(tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "learning_rate": 0.3, "weight_decay": 0.2, "max_grad_norm": 0.0, "lr_scheduler_type": "constant",
        "warmup_steps": 0.5,
    }  # fmt: skip
    settings = TaskSettings.resolve(Task("t", train=ROWS, template=TEMPLATE, **own), _args(tmp_path), rows=10)
    assert {name: getattr(settings, name) for name in own} == own
    assert settings.warmup() == 3  # half of 3 epochs x 2 steps


def test_epochs_end_where_the_longest_task_ends_one(tiny_llama: Path, tmp_path: Path) -> None:
    tasks = [
        Task("long", train=ROWS, template=TEMPLATE, batch_size=2),
        Task("short", train=ROWS.select(range(3)), template=TEMPLATE, batch_size=2),
    ]
    trainer = MultiTaskTrainer(
        tiny_llama, _args(tmp_path, num_train_epochs=2, logging_strategy="epoch"), tasks
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["epoch"] for entry in logged] == [1.0, 2.0] and trainer.state.global_step == 10
    assert "long/loss" in logged[1] and "short/loss" not in logged[1]
    assert trainer.meter.tokens.keys() == {"long", "short"}
    assert sum(trainer.task_seconds().values()) == pytest.approx(trainer.meter.seconds)


def test_evaluation_in_between_is_logged_and_changes_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    task = Task(
        "t",
        train=ROWS,
        eval=ROWS.select(range(4)),
        template=TEMPLATE,
        adapter=LoraConfig(r=2, lora_dropout=0.3),
    )
    weights = []
    for changes in ({}, {"eval_strategy": "steps", "eval_steps": 2, "eval_on_start": True}):
        trainer = MultiTaskTrainer(
            tiny_llama, _args(tmp_path, max_steps=5, logging_steps=1, **changes), [task]
        )
        trainer.train()
        weights.append([p.detach().clone() for p in trainer.model.adapter_parameters("t").values()])
        evaluated = [entry["step"] for entry in trainer.state.log_history if "eval_t/exact_match" in entry]
    assert evaluated == [0, 2, 4, 5]  # the last round is always measured
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert all(
        entry["t/loss"] > 0 and entry["tokens_per_second"] > 0
        for entry in trainer.state.log_history
        if "loss" in entry
    )


def test_a_model_object_is_the_same_as_its_folder(tiny_llama: Path, tmp_path: Path) -> None:
    weights = []
    for model in (tiny_llama, AutoModelForCausalLM.from_pretrained(tiny_llama)):
        trainer = MultiTaskTrainer(
            model, _args(tmp_path, max_steps=3), [Task("t", train=ROWS, template=TEMPLATE)]
        )
        trainer.train()
        weights.append([p.detach().clone() for p in trainer.model.adapter_parameters("t").values()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_what_the_trainer_refuses(tiny_llama: Path, tmp_path: Path) -> None:
    only_train = Task("t", train=ROWS, template=TEMPLATE)
    trainer = MultiTaskTrainer(tiny_llama, _args(tmp_path), [only_train])
    with pytest.raises(ConfigError, match="No task has eval rows"):
        trainer.evaluate()
    with pytest.raises(CheckpointError, match="there is no whole checkpoint"):
        trainer.train(resume_from_checkpoint=True)
    with pytest.raises(ConfigError, match="predict takes rows by task"):
        trainer.predict(ROWS)
    with pytest.raises(ConfigError, match="ignore_keys=.* is not supported"):
        trainer.evaluate(ignore_keys=["logits"])
    assert trainer.evaluate({"t": ROWS}, metric_key_prefix="test")["test_t/rows"] == 10
    only_eval = Task("t", eval=ROWS, template=TEMPLATE)
    with pytest.raises(ConfigError, match="No task has train rows"):
        MultiTaskTrainer(tiny_llama, _args(tmp_path), [only_eval]).train()
