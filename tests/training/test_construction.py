"""How a trainer is made: each form of the stock Trainer without tasks, and what tasks replace, with its way out."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorWithPadding,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel, TaskSuite
from hf_mtl.errors import ConfigError
from hf_mtl.models import load_base
from hf_mtl.training.argument_table import PARAMETERS
from hf_mtl.training.construction import task_arguments
from hf_mtl.training.treatments import Refused
from runs import ARGUMENTS, tasks


class _Line(nn.Module):
    """`y = a x`, on which a stock Trainer trains in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        y = self.a * x
        return {"y": y} if labels is None else {"loss": (y - labels).square().mean(), "y": y}


POINTS = Dataset.from_dict({"x": [float(i) for i in range(8)], "labels": [3.0 * i for i in range(8)]})


class _Epochs(TrainerCallback):
    """Counts them."""

    count = 0

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        self.count += 1


def _collator(rows: list[dict[str, float]]) -> dict[str, torch.Tensor]:
    return {key: torch.tensor([row[key] for row in rows]) for key in rows[0]}


def _arguments(cls: type[TrainingArguments], folder: Path, **changes: Any) -> TrainingArguments:
    settings: dict[str, Any] = {
        "max_steps": 4,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "save_strategy": "no",
    }
    return cls(str(folder), per_device_train_batch_size=2, learning_rate=0.1, **(settings | changes))


def _optimizers(model: nn.Module) -> tuple[Any, Any]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


FORMS: dict[str, Any] = {
    "positional": lambda cls, args: cls(_Line(), args, _collator, POINTS, POINTS),
    "the third by its stock name": lambda cls, args: cls(
        _Line(), args, data_collator=_collator, train_dataset=POINTS, eval_dataset=POINTS
    ),
    "an object as collator": lambda cls, args: cls(_Line(), args, default_data_collator, POINTS),
    "a model made by a function": lambda cls, args: cls(
        args=args, model_init=_Line, train_dataset=POINTS, data_collator=_collator
    ),
    "all defaults": lambda cls, args: cls(
        model=_Line(), args=args, data_collator=None, train_dataset=POINTS, eval_dataset=None,
        processing_class=None, model_init=None, compute_loss_func=None, compute_metrics=None, callbacks=None,
        optimizers=(None, None), optimizer_cls_and_kwargs=None, preprocess_logits_for_metrics=None,
    ),
    "all by position": lambda cls, args: cls(
        _Line(), args, None, POINTS, None, None, None, None, None, None, (None, None), None, None
    ),
    "optimizers": lambda cls, args: cls(
        model := _Line(), args, train_dataset=POINTS, optimizers=_optimizers(model)
    ),
    "an optimizer's class": lambda cls, args: cls(
        _Line(), args, train_dataset=POINTS, optimizer_cls_and_kwargs=(torch.optim.SGD, {"lr": 0.01})
    ),
    "a loss": lambda cls, args: cls(
        _Line(), args, train_dataset=POINTS,
        compute_loss_func=lambda outputs, labels, num_items_in_batch=None: (outputs["y"] - labels).abs().mean(),
    ),
    "callbacks": lambda cls, args: cls(_Line(), args, train_dataset=POINTS, callbacks=[_Epochs()]),
}  # fmt: skip


@pytest.mark.parametrize("arguments", [TrainingArguments, MultiTaskTrainingArguments])
@pytest.mark.parametrize("form", FORMS)
def test_without_tasks_every_stock_form_gives_the_stock_weights(
    tmp_path: Path, form: str, arguments: type[TrainingArguments]
) -> None:
    ends = []
    for trainer_class, args_class in ((Trainer, TrainingArguments), (MultiTaskTrainer, arguments)):
        trainer = FORMS[form](trainer_class, _arguments(args_class, tmp_path))
        output = trainer.train()
        ends.append((trainer.model.a.item(), output.training_loss, trainer.state.log_history[-1]["epoch"]))
    assert ends[0] == ends[1] and ends[0][0] > 0


