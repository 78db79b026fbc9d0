"""Isolation measured: it holds where it should, and what couples tasks is caught and named."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel, Task
from hf_mtl.errors import ConfigError, TrainingError
from hf_mtl.models import load_base
from hf_mtl.training import Verification, verify_isolation
from hf_mtl.training.verdict import limits_of
from hf_mtl.training.verification import _NOISE, _precision
from runs import ARGUMENTS, tasks

pytestmark = pytest.mark.usefixtures("ordinary_algorithms_afterwards")


def _verify(
    folder: Path, out: Path, suite: dict[str, Task], *, options: dict[str, Any] | None = None,
    load: dict[str, Any] | None = None, **changes: Any,
) -> Verification:  # fmt: skip
    return verify_isolation(
        lambda: load_base(folder, **(load or {})),
        MultiTaskTrainingArguments(str(out), **(ARGUMENTS | changes)),
        suite.values(),
        processing_class=AutoTokenizer.from_pretrained(folder),
        rounds=3,
        **(options or {}),
    )


def test_it_holds_to_the_bit_with_full_determinism(tiny_llama: Path, tmp_path: Path) -> None:
    suite = tasks()
    suite["mlp"] = replace(suite["mlp"], train=suite["mlp"].train.to_iterable_dataset(), max_steps=4)  # type: ignore[union-attr]
    found = _verify(tiny_llama, tmp_path / "out", suite, full_determinism=True)
    assert found.broken == ()
    assert [figures.task for figures in found.tasks] == ["verbs", "mlp", "c/d"]
    for figures in found.tasks:
        assert figures.update == figures.drift == 0.0
        assert 0 <= figures.update_permuted < 1e-3
        assert figures.export is not None and figures.export < 1e-5
    assert all(figures.update_permuted > 0 and figures.drift_permuted > 0 for figures in found.tasks[:2])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("load", "dtype"), [({"dtype": "bfloat16"}, "bfloat16"), ({"quantization": "4bit"}, "float32")]
)
def test_it_holds_on_a_narrow_base(
    tiny_llama: Path, tmp_path: Path, load: dict[str, Any], dtype: str
) -> None:
    found = _verify(tiny_llama, tmp_path, tasks(), load=load)
    assert (found.dtype, found.broken) == (dtype, ()), found


@pytest.mark.parametrize("exact", [True, False])
def test_it_holds_under_autocast(tiny_llama: Path, tmp_path: Path, exact: bool) -> None:
    passes: set[torch.dtype] = set()

    def prepare(model: RoutedModel) -> None:
        model.base.lm_head.register_forward_hook(
            lambda _, __, output: (
                passes.add(output.dtype) if torch.is_grad_enabled() else None
            )  # the probes' passes are without gradients, in the base's dtype
        )

    options = {"prepare": prepare}
    found = _verify(tiny_llama, tmp_path, tasks(), options=options, bf16=True, full_determinism=exact)
    assert passes == {torch.bfloat16}
    assert (found.dtype, found.broken) == ("bfloat16", ()), found
    if exact:
        assert all(figures.update == figures.drift == 0.0 for figures in found.tasks)
    # Both sides of the export are rounded to bf16, in other orders: beyond what fp32 would leave.
    assert max(figures.export or 0.0 for figures in found.tasks) > 1e-5


def test_the_precision_is_what_products_are_made_in(tiny_llama: Path, tmp_path: Path) -> None:
    """The setting that transformers makes of `tf32=True` cannot be read by torch's older function, which raises."""
    model = RoutedModel(load_base(tiny_llama)[0])
    backends: Any = torch.backends  # its annotations leave the setting out
    before = backends.fp32_precision
    try:
        backends.fp32_precision = "tf32"
        for bf16, dtype in ((False, torch.float32), (True, torch.bfloat16)):
            args = MultiTaskTrainingArguments(str(tmp_path), **(ARGUMENTS | {"bf16": bf16}))
            assert _precision(model, args) == (dtype, torch.finfo(dtype).eps)  # TF32 is CUDA's
    finally:
        backends.fp32_precision = before


