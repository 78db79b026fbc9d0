"""Without tasks a run of our two classes is the stock one, whatever its arguments ask for and a subclass overrides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import (
    DefaultFlowCallback,
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments

CLOCK = ("runtime", "per_second", "preparation_time")
_draw = np.random.default_rng(0)
ROWS = Dataset.from_dict(
    {
        "x": _draw.normal(size=(24, 3)).round(3).tolist(),
        "labels": _draw.integers(0, 2, 24).tolist(),
        "more": [0] * 24,
    }
)


class _Classifier(nn.Module):
    """Two layers and a norm."""

    config = None
    main_input_name = "x"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits `[R, 2]`, and the loss where there are labels."""
        logits = self.last(self.norm(self.first(x)).tanh())
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class _OutOfMemory(TrainerCallback):
    """Fails as a GPU does, until batches are small."""

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if state.train_batch_size is not None and state.train_batch_size >= 4:
            raise RuntimeError("CUDA out of memory.")


def _accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def _summed(prediction: Any, compute_result: bool) -> dict[str, float]:
    return {"accuracy": 0.5} if compute_result else {}


EVALUATED = {"eval_strategy": "steps", "eval_steps": 2}
BEST = EVALUATED | {"save_strategy": "steps", "save_steps": 2, "load_best_model_at_end": True}
ARGUMENTS: dict[str, dict[str, Any]] = {
    **{
        f"optim {name}": {"optim": name, "weight_decay": 0.1}
        for name in ("adafactor", "adagrad", "rmsprop", "sgd")
    },
    "optim_args": {"optim": "rmsprop", "optim_args": "momentum=0.9"},
    "plateau": {"lr_scheduler_type": "reduce_lr_on_plateau", "metric_for_best_model": "loss", **EVALUATED},
    "greedy": {"lr_scheduler_type": "greedy", "metric_for_best_model": "loss", **EVALUATED},
    "cosine": {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
    "workers": {"dataloader_num_workers": 1},
    "drop last": {"dataloader_drop_last": True, "per_device_train_batch_size": 5, "max_steps": -1},
    "by length": {"train_sampling_strategy": "sequential"},
    "smoothing": {"label_smoothing_factor": 0.1, **EVALUATED},
    "compiled": {"torch_compile": True, "torch_compile_backend": "eager"},
    "accumulation": {"gradient_accumulation_steps": 3, "max_steps": -1, "num_train_epochs": 2},
    "no clipping": {"max_grad_norm": 0.0, "weight_decay": 0.1},
    "epochs": {
        "max_steps": -1,
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "epoch",
    },
    "best": {"metric_for_best_model": "accuracy", "save_total_limit": 1, **BEST},
    "weights only": {"save_only_model": True, **BEST},
    "loss only": {"prediction_loss_only": True, **EVALUATED},
    "accumulated figures": {"eval_accumulation_steps": 1, "per_device_eval_batch_size": 3, **EVALUATED},
    "inputs for metrics": {"include_for_metrics": ["inputs", "loss"], "label_names": ["labels"], **EVALUATED},
    "figures by batch": {"batch_eval_metrics": True, **EVALUATED},
    "first step": {"logging_first_step": True, "eval_on_start": True, "eval_delay": 1, **EVALUATED},
    "tokens": {"include_num_input_tokens_seen": "all"},
    "all columns": {"remove_unused_columns": False},
    "determinism": {"full_determinism": False, "data_seed": 7, "seed": 3},
    "bf16": {"bf16": True},
}


def _trainer(classes: tuple[Any, Any], out: Path, changes: dict[str, Any], **given: Any) -> Trainer:
    trainer_class, args_class = classes
    settings: dict[str, Any] = {
        "max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 0.05, "logging_steps": 2,
        "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
    }  # fmt: skip
    rows = ROWS if changes.get("remove_unused_columns", True) else ROWS.remove_columns("more")
    model: dict[str, Any] = {} if "model_init" in given else {"model": _Classifier()}
    metrics = _summed if changes.get("batch_eval_metrics") else _accuracy
    whole = (
        model
        | {"train_dataset": rows, "eval_dataset": rows.select(range(7)), "compute_metrics": metrics}
        | given
    )
    made: Trainer = trainer_class(args=args_class(str(out), **(settings | changes)), **whole)
    made.remove_callback(PrinterCallback)
    return made


STOCK = (Trainer, TrainingArguments)
OURS = (MultiTaskTrainer, MultiTaskTrainingArguments)


def _end(trainer: Trainer, out: Path) -> tuple[Any, ...]:
    """Weights, log, state and files, without clocks."""
    log = [{k: v for k, v in entry.items() if not k.endswith(CLOCK)} for entry in trainer.state.log_history]
    assert trainer.model is not None
    weights = {key: own.tolist() for key, own in trainer.model.state_dict().items()}
    best = trainer.state.best_model_checkpoint
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    return weights, log, trainer.state.best_metric, best and Path(best).name, files


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_every_argument_means_what_it_means_in_transformers(tmp_path: Path, arguments: str) -> None:
    ends = []
    for classes in (STOCK, OURS):
        out = tmp_path / classes[0].__name__
        trainer = _trainer(classes, out, ARGUMENTS[arguments])
        trainer.train()
        trainer.evaluate(
            ROWS.select(range(3)) if ARGUMENTS[arguments].get("remove_unused_columns", True) else None
        )
        ends.append(_end(trainer, out))
    assert ends[0] == ends[1]
    assert len(ends[0][1]) > 1


def test_a_batch_size_is_found(tmp_path: Path) -> None:
    sizes = []
    for classes in (STOCK, OURS):
        trainer = _trainer(classes, tmp_path, {"auto_find_batch_size": True}, callbacks=[_OutOfMemory()])
        trainer.train()
        sizes.append(trainer._train_batch_size)
    assert sizes[0] == sizes[1] < 4


def test_checkpoints_are_those_of_the_stock_trainer_and_both_resume_them(tmp_path: Path) -> None:
    saved = {"save_strategy": "steps", "save_steps": 2}
    for classes in (STOCK, OURS):
        _trainer(classes, tmp_path / classes[0].__name__, saved).train()
    ends = []
    for classes in (STOCK, OURS):
        for other in (STOCK, OURS):
            trainer = _trainer(classes, tmp_path / "again", {"max_steps": 8})
            trainer.train(resume_from_checkpoint=str(tmp_path / other[0].__name__ / "checkpoint-2"))
            assert trainer.model is not None
            ends.append({key: own.tolist() for key, own in trainer.model.state_dict().items()})
        trainer = _trainer(
            classes, tmp_path / classes[0].__name__, {"max_steps": 8, "ignore_data_skip": True}
        )
        trainer.train(resume_from_checkpoint=True)
        assert trainer.state.global_step == 8
        with pytest.raises(ValueError, match="No valid checkpoint"):
            _trainer(classes, tmp_path / "empty", {}).train(resume_from_checkpoint=True)
    assert all(end == ends[0] for end in ends)


def test_predictions_and_several_data_sets(tmp_path: Path) -> None:
    both: dict[str, Any] = {"eval_dataset": {"a": ROWS.select(range(4)), "b": ROWS.select(range(4, 9))}}
    found = []
    name: Any = "a"  # the stock annotation leaves names out
    for classes in (STOCK, OURS):
        trainer = _trainer(classes, tmp_path, EVALUATED, **both)
        trainer.train()
        predicted = trainer.predict(ROWS.select(range(5)))
        figures = (
            trainer.evaluate() | trainer.evaluate(name, metric_key_prefix="one") | (predicted.metrics or {})
        )
        kept = {key: value for key, value in figures.items() if not key.endswith(CLOCK)}
        found.append(
            (kept, np.asarray(predicted.predictions).tolist(), np.asarray(predicted.label_ids).tolist())
        )
    assert found[0] == found[1] and "eval_b_accuracy" in found[0][0]


def test_callbacks_and_a_new_model_for_each_run(tmp_path: Path) -> None:
    changes = {"metric_for_best_model": "accuracy", **BEST}
    ends = []
    for classes in (STOCK, OURS):
        out = tmp_path / classes[0].__name__
        trainer = _trainer(
            classes, out, changes, model_init=_Classifier, callbacks=[EarlyStoppingCallback(1)]
        )
        trainer.train()
        trainer.train()
        flow = trainer.pop_callback(DefaultFlowCallback)
        assert flow is not None
        trainer.add_callback(flow)
        names = [type(callback).__name__ for callback in trainer.callback_handler.callbacks]
        ends.append((_end(trainer, out), names))
    assert ends[0] == ends[1]


OVERRIDES: dict[str, Callable[..., Any]] = {
    "compute_loss": lambda sup, self, *args, **kwargs: (
        2 * sup(*args, **kwargs) if not kwargs.get("return_outputs") else sup(*args, **kwargs)
    ),
    "training_step": lambda sup, self, *args, **kwargs: sup(*args, **kwargs) + 1,
    "log": lambda sup, self, logs, *args: sup(logs | {"more": 1.0}, *args),
    "create_optimizer": lambda sup, self, *args: _with_rate(sup(*args), 0.5),
    "get_decay_parameter_names": lambda sup, self, model: sup(model)[:1],
    "evaluate": lambda sup, self, *args, **kwargs: sup(*args, **kwargs) | {"eval_more": 2.0},
    "get_train_dataloader": lambda sup, self: list(sup())[:2],
    "get_eval_dataloader": lambda sup, self, *args: list(sup(*args))[:1],
    "save_model": lambda sup, self, *args, **kwargs: _with_folder(
        Path(args[0]) / "more", sup(*args, **kwargs)
    ),
    "_prepare_inputs": lambda sup, self, inputs: {
        key: value * (2 if key == "x" else 1) for key, value in sup(inputs).items()
    },
}


def _with_folder(folder: Path, output: Any) -> Any:
    folder.mkdir(parents=True)
    return output


def _with_rate(optimizer: Any, rate: float) -> Any:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return optimizer


@pytest.mark.parametrize("name", OVERRIDES)
def test_every_override_is_heard(tmp_path: Path, name: str) -> None:
    changes = {
        "save_strategy": "steps",
        "save_steps": 3,
        "weight_decay": 0.3,
        "per_device_eval_batch_size": 4,
        **EVALUATED,
    }
    ends = []
    for trainer_class, args_class in (STOCK, OURS):

        def method(self: Any, *args: Any, cls: Any = trainer_class, **kwargs: Any) -> Any:
            return OVERRIDES[name](getattr(cls, name).__get__(self), self, *args, **kwargs)

        own = type("Own", (trainer_class,), {name: method})
        for cls in (trainer_class, own):
            out = tmp_path / trainer_class.__name__ / cls.__name__
            trainer = _trainer((cls, args_class), out, changes)
            trainer.train()
            ends.append(_end(trainer, out))
    stock, stock_own, ours, ours_own = ends
    assert stock == ours and stock_own == ours_own
    assert (
        stock != stock_own or name == "evaluate"
    )  # whose figures are logged before an override adds to them