def test_a_model_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = MultiTaskTrainer(_Line())
    assert type(trainer.args) is TrainingArguments and trainer.args.output_dir == "tmp_trainer"


def test_the_constructor_takes_what_the_stock_one_takes() -> None:
    """A parameter of a new transformers fails here."""
    stock = list(inspect.signature(Trainer.__init__).parameters.values())
    ours = inspect.signature(MultiTaskTrainer.__init__).parameters
    assert ours.keys() == {own.name for own in stock} | {"tasks", "peft_config"}
    assert all(own.default == ours[own.name].default for own in stock)
    places = [own.name for own in ours.values() if own.kind is own.POSITIONAL_OR_KEYWORD]
    assert places == ["tasks" if own.name == "data_collator" else own.name for own in stock]


@pytest.mark.parametrize("error", [TypeError, RuntimeError, ValueError])
def test_without_tasks_the_stock_errors(tmp_path: Path, error: type[Exception]) -> None:
    given: dict[type[Exception], dict[str, Any]] = {
        TypeError: {"model": _Line(), "data_collator": DataCollatorAsObject(), "train_dataset": POINTS},
        RuntimeError: {},
        ValueError: {"model": _Line(), "model_init": _Line},
    }
    messages = []
    for cls in (Trainer, MultiTaskTrainer):
        with pytest.raises(error) as caught:
            cls(args=_arguments(TrainingArguments, tmp_path), **given[error])
        messages.append(str(caught.value).replace("MultiTaskTrainer", "Trainer"))
    assert messages[0] == messages[1]


class DataCollatorAsObject:
    """What transformers' early versions called a data collator."""

    def collate_batch(self, rows: list[Any]) -> dict[str, Any]:
        """Never called."""
        return {}


