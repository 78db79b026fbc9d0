"""Every argument of the stock Trainer is honoured or refused: the table has them all, and refusals say the way out."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from accelerate.utils import ParallelismConfig
from datasets import Dataset
from transformers import Seq2SeqTrainingArguments, Trainer, TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task
from hf_mtl.errors import ConfigError
from hf_mtl.recipe import load_recipe
from hf_mtl.training.argument_checks import argument_problems, refused_arguments
from hf_mtl.training.argument_table import ACCELERATOR_FIELDS, FIELDS, PARAMETERS
from hf_mtl.training.treatments import Honoured, Refused

ROOT = Path(__file__).resolve().parents[2]
QUIET: dict[str, Any] = {"report_to": "none", "disable_tqdm": True, "use_cpu": True}
TASK = Task(
    "t",
    train=Dataset.from_list([{"a": str(i), "b": "x"} for i in range(4)]),
    template=PromptCompletion("{a}", " {b}"),
)

# A value of every refused field, and what transformers wants beside it.
REFUSED: dict[str, Any] = {
    "average_tokens_across_devices": False,
    "auto_find_batch_size": True,
    "optim_target_modules": ["q_proj"],
    "label_smoothing_factor": 0.1,
    "neftune_noise_alpha": 5.0,
    "fp16": True,
    "bf16_full_eval": True,
    "fp16_full_eval": True,
    "torch_compile": True,
    "torch_compile_backend": "eager",
    "torch_compile_mode": "max-autotune",
    "use_liger_kernel": True,
    "liger_kernel_config": {"rope": True},
    "use_cache": True,
    "torch_empty_cache_steps": 4,
    "logging_nan_inf_filter": False,
    "include_num_input_tokens_seen": "non_padding",
    "skip_memory_metrics": False,
    "per_device_eval_batch_size": 16,
    "prediction_loss_only": True,
    "eval_do_concat_batches": False,
    "eval_use_gather_object": True,
    "eval_accumulation_steps": 2,
    "include_for_metrics": ["inputs"],
    "batch_eval_metrics": True,
    "label_names": ["labels"],
    "save_only_model": True,
    "enable_jit_checkpoint": True,
    "ignore_data_skip": True,
    "dataloader_drop_last": True,
    "dataloader_num_workers": 2,
    "dataloader_pin_memory": False,
    "dataloader_persistent_workers": True,
    "dataloader_prefetch_factor": 2,
    "dataloader_multiprocessing_context": "spawn",
    "dataloader_in_order": False,
    "remove_unused_columns": False,
    "train_sampling_strategy": "sequential",
    "length_column_name": "tokens",
    "parallelism_config": ParallelismConfig(),
    "ddp_find_unused_parameters": False,
    "ddp_bucket_cap_mb": 10,
    "ddp_broadcast_buffers": True,
    "ddp_static_graph": True,
    "fsdp": "full_shard",
    "fsdp_config": {"version": 2},
    "deepspeed": {"zero_optimization": {"stage": 2}},
}
BESIDE: dict[str, dict[str, Any]] = {
    "dataloader_pin_memory": {"use_cpu": False},
    "dataloader_prefetch_factor": {"dataloader_num_workers": 2},
}
REFUSED_BY_ACCELERATE: dict[str, Any] = {
    "split_batches": True,
    "dispatch_batches": True,
    "even_batches": False,
    "use_seedable_sampler": False,
    "non_blocking": True,
    "gradient_accumulation_kwargs": {"sync_each_batch": True},
}


def _refused(table: Any) -> set[str]:
    return {name for name, treatment in table.items() if isinstance(treatment, Refused)}


def _problems(args: TrainingArguments) -> list[str]:
    return [".".join(problem.path) for problem in argument_problems(args)]


def check_arguments(args: TrainingArguments, optimizers: Sequence[str | None] = ()) -> None:
    if problems := argument_problems(args, optimizers):
        raise ConfigError([str(problem) for problem in problems])


def test_every_field_is_classified() -> None:
    """A field of a new transformers fails here, until somebody has looked at what it means with tasks."""
    fields = {own.name for own in dataclasses.fields(TrainingArguments)}
    assert not fields - FIELDS.keys()
    assert {own.name for own in dataclasses.fields(AcceleratorConfig)} == ACCELERATOR_FIELDS.keys()


def test_every_parameter_of_the_trainer_is_classified() -> None:
    assert list(inspect.signature(Trainer.__init__).parameters)[1:] == sorted(
        PARAMETERS, key=list(inspect.signature(Trainer.__init__).parameters).index
    )


def test_the_table_has_no_fields_of_the_past() -> None:
    """Of the versions that are supported, the oldest knows all but these."""
    newer = {"activation_checkpointing", "activation_checkpointing_kwargs"}
    assert not FIELDS.keys() - newer - {own.name for own in dataclasses.fields(TrainingArguments)}


@pytest.mark.parametrize("cls", [TrainingArguments, MultiTaskTrainingArguments, Seq2SeqTrainingArguments])
@pytest.mark.parametrize("use_cpu", [True, False])
def test_defaults_are_not_refused(tmp_path: Path, cls: type[TrainingArguments], use_cpu: bool) -> None:
    check_arguments(cls(str(tmp_path), use_cpu=use_cpu))


def test_defaults_in_other_words_are_not_refused(tmp_path: Path) -> None:
    words: dict[str, Any] = {
        "include_num_input_tokens_seen": False, "fsdp": "", "deepspeed": None, "accelerator_config": {},
        "dataloader_pin_memory": False, "include_for_metrics": [], "debug": "", "torch_compile": False,
    }  # fmt: skip
    check_arguments(TrainingArguments(str(tmp_path), **QUIET, **words))


def test_all_refused_fields_have_an_example() -> None:
    assert REFUSED.keys() == _refused(FIELDS)
    assert REFUSED_BY_ACCELERATE.keys() == _refused(ACCELERATOR_FIELDS)


def _with(folder: Path, cls: type[TrainingArguments], **changes: Any) -> TrainingArguments:
    for name in changes.keys() & BESIDE.keys():
        changes = BESIDE[name] | changes
    return cls(str(folder), **QUIET | changes)


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "deepspeed"])
@pytest.mark.parametrize("cls", [TrainingArguments, MultiTaskTrainingArguments])
def test_a_refused_field(tmp_path: Path, name: str, cls: type[TrainingArguments]) -> None:
    """Alone it is refused, by name and with the way out, and nothing else is."""
    args = _with(tmp_path, cls, **{name: REFUSED[name]})
    treatment = FIELDS[name]
    assert isinstance(treatment, Refused)
    told = [str(problem) for problem in argument_problems(args) if problem.path == (name,)]
    assert len(told) == 1 and told[0].endswith(f" is refused: {treatment.text}.")
    companions = {"torch_compile"} if name.startswith("torch_compile") else set(BESIDE.get(name, ()))
    assert {*_problems(args)} - {name} <= companions


def test_a_refusal_gives_the_reason_first_and_then_what_to_do() -> None:
    refused = [
        own for table in (FIELDS, PARAMETERS, ACCELERATOR_FIELDS) for own in table.values()
        if isinstance(own, Refused)
    ]  # fmt: skip
    verbs = {
        "choose", "declare", "divide", "leave", "lower", "name", "pass", "read", "say", "select", "set", "start",
        "take", "use", "write",
    }  # fmt: skip
    assert {own.instead.split()[0] for own in refused} <= verbs
    assert verbs.isdisjoint(own.why.split()[0] for own in refused)


def test_deepspeed(tmp_path: Path) -> None:
    """It is not installed here, and transformers itself wants it where the field is set."""
    args = TrainingArguments(str(tmp_path), **QUIET)
    args.deepspeed = REFUSED["deepspeed"]
    assert _problems(args) == ["deepspeed"]


def test_without_tasks_nothing_is_refused(tmp_path: Path) -> None:
    """The class takes them all, since it serves a trainer without tasks too."""
    names = [
        "save_only_model",
        "label_smoothing_factor",
        "auto_find_batch_size",
        "dataloader_num_workers",
        "fp16",
    ]
    changes = {name: REFUSED[name] for name in names}
    changes |= {"optim": "adafactor", "lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps"}
    args = MultiTaskTrainingArguments(str(tmp_path), **QUIET | changes)
    assert {*_problems(args)} == {*names, "optim", "lr_scheduler_type"}


@pytest.mark.parametrize("name", REFUSED_BY_ACCELERATE)
@pytest.mark.parametrize("form", ["mapping", "object", "file"])
def test_a_refused_field_of_accelerate(tmp_path: Path, name: str, form: str) -> None:
    config: Any = {name: REFUSED_BY_ACCELERATE[name]}
    if form == "object":
        config = AcceleratorConfig(**config)
    elif form == "file":
        (tmp_path / "accelerate.json").write_text(json.dumps(config))
        config = str(tmp_path / "accelerate.json")
    with pytest.raises(ConfigError, match=rf"^accelerator_config\.{name}=.* is refused: .*; .*\.$"):
        check_arguments(TrainingArguments(str(tmp_path), **QUIET, accelerator_config=config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim": "adafactor"}, "optim='adafactor' is refused: .*choose one of 'adagrad', 'adamw_torch'"),
        (
            {"lr_scheduler_type": "greedy", "eval_strategy": "steps"},
            "lr_scheduler_type='greedy' is refused: a schedule here is a function of the task's steps",
        ),
        ({"debug": "tpu_metrics_debug"}, "debug='tpu_metrics_debug' is refused: .*underflow_overflow"),
        ({"optim_args": "momentum=0.9"}, "no optimizer in use .'adamw_torch_fused'. reads 'momentum'"),
        ({"optim": "sgd", "optim_args": "momentum=0.9,beta=1"}, "no optimizer in use .'sgd'. reads 'beta'"),
        ({"optim": "sgd", "optim_args": "weight_decay=0.1"}, "'weight_decay' would be overruled; set"),
        ({"optim": "sgd", "optim_args": "momentum"}, "expected key=value pairs .* such as 'momentum=0.9"),
        ({"optim": "sgd", "optim_args": "momentum=much"}, "could not convert string to float: 'much'; write"),
    ],
)
def test_a_refused_value(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_arguments(TrainingArguments(str(tmp_path), **QUIET, **changes))


def test_options_that_only_a_task_reads(tmp_path: Path) -> None:
    args = TrainingArguments(str(tmp_path), **QUIET, optim_args="momentum=0.9")
    check_arguments(args, [None, "sgd"])
    with pytest.raises(ConfigError, match=r"no optimizer in use \('adagrad', 'adamw_torch_fused'\) reads"):
        check_arguments(args, [None, "adagrad"])


def test_more_than_one_gpu_in_a_process(tmp_path: Path) -> None:
    args = TrainingArguments(str(tmp_path), **QUIET)
    args._n_gpu = 2
    with pytest.raises(ConfigError, match=r"n_gpu=2 is refused: .*CUDA_VISIBLE_DEVICES=0"):
        check_arguments(args)


@pytest.mark.parametrize("cls", [TrainingArguments, MultiTaskTrainingArguments])
def test_the_trainer_refuses_all_at_once(tmp_path: Path, cls: Any) -> None:
    """Before a model is loaded: there is none under this name."""
    args = cls(str(tmp_path), **QUIET, label_names=["x"], dataloader_drop_last=True, optim="adafactor")
    with pytest.raises(ConfigError) as caught:
        MultiTaskTrainer(tmp_path / "no-model", args, [TASK])
    assert [text.partition("=")[0] for text in caught.value.problems] == [
        "dataloader_drop_last",
        "label_names",
        "optim",
    ]


def test_fields_of_other_trainers(tmp_path: Path) -> None:
    args = Seq2SeqTrainingArguments(str(tmp_path), **QUIET, predict_with_generate=True)
    with pytest.raises(
        ConfigError, match="predict_with_generate=True is refused: this version of hf_mtl does not"
    ):
        check_arguments(args)


@dataclass
class OwnArguments(TrainingArguments):
    """As a script reads its command line."""

    rows: str = "a.jsonl"
    label_names: list[str] | None = field(default_factory=lambda: ["answer"])


def test_fields_of_a_users_class(tmp_path: Path) -> None:
    """What a script adds for itself is the script's; a stock field is judged, whoever gave it another default."""
    assert _problems(OwnArguments(str(tmp_path), **QUIET, rows="b.jsonl")) == ["label_names"]