def _two() -> dict[str, Task]:
    return {name: task for name, task in tasks().items() if name != "c/d"}


class _OneNorm(MultiTaskTrainer):
    """Clips all tasks by the norm of all gradients, as the stock Trainer does."""

    def _get_grad_norm(self, model: Any, grad_norm: float | None = None) -> float:
        norm = math.hypot(*self._result.norms.values())
        self.suite_optimizer.clip(dict.fromkeys(self._result.norms, norm))
        return norm


def test_one_clip_for_all_tasks_is_caught(tiny_llama: Path, tmp_path: Path) -> None:
    found = _verify(tiny_llama, tmp_path, _two(), options={"trainer": _OneNorm}, max_grad_norm=0.01)
    assert found.broken == ("verbs", "mlp")
    assert all(figures.update > 1e-2 for figures in found.tasks)
    assert all(figures.export is not None and figures.export < 1e-5 for figures in found.tasks)


def test_an_adapter_of_two_tasks_is_caught_and_named(tiny_llama: Path, tmp_path: Path) -> None:
    def prepare(model: RoutedModel) -> None:
        adapter = tasks()["verbs"].adapter
        assert adapter is not None
        model.add_adapter("common", adapter)
        for name in ("verbs", "mlp"):
            model.add_route(name, {"common": 1.0})

    found = _verify(tiny_llama, tmp_path, tasks(), options={"prepare": prepare})
    assert found.broken == ("verbs", "mlp")
    verbs, mlp, third = found.tasks
    assert (verbs.shared, mlp.shared, third.shared) == (("mlp",), ("verbs",), ())
    assert verbs.update > 0.1 and "it shares parameters with 'mlp'" in verbs.problems[0]
    assert verbs.export is None and third.export is not None


class _Leaky(MultiTaskTrainer):
    """Makes every gradient larger by one part in a hundred for each task of the round."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        loss = super().training_step(model, inputs, num_items_in_batch)
        factor = 1 + 0.01 * len(inputs.label_counts)
        for own in self.suite_optimizer.present().values():
            for gradient in own.gradients():
                gradient.mul_(factor)
        return loss


def test_a_gradient_that_is_scaled_by_the_number_of_tasks_is_caught(tiny_llama: Path, tmp_path: Path) -> None:
    """One percent per task: Adam cancels it over many rounds, and the update from warm moments shows it."""
    found = _verify(tiny_llama, tmp_path, _two(), options={"trainer": _Leaky}, max_grad_norm=0.0)
    assert found.broken == ("verbs", "mlp")
    assert all("one round's update" in figures.problems[0] for figures in found.tasks)


def test_what_cannot_be_compared_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="task 'verbs': its weights do not move"):
        _verify(tiny_llama, tmp_path, {"verbs": tasks()["verbs"]}, learning_rate=1e-60, weight_decay=0.0)
    only_eval = replace(tasks()["verbs"], train=None, eval=Dataset.from_list([{"text": "a", "label": "b"}]))
    with pytest.raises(ConfigError, match="at least one task"):
        _verify(tiny_llama, tmp_path, {"verbs": only_eval})


def test_noise_begins_small_and_grows_in_small_steps_until_an_effect_is_plain() -> None:
    assert _NOISE[0] == 0.05 and _NOISE[-1] > 4
    assert [after / before for before, after in pairwise(_NOISE)] == pytest.approx([1.5] * 11)


def test_limits() -> None:
    limits = limits_of(torch.float32, torch.finfo(torch.float32).eps, rounds=5)
    assert limits.update == pytest.approx(3.45e-4, rel=1e-2) and limits.export == 1e-5
    assert limits.drift == 5 * limits.update
    assert limits_of(torch.float32, 2.0**-10, rounds=1).export == 2.0**-6  # TF32
    assert limits_of(torch.bfloat16, 2.0**-7, rounds=1).export == 0.125