def test_without_tasks_a_mixin_behind_ours_is_heard(tmp_path: Path) -> None:
    class Doubled(Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().training_step(*args, **kwargs)

    class Both(MultiTaskTrainer, Doubled):
        pass

    losses = [
        cls(_Line(), _arguments(TrainingArguments, tmp_path), train_dataset=POINTS).train().training_loss
        for cls in (Trainer, Both)
    ]
    assert losses[1] == pytest.approx(2 * losses[0])


_NO_TOKENIZER: Any = None  # it is refused before it would be used

GIVEN: dict[str, Any] = {
    "data_collator": DataCollatorWithPadding(_NO_TOKENIZER),
    "train_dataset": POINTS,
    "eval_dataset": {"a": POINTS},
    "model_init": _Line,
    "compute_loss_func": lambda outputs, labels: 0,
    "optimizers": (None, object()),
    "optimizer_cls_and_kwargs": (torch.optim.SGD, {}),
    "preprocess_logits_for_metrics": lambda logits, labels: logits,
}


def test_what_tasks_replace_is_refused_all_at_once_each_with_its_own_way_out(
    tiny_llama: Path, tmp_path: Path
) -> None:
    args = _arguments(MultiTaskTrainingArguments, tmp_path)
    with pytest.raises(ConfigError) as caught:
        MultiTaskTrainer(tiny_llama, args, tasks().values(), **GIVEN)
    told = dict(problem.split(" cannot be given together with tasks: ") for problem in caught.value.problems)
    replaced = {name for name, treatment in PARAMETERS.items() if isinstance(treatment, Refused)}
    assert told.keys() == GIVEN.keys() == replaced
    assert len(set(told.values())) == len(told)
    for suite in (TaskSuite(tasks().values()), list(tasks().values())):
        with pytest.raises(
            ConfigError, match=r"train_dataset cannot be given .* pass Task\(..., train=...\)"
        ):
            MultiTaskTrainer(tiny_llama, args, suite, train_dataset=POINTS)


def test_with_tasks_the_stock_defaults_may_be_passed(tiny_llama: Path, tmp_path: Path) -> None:
    args = _arguments(MultiTaskTrainingArguments, tmp_path)
    trainer = MultiTaskTrainer(
        tiny_llama, args, tasks=tasks().values(), data_collator=None, train_dataset=None, eval_dataset=None,
        model_init=None, compute_loss_func=None, optimizers=(None, None), optimizer_cls_and_kwargs=None,
        preprocess_logits_for_metrics=None,
    )  # fmt: skip
    assert set(trainer.sources) == set(tasks())


@pytest.mark.parametrize(
    ("third", "message"),
    [
        ([], "A suite needs at least one task"),
        (tasks()["verbs"], r"tasks is one task, 'verbs'; pass a list: tasks=\[task\]"),
        ({}, "tasks is an empty dict"),
        (["verbs"], "tasks must be Task objects, found 'str'"),
        (POINTS, "tasks must be Task objects, found 'dict'.* go into train_dataset"),
    ],
)
def test_what_tasks_are_not(tiny_llama: Path, third: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MultiTaskTrainer(tiny_llama, None, third)


def test_the_model_and_the_arguments_fit_tasks_or_say_what_to_pass(tiny_llama: Path, tmp_path: Path) -> None:
    base, identity = load_base(tiny_llama)
    suite = tasks().values()
    for model, found in (
        (str(tiny_llama), repr(str(tiny_llama))),
        (RoutedModel(base, identity=identity), "a RoutedModel"),
    ):
        with pytest.raises(ConfigError, match=r"model is .* needs tasks=\[Task") as caught:
            MultiTaskTrainer(model)
        assert found in str(caught.value)
    for other in (_Line(), None):
        with pytest.raises(
            ConfigError, match=f"model is of type {type(other).__name__}; with tasks pass a Hub id"
        ):
            MultiTaskTrainer(other, None, suite)
    with pytest.raises(ConfigError, match="args is of type str; pass MultiTaskTrainingArguments"):
        MultiTaskTrainer(tiny_llama, str(tmp_path), suite)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="There are two data collators"):
        MultiTaskTrainer(_Line(), None, _collator, data_collator=_collator)


def test_plain_training_arguments_train_tasks_to_the_same_weights(tiny_llama: Path, tmp_path: Path) -> None:
    ends = []
    for cls in (MultiTaskTrainingArguments, TrainingArguments, Seq2SeqTrainingArguments):
        model = AutoModelForCausalLM.from_pretrained(tiny_llama)
        args = cls(str(tmp_path / cls.__name__), **(ARGUMENTS | {"max_steps": 2}))
        trainer = MultiTaskTrainer(
            model, args, tasks().values(), processing_class=AutoTokenizer.from_pretrained(tiny_llama)
        )
        trainer.train()
        assert isinstance(trainer.args, MultiTaskTrainingArguments) and trainer.args.token_budget == 4096
        ends.append({key: own.detach().clone() for key, own in trainer.owners.parameters["verbs"].items()})
    assert all(torch.equal(own, end[key]) for end in ends[1:] for key, own in ends[0].items())


def test_plain_training_arguments_are_taken_over_field_by_field(tmp_path: Path) -> None:
    plain = TrainingArguments(
        str(tmp_path), report_to="none", lr_scheduler_kwargs={"a": 1}, warmup_steps=0.25
    )
    ours = task_arguments(plain)
    assert all(value == vars(ours)[name] for name, value in vars(plain).items())
    assert (
        ours.to_dict().keys() == MultiTaskTrainingArguments(str(tmp_path), report_to="none").to_dict().keys()
    )


def test_hyperparameter_search_says_what_to_do_instead(tiny_llama: Path, tmp_path: Path) -> None:
    """And not, as the stock one does, to pass a model_init, which is refused with the advice to pass the model."""
    trainer = MultiTaskTrainer(tiny_llama, _arguments(MultiTaskTrainingArguments, tmp_path), tasks().values())
    with pytest.raises(ConfigError, match="one MultiTaskTrainer with a trial's arguments") as caught:
        trainer.hyperparameter_search(n_trials=2)
    assert "model_init" not in str(caught.value)