def test_a_field_that_is_not_known_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a transformers that is newer than the table."""
    known = {name: own for name, own in FIELDS.items() if name != "torch_empty_cache_steps"}
    monkeypatch.setattr("hf_mtl.training.argument_checks.FIELDS", known)
    with pytest.raises(
        ConfigError, match="torch_empty_cache_steps=3 is refused: this version of hf_mtl does not"
    ):
        check_arguments(TrainingArguments(str(tmp_path), **QUIET, torch_empty_cache_steps=3))
    check_arguments(TrainingArguments(str(tmp_path), **QUIET))


RECIPE = """\
model: {id: ada/tiny-llama}
output_dir: runs/tiny
tasks:
  verbs: {train: verbs.jsonl, template: {prompt: "{lemma} ->", completion: " {past}"}}
training:
  max_steps: 2
  use_cpu: true
  dataloader_drop_last: true
  accelerator_config:
    even_batches: true
    split_batches: true
  optim: adafactor
  dataloader_prefetch_factor: 2
  resume_from_checkpoint: runs/tiny
  do_train: true
"""


def test_a_recipe_names_lines_and_all_problems(two_tasks: Path) -> None:
    (two_tasks / "recipe.yaml").write_text(RECIPE)
    with pytest.raises(ConfigError) as caught:
        load_recipe(two_tasks / "recipe.yaml")
    heads = [problem.partition(": ")[0] for problem in caught.value.problems]
    assert [head.rpartition("/")[2] for head in heads] == [
        "recipe.yaml:8 training.dataloader_drop_last",
        "recipe.yaml:11 training.accelerator_config.split_batches",
        "recipe.yaml:12 training.optim",
        "recipe.yaml:13 training.dataloader_prefetch_factor",
        "recipe.yaml:14 training.resume_from_checkpoint",
        "recipe.yaml:15 training.do_train",
    ]
    assert "True is refused: a step's loss is the mean over its own labels" in caught.value.problems[0]
    assert "run `hf-mtl train RECIPE --resume last`" in caught.value.problems[4]


def test_the_documentation_has_the_table() -> None:
    text = (ROOT / "docs" / "arguments.md").read_text(encoding="utf-8")
    tables: dict[str, Any] = {"": FIELDS, "accelerator_config.": ACCELERATOR_FIELDS, "Trainer": PARAMETERS}
    expected = []
    for head, table in tables.items():
        place = "" if head == "Trainer" else head
        for name, treatment in table.items():
            if isinstance(treatment, Refused):
                expected.append(f"| `{place}{name}` | {treatment.why} | {treatment.instead} |")
    assert [line for line in text.splitlines() if line.startswith("| `")] == expected, "\n".join(expected)
    for kind in (Honoured.STOCK, Honoured.SCRIPT):
        named = ", ".join(f"`{name}`" for name, treatment in FIELDS.items() if treatment is kind)
        assert named in text.replace("\n", " "), named


def test_trackers_are_asked_for_where_there_are_tasks(tmp_path: Path) -> None:
    """Without tasks it is the stock Trainer that says what it misses, as always."""
    args = MultiTaskTrainingArguments(str(tmp_path), report_to="wandbb", use_cpu=True)
    assert any("unknown tracker 'wandbb'" in problem for problem in refused_arguments(args, []))
