"""Heads on disk: saved, loaded and loaded by plain PEFT; and refused where they are not the task's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from kind_cases import KINDS, Ours, ours, task_of
from peft import IA3Config, LoraConfig, PeftConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig
from plain_peft import shake
from safetensors.torch import load_file
from stock_side import stock_base

from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.export import load_suite, save_suite
from hf_mtl.models import place_task
from hf_mtl.tasks import Task

SUITES = {
    "llama": ("single-label", "tags", "spans", "causal-lm", "regression"),
    "gpt2": ("pair", "spans", "label-scoring"),
    "bert": ("pair", "tags", "spans", "regression of 3"),
    "roberta": ("single-label", "tags"),
    "modernbert": ("multi-label", "tags", "spans"),
    "modernbert-mean": ("single-label",),
    "t5": ("single-label", "tags", "spans", "seq2seq-lm"),
    "vit": ("images",),
}
AUTO = {
    "single-label": "AutoModelForSequenceClassification",
    "tags": "AutoModelForTokenClassification",
    "spans": "AutoModelForQuestionAnswering",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "images": "AutoModelForImageClassification",
}


def _files(folder: Path) -> dict[str, bytes]:
    own = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in own.items()}


def _suite(base: Path, *names: str) -> Ours:
    return ours(base, *(task_of(name, KINDS[name]) for name in names), dtype="float32", move=shake)


@pytest.mark.parametrize("base", SUITES)
def test_what_is_saved_and_loaded_has_the_same_bits(
    bases: Callable[[str], Path], tmp_path: Path, base: str
) -> None:
    names = SUITES[base]
    own = _suite(bases(base), *names)
    save_suite(own.model, tmp_path / "a", processor=own.processor)
    loaded = load_suite(tmp_path / "a", base=bases(base))
    again = replace(own, model=loaded.eval())
    first, second = own.run(*names), again.run(*names)
    for name in names:
        assert torch.equal(first[0][name], second[0][name])
        assert torch.equal(first[1][name], second[1][name])
        assert loaded.route_head(name) == own.model.route_head(name)
        assert loaded.auto_class(name) == AUTO.get(name, loaded.auto_class(name))
        assert loaded.labels.get(name) == own.model.labels.get(name)
    save_suite(loaded, tmp_path / "b", processor=own.processor)
    before, after = _files(tmp_path / "a"), _files(tmp_path / "b")
    manifests = [json.loads(files.pop("hf_mtl.json")) for files in (before, after)]
    for manifest in manifests:
        manifest["base"].pop("source")
    assert manifests[0] == manifests[1]
    assert before == after


WRITTEN = [
    *(("llama", "single-label", adapter) for adapter in ("lora", "ia3", "prefix", "prompt")),
    *(
        ("bert", kind, adapter)
        for kind in ("pair", "tags")
        for adapter in ("lora", "ia3", "prefix", "prompt")
    ),
    *(("t5", "spans", adapter) for adapter in ("lora", "ia3")),
]


@pytest.mark.parametrize(("base", "kind", "adapter"), WRITTEN)
def test_the_files_are_those_that_peft_itself_writes(
    bases: Callable[[str], Path], tmp_path: Path, base: str, kind: str, adapter: str
) -> None:
    layers = {"llama": ["q_proj", "down_proj"], "bert": ["query", "output.dense"], "t5": ["q", "wo"]}[base]
    configs: dict[str, PeftConfig] = {
        "lora": LoraConfig(r=2, target_modules=layers),
        "ia3": IA3Config(target_modules=layers, feedforward_modules=layers[1:]),
        "prefix": PrefixTuningConfig(num_virtual_tokens=4),
        "prompt": PromptTuningConfig(num_virtual_tokens=3),
    }
    own = ours(bases(base), task_of("t", KINDS[kind], adapter=configs[adapter]), move=shake, dtype="float32")
    save_suite(own.model, tmp_path / "ours", processor=own.processor)
    stock = stock_base(KINDS[kind], own.model.auto_class("t"), bases(base), torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        plain = PeftModel.from_pretrained(stock, tmp_path / "ours" / "t")
    plain.save_pretrained(str(tmp_path / "theirs"), save_embedding_layers=False)
    mine, theirs = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (tmp_path / "ours" / "t", tmp_path / "theirs")
    )
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    heads = {
        key
        for key in mine
        if not key.endswith(("lora_A.weight", "lora_B.weight", "ia3_l", "prompt_embeddings"))
    }
    assert {key.split(".")[2 if adapter in ("lora", "ia3") else 1] for key in heads} == {
        "llama": {"score"}, "bert": {"classifier"}, "t5": {"qa_outputs"}
    }[base]  # fmt: skip


CHANGED: dict[str, tuple[dict[str, Any], str]] = {
    "another order": (
        {"labels": ["b", "a", "c"]},
        r"its head was trained with the labels \['a', 'b', 'c'\], and the task declares \['b', 'a', 'c'\]",
    ),
    "other names": ({"labels": ["a", "b", "z"]}, "or rename the task to start a new head"),
    "another count": ({"labels": ["a", "b", "c", "d"]}, r"a route of this name with .*outputs=3.*outputs=4"),
    "another kind": (
        {"kind": "regression", "labels": None},
        r"the task's kind 'regression' needs .*outputs=1",
    ),
}  # fmt: skip


def _changed(name: str) -> Task:
    changes = CHANGED[name][0]
    labels = (changes["labels"] or ["0"])[:3]
    case = replace(KINDS["single-label"], rows=[{"text": "good", "label": i % len(labels)} for i in range(2)])
    task = {key: value for key, value in changes.items() if value is not None}
    return task_of("t", replace(case, task=task, kind=task.pop("kind", case.kind)))


@pytest.mark.parametrize("change", CHANGED)
def test_a_head_that_is_not_the_tasks_is_refused(
    bases: Callable[[str], Path], tmp_path: Path, change: str
) -> None:
    own = ours(bases("bert"), task_of("t", KINDS["single-label"]), dtype="float32")
    save_suite(own.model, tmp_path, processor=own.processor)
    loaded = load_suite(tmp_path, base=bases("bert"))
    with pytest.raises(ConfigError, match="task 't': .*" + CHANGED[change][1]):
        place_task(loaded, _changed(change), seed=0)
    place_task(loaded, task_of("t", KINDS["single-label"]), seed=0)


def test_a_head_where_the_adapter_had_none_is_refused(bases: Callable[[str], Path]) -> None:
    own = ours(bases("llama"), task_of("t", KINDS["causal-lm"]), dtype="float32")
    with pytest.raises(
        ConfigError, match=r"with the vocabulary head, and the task's kind 'token-classification' needs"
    ):
        place_task(own.model, task_of("t", KINDS["tags"]), seed=0)


def test_a_folder_whose_head_is_damaged_is_refused(bases: Callable[[str], Path], tmp_path: Path) -> None:
    own = ours(bases("bert"), task_of("t", KINDS["single-label"]), dtype="float32")
    save_suite(own.model, tmp_path, processor=own.processor)
    manifest = json.loads((tmp_path / "hf_mtl.json").read_text(encoding="utf-8"))
    manifest["heads"]["t"]["outputs"] = 4
    (tmp_path / "hf_mtl.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"classifier.*has the shape \[3"):
        load_suite(tmp_path, base=bases("bert"))
    manifest["heads"] = {}
    (tmp_path / "hf_mtl.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises((CheckpointError, ConfigError), match="classifier"):
        load_suite(tmp_path, base=bases("bert"))
