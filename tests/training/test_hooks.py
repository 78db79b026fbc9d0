"""What becomes of the stock Trainer's methods: all are known, what is not called is refused, the rest is heard."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_mtl.errors import ConfigError
from hf_mtl.training.control import LoopState
from hf_mtl.training.hooks import CALLED, FOR_THE_USER, NOT_CALLED
from runs import ARGUMENTS, tasks

# Methods that the oldest version of transformers that is supported does not have.
NEWER = {
    "_defer_fsdp_gradient_reduction",
    "_sync_replicated_trainable_parameters",
    "end",
    "loss_is_scaled_for_ga",
}
# Called by no run without the Hub; tests/hub shows that they are.
HUB = {"create_model_card", "init_hf_repo", "push_to_hub", "_push_from_checkpoint"}
OUR_CLASSES = [cls for cls in MultiTaskTrainer.__mro__ if issubclass(cls, Trainer) and cls is not Trainer]


def _stock() -> set[str]:
    return {name for name in vars(Trainer) if not name.startswith("__")}


def _trainer(cls: type[MultiTaskTrainer], base: Path, out: Path, **changes: Any) -> MultiTaskTrainer:
    args = MultiTaskTrainingArguments(str(out), **(ARGUMENTS | {"max_steps": 2} | changes))
    return cls(base, args, [tasks()["verbs"], tasks()["mlp"]])


def _overriding(name: str, method: Any) -> type[MultiTaskTrainer]:
    return type("Own", (MultiTaskTrainer,), {name: method})


def test_every_method_of_the_stock_trainer_is_classified() -> None:
    """A method of a new transformers fails here, until somebody has looked at what tasks make of it."""
    known = [*CALLED, *FOR_THE_USER, *NOT_CALLED]
    assert len(known) == len(set(known))
    assert _stock() <= set(known)
    assert set(known) - _stock() <= NEWER


@pytest.mark.parametrize("name", sorted(NOT_CALLED))
def test_an_override_that_would_be_ignored_is_refused_by_name(tmp_path: Path, name: str) -> None:
    own = _overriding(name, lambda self, *args, **kwargs: None)
    with pytest.raises(ConfigError, match=f"^Own.{name} is not called when there are tasks: .*Without tasks"):
        own("a base that is not even looked at", None, tasks().values())
    model = torch.nn.Linear(1, 1)
    if name != "loss_is_scaled_for_ga":  # the stock constructor does not call it
        assert isinstance(own(model, MultiTaskTrainingArguments(str(tmp_path), **ARGUMENTS)), Trainer)


def test_all_refusals_come_at_once_also_of_a_mixin() -> None:
    class Weighted:
        def compute_loss(self, *args: Any) -> None: ...

    class Own(Weighted, MultiTaskTrainer):  # type: ignore[misc]  # overrides as careless as users write them
        def prediction_step(self, *args: Any) -> None: ...  # type: ignore[override]

    with pytest.raises(ConfigError) as caught:
        Own("base", None, tasks().values(), model_init=lambda: None)  # type: ignore[arg-type,return-value]
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
        "Own.prediction_step", "Weighted.compute_loss", "model_init",
    ]  # fmt: skip


def test_a_mixin_that_ours_stands_before_is_refused() -> None:
    class Louder(Trainer):
        def log(self, *args: Any) -> None: ...

        def compute_loss(self, *args: Any) -> None: ...  # type: ignore[override]

    class Own(MultiTaskTrainer, Louder): ...

    with pytest.raises(
        ConfigError, match=r"(?s)Louder.compute_loss is not called.*class Own\(Louder, MultiTaskTrainer\)"
    ):
        Own("base", None, tasks().values())


def test_what_is_put_on_the_object_is_refused_when_it_trains(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = _trainer(MultiTaskTrainer, tiny_llama, tmp_path)
    trainer.compute_loss = lambda *args, **kwargs: torch.zeros(())  # type: ignore[method-assign]
    with pytest.raises(
        ConfigError, match="the trainer's own compute_loss is not called when there are tasks"
    ):
        trainer.train()


def _recording(names: set[str], heard: set[str]) -> type[MultiTaskTrainer]:
    def method_of(name: str) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            heard.add(name)
            return getattr(super(recorded, self), name)(*args, **kwargs)

        return method

    recorded = type("Recorded", (MultiTaskTrainer,), {name: method_of(name) for name in names})
    return recorded


def test_a_run_calls_what_is_said_to_be_called_and_nothing_else(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored: set[str] = set()
    for name in NOT_CALLED.keys() & _stock() - {"loss_is_scaled_for_ga"}:
        original = vars(Trainer)[name]

        def method(*args: Any, name: str = name, original: Any = original, **kwargs: Any) -> Any:
            ignored.add(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(Trainer, name, method)
    heard: set[str] = set()
    own = _recording(set(CALLED & _stock() - HUB), heard)
    settings = {
        "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1,
        "load_best_model_at_end": True, "disable_tqdm": False,
    }  # fmt: skip
    _trainer(own, tiny_llama, tmp_path, **settings).train()
    again = _trainer(own, tiny_llama, tmp_path, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    again.predict({"verbs": tasks()["verbs"].eval})
    again.save_model(str(tmp_path / "saved"))
    again.save_state()
    assert CALLED & _stock() - HUB - heard == set()
    # The stock rule is used, by its own name: an override would not be asked.
    assert ignored == {"get_decay_parameter_names"}


def test_overrides_that_call_super_are_honoured(tiny_llama: Path, tmp_path: Path) -> None:
    class Own(MultiTaskTrainer):
        def create_optimizer(self, model: Any = None) -> Any:
            optimizer = super().create_optimizer(model)
            for group in optimizer.param_groups:
                group["weight_decay"] = 0.5
            return optimizer

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            return super().evaluate(*args, **kwargs) | {"eval_more": 1.0}

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            super().log(logs | {"seen": 1.0}, start_time)

    ends = []
    for cls in (MultiTaskTrainer, Own):
        trainer = _trainer(cls, tiny_llama, tmp_path)
        trainer.train()
        ends.append(
            torch.cat([own.detach().flatten() for own in trainer.owners.parameters["verbs"].values()])
        )
    assert not torch.equal(*ends)
    assert all(entry["seen"] == 1.0 for entry in trainer.state.log_history)
    assert trainer.evaluate()["eval_more"] == 1.0


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        ("create_optimizer", lambda self, model=None: None, "Own.create_optimizer must keep what super"),
        (
            "get_train_dataloader",
            lambda self: [1, 2],
            "Own.get_train_dataloader gave a list; with tasks it must return",
        ),
    ],
)
def test_overrides_that_leave_tasks_out_are_refused_before_the_first_round(
    tiny_llama: Path, tmp_path: Path, name: str, method: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _trainer(_overriding(name, method), tiny_llama, tmp_path).train()


def test_overridden_hooks_of_the_parent_still_exist() -> None:
    """Private and public methods of the stock Trainer that we replace; a new transformers that drops one fails here."""
    replaced = {
        cls.__name__: {name for name in vars(cls) if callable(vars(cls)[name]) and name in _stock()}
        for cls in OUR_CLASSES
    }
    assert replaced == {
        "MultiTaskTrainer": {
            "_clip_grad_norm", "_finalize_training", "_get_grad_norm", "_wrap_model", "create_model_card",
            "create_optimizer", "create_scheduler", "floating_point_ops", "hyperparameter_search", "log", "train",
            "training_step",
        },
        "LoopingTrainer": {"get_batch_samples", "get_train_dataloader", "set_initial_training_values"},
        "MeasuringTrainer": {"evaluate", "predict", "save_model"},
        "PushingTrainer": {"_finish_current_push", "_push_from_checkpoint", "init_hf_repo", "push_to_hub"},
        "CheckpointingTrainer": {
            "_finalize_training", "_load_best_model", "_load_from_checkpoint", "_load_optimizer_and_scheduler",
            "_load_rng_state", "_maybe_log_save_evaluate", "_save_checkpoint", "log",
        },
    }  # fmt: skip


def test_private_attributes_of_the_parent_that_we_use_still_exist() -> None:
    """What our classes read or set of the parent's own, in the places where the parent sets it."""

    def private(cls: type) -> set[str]:
        return set(re.findall(r"\bself\.(?:trainer\.)?(_[a-z]\w*)", inspect.getsource(cls)))

    parent = set(re.findall(r"\bself\.(_[a-z]\w*)(?:: [^=\n]+)? [-+]?= ", inspect.getsource(Trainer)))
    ours = set().union(*map(private, [*OUR_CLASSES, LoopState]))
    assert ours & parent == {
        "_created_lr_scheduler",
        "_globalstep_last_logged",
        "_total_loss_scalar",
        "_tr_loss",
    }
    assert {name for name in ours & _stock() if name not in vars(MultiTaskTrainer)} == {
        "_finish_current_push", "_get_output_dir", "_load_best_model", "_load_rng_state", "_maybe_log_save_evaluate",
        "_push_from_checkpoint",
    }  # fmt: skip
