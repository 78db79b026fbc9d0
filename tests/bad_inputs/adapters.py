"""Adapters of other people: their configs, their weights, and what they are called."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_inputs.case import Case, Change, all_of, api, changed_json, removed, untouched, written

__all__ = ["CASES"]

CONFIG, WEIGHTS = "plain/adapter_config.json", "plain/adapter_model.safetensors"
KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def load(source: str) -> Callable[[Path], object]:
    """A call that puts an adapter on the base."""

    def call(folder: Path) -> object:
        from hf_mtl import RoutedModel

        return RoutedModel.from_pretrained(folder / "base", {"mine": source}, hub_id="someone/tiny-llama")

    return call


def adapter(name: str, spoil: Change, *words: str) -> Case:
    """The adapter `plain` is spoiled."""
    return api(name, load("./plain"), "mine", *words, spoil=spoil, needs=("base", "plain"))


def source(
    name: str, text: str, *words: str, spoil: Change = untouched, needs: tuple[str, ...] = ("base", "plain")
) -> Case:
    """An adapter is called something else."""
    return api(name, load(text), *words, spoil=spoil, needs=needs)


def config(name: str, *words: str, **changes: object) -> Case:
    """The config says something else."""
    return adapter(name, changed_json(CONFIG, changes), *words)


def header(name: str, change: Callable[[dict[str, Any]], object], *words: str) -> Case:  # Any: plain JSON
    """The header of the weights says something else."""

    def spoil(folder: Path) -> None:
        raw = (folder / WEIGHTS).read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        content = json.loads(raw[8 : 8 + length])
        change(content)
        _put(folder, json.dumps(content).encode(), raw[8 + length :])

    return adapter(name, spoil, *words)


def _put(folder: Path, head: bytes, rest: bytes = b"", length: int | None = None) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(head) if length is None else length) + head + rest)


def raw(name: str, head: bytes, *words: str, length: int | None = None) -> Case:
    """The file of weights is another."""
    return adapter(name, lambda folder: _put(folder, head, b"\0" * 64, length), *words)


def tensors(name: str, change: Callable[[dict[str, Any]], object], *words: str) -> Case:  # Any: tensors
    """The weights are others, in a file of the right form."""

    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        own = load_file(folder / WEIGHTS)
        change(own)
        save_file(own, folder / WEIGHTS)

    return adapter(name, spoil, *words)


def _times(own: dict[str, Any], factor: float) -> None:
    own[KEY] = own[KEY] * factor


def _folder_of_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()


def _link_out(folder: Path) -> None:
    shutil.rmtree(folder / "plain")
    (folder / "plain").symlink_to("plain")


def _pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "plain/adapter_model.bin").write_bytes(b"\x80\x04N.")


CONFIGS = (
    adapter("config is empty", written(CONFIG, ""), "adapter_config.json", "again"),
    adapter("config is cut", written(CONFIG, '{"peft_type": "LO'), "adapter_config.json", "again"),
    adapter("config is a list", written(CONFIG, "[]"), "adapter_config.json", "JSON object"),
    adapter("config is null", written(CONFIG, "null"), "adapter_config.json"),
    adapter("config is binary", written(CONFIG, bytes(range(256))), "adapter_config.json"),
    adapter("config is a web page", written(CONFIG, "<html>"), "adapter_config.json"),
    adapter("config of 100,000 levels", written(CONFIG, '{"r":' + "[" * 100_000), "adapter_config.json"),
    adapter("config with levels that close", written(CONFIG, '{"peft_type":"LORA","r":' + "[" * 900 + "]" * 900 + "}"), "nested more than 100 levels"),
    adapter("config with a number of 5000 digits", written(CONFIG, '{"r":' + "1" * 5000 + "}"), "adapter_config.json"),
    adapter("config is missing", removed(CONFIG), "'adapter_config.json'", "found"),
    adapter("config is a folder", all_of(removed(CONFIG), written(CONFIG + "/x", "")), "adapter_config.json"),
    config("kind is a list", "peft_type", "'LORA'", peft_type=["LORA"]),
    config("kind is a mapping", "peft_type", "'LORA'", peft_type={"a": 1}),
    config("kind in small letters", "peft_type", "Did you mean 'LORA'?", peft_type="lora"),
    config("kind that exists elsewhere", "ADALORA", "supported", peft_type="ADALORA"),
    config("kind that moves the cursor", "supported", peft_type="\x1b[2J"),
    config("rank is a text", "r='8'", "rank", r="8"),
    config("rank is true", "r=True", "rank", r=True),
    config("rank is zero", "r=0", "rank", r=0),
    config("rank is null", "r=None", "rank", r=None),
    config("rank of no layer", "rank_pattern", rank_pattern=[4]),
    config("alpha is a text", "lora_alpha", lora_alpha="16"),
    config("alpha is infinite", "lora_alpha", "finite", lora_alpha=float("inf")),
    config("alpha of a layer is a list", "alpha_pattern", alpha_pattern={"q_proj": [1]}),
    config("dropout is above one", "dropout", lora_dropout=7.0),
    config("targets are numbers", "target_modules", "names", target_modules=[1, 2]),
    config("targets are a mapping", "target_modules", "names", target_modules={"q_proj": 1}),
    config("targets are nothing", "target_modules", target_modules=[]),
    config("targets are null", "missing", target_modules=None),
    config("a pattern with a hole", "regular expression", target_modules="(q_proj"),
    config("a pattern that never ends", "target_modules", target_modules="(.*)*(.*)*(.*)*(.*)*(.*)*b_proj"),
    config("a pattern of 100,000 letters", "target_modules", target_modules="(a|" * 50_000 + "b" + ")" * 50_000),
    config("targets that there are not", "q_prjo", "'q_proj'", target_modules=["q_prjo"]),
    config("10,000 targets", "target_modules", target_modules=[f"layer_{i}" for i in range(10_000)]),
    config("whole modules saved", "modules_to_save", modules_to_save=["lm_head"]),
    config("biases", "bias", bias="sometimes"),
    config("a task of no kind", "DREAMING", task_type="DREAMING"),
    config("a layer of the future", "wonder_layers", "peft", peft_version="9.0.0", wonder_layers=[1]),
    config("an unknown option of 50,000 letters", "wonder", wonder="x" * 50_000),
    config("an unknown option that moves the cursor", "wonder", wonder="\x1b[31m"),
    config("an option's name moves the cursor", "config", **{"\x1b[2J": 1}),
    config("layers as a text", "layers_to_transform", layers_to_transform="all"),
    config("targets are a number", "target_modules", target_modules=5),
    config("targets are lists", "target_modules", "names", target_modules=[["q_proj"]]),
    config("a target of 80,000 letters", "target_modules", "letters", target_modules=["a." * 40_000]),
    config("3,000 targets", "'q_proj'", target_modules=[f"layer_{i}" for i in range(3_000)]),
    config("what is left out is a number", "exclude_modules", exclude_modules=5),
    config("saved modules are a text", "modules_to_save", modules_to_save="lm_head"),
    config("10,000 saved modules", "modules_to_save", "500", modules_to_save=[f"m{i}" for i in range(10_000)]),
    config("layers are negative", "layers_to_transform", layers_to_transform=[-1]),
    config("layers are true", "layers_to_transform", layers_to_transform=True),
    config("a pattern of layers is a number", "layers_pattern", layers_pattern=[5], layers_to_transform=[0]),
    config("a switch is a text", "fan_in_fan_out", "true or false", fan_in_fan_out="yes"),
    config("a switch is a number", "use_dora", "true or false", use_dora=2),
    config("a rank of a layer is zero", "rank_pattern", rank_pattern={"q_proj": 0}),
    config("alpha is true", "lora_alpha", lora_alpha=True),
    config("dropout is negative", "lora_dropout", lora_dropout=-0.5),
    config("a revision is a number", "revision", revision=5),
    config("feedforward layers are a number", "feedforward_modules", peft_type="IA3", feedforward_modules=5),
    config("another base", "someone/else", "allow_other_base", base_model_name_or_path="someone/else"),
    config("a base that is a list", "base_model_name_or_path", base_model_name_or_path=["a"]),
    config("virtual tokens of a LoRA", "PrefixTuningConfig", peft_type="PREFIX_TUNING", r=None),
    config("a LoRA that changes the base", "pissa", init_lora_weights="pissa"),
    config("a start that is a list", "init_lora_weights", init_lora_weights=[1]),
    config("aLoRA", "alora", alora_invocation_tokens=[1]),
)  # fmt: skip

FILES = (
    adapter("weights are missing", removed(WEIGHTS), "'adapter_model.safetensors'"),
    adapter("weights are a folder", _folder_of_weights, "adapter_model.safetensors"),
    adapter("weights are empty", written(WEIGHTS, b""), "adapter_model.safetensors", "again"),
    adapter("weights are seven bytes", written(WEIGHTS, b"1234567"), "adapter_model.safetensors"),
    adapter("weights are a pickle", _pickle, "pickle", "safetensors"),
    adapter("weights are an archive", written(WEIGHTS, b"PK\x03\x04" + b"\0" * 100), "pickle"),
    adapter("weights are a Git LFS pointer", written(WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n"), "adapter_model.safetensors"),
    adapter("weights are a web page", written(WEIGHTS, "<!DOCTYPE html><html></html>"), "adapter_model.safetensors"),
    raw("header is no JSON", b"{" * 100, "header"),
    raw("header is a list", b"[]" + b" " * 30, "header"),
    raw("header is empty", b"{}", "no tensor"),
    raw("header has only its note", b'{"__metadata__": {"format": "pt"}}', "no tensor"),
    raw("header is too short for its length", b"{}", "header", length=1 << 40),
    raw("header of 100,000 levels", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "header"),
    raw("header with a number of 5000 digits", b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,64]}}', "header"),
    raw("header in UTF-16", '{"a": 1}'.encode("utf-16"), "header"),
    raw("header names a tensor twice", b'{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}', "header"),
    header("a dtype of whole numbers", lambda h: h[KEY].update(dtype="I8"), "I8"),
    header("a dtype of no format", lambda h: h[KEY].update(dtype="F7"), "F7"),
    header("a dtype that moves the cursor", lambda h: h[KEY].update(dtype="\x1b[2J"), "floating-point"),
    header("a shape of fractions", lambda h: h[KEY].update(shape=[1.5, 2]), "header"),
    header("a shape of too many sides", lambda h: h[KEY].update(shape=[1] * 5000 + [128]), "header", "damaged"),
    header("a shape beyond the file", lambda h: h[KEY].update(shape=[1 << 40, 1 << 40]), "bytes"),
    header("offsets turned round", lambda h: h[KEY]["data_offsets"].reverse(), "bytes"),
    header("offsets of texts", lambda h: h[KEY].update(data_offsets=["0", "x"]), "header"),
    header("one offset", lambda h: h[KEY].update(data_offsets=[0]), "header"),
    header("a tensor without a shape", lambda h: h[KEY].pop("shape"), "header"),
    header("a name that moves the cursor", lambda h: h.update({"\x1b[2J" + KEY: h.pop(KEY)}), "missing"),
    header("a name of 100,000 letters", lambda h: h.update({"k" * 100_000: h.pop(KEY)}), "missing"),
    tensors("weights are not finite", lambda own: _times(own, float("nan")), "not finite", KEY),
    tensors("weights lack one", lambda own: own.pop(KEY), "missing"),
    tensors("weights have one more", lambda own: own.update({"x.y": own[KEY].clone()}), "x.y"),
    tensors("weights of another width", lambda own: own.update({KEY: own[KEY][:, :5].clone()}), "shape"),
    tensors("weights of another rank", lambda own: own.update({KEY: own[KEY][:2].clone()}), "rank"),
    tensors("weights without a side", lambda own: own.update({KEY: own[KEY].flatten()}), "ranks"),
    tensors("weights of no rank", lambda own: own.update({KEY: own[KEY][:0].clone()}), "rank"),
)  # fmt: skip

SOURCES = (
    source("no such folder", "./plian", "Did you mean 'plain'?"),
    source("a folder without an adapter", "./base", "'adapter_config.json'"),
    source("a file", "./words.csv", "words.csv"),
    source("an address", "https://huggingface.co/a/b", "address", "user/repo"),
    source("nothing", "", "user/repo"),
    source("only a task", ":words", "user/repo"),
    source("a task that leads up", "./run:../base", "../base", needs=("base", "run")),
    source("a task that there is not", "./run:wrods", "Did you mean 'words'?", needs=("base", "run")),
    source("a suite without a task", "./run", "words", needs=("base", "run")),
    source("a task of a plain adapter", "./plain:words", "words"),
    source("three parts", "a/b/c", "user/repo"),
    source("a revision of nothing", "a/b@", "@"),
    source("a folder of links", "./plain", "plain", spoil=_link_out),
    source("the Hub, offline", "someone/nothing", "someone/nothing"),
    source("control characters", "./a\x1b[2Jb", "no such folder"),
    source("a user that there is not", "~nobody-of-this-name/x", "no such folder"),
    source("a NUL", "./a\0b", "mine"),
    source("a name of 10,000 letters", "./" + "a" * 10_000, "mine"),
)

CASES = (*CONFIGS, *FILES, *SOURCES)
