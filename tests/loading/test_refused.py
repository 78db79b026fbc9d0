"""Malicious and broken adapters: each is refused with its reason, and the model answers as before, to the bit."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from plain_folders import HUB_ID, answers, lora, routed, save_plain, stock
from safetensors.torch import load_file, save_file

from hf_mtl import RoutedModel, load_base
from hf_mtl.errors import SavedAdapterError
from hf_mtl.export import save_suite

Bases = Callable[[str], Path]
Spoil = Callable[[Path], None]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(scope="module")
def good(base: Bases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "adapter"
    save_plain(folder, stock(base("llama"), "causal"), lora(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    return folder


@pytest.fixture(scope="module")
def loaded(base: Bases, good: Path) -> RoutedModel:
    model = routed(base("llama"))
    model.load_adapter("before", good)
    model.add_route("bare", {})
    return model


@pytest.fixture
def as_before(loaded: RoutedModel) -> Iterator[RoutedModel]:
    """A model; after the test it must be what it was."""
    state = {key: value.clone() for key, value in loaded.state_dict().items()}
    given = {route: answers(loaded, route, [1, 4, 5]) for route in ("before", "bare")}
    modules = [path for path, _ in loaded.named_modules()]
    yield loaded
    assert loaded.adapter_names == ("before",) and set(loaded.routes) == {"before", "bare"}
    assert [path for path, _ in loaded.named_modules()] == modules
    assert state.keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    assert all(torch.equal(answers(loaded, route, [1, 4, 5]), own) for route, own in given.items())


def _written(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / CONFIG).write_text(text)

    return write


def _config(**changes: object) -> Spoil:
    def spoil(folder: Path) -> None:
        file = folder / CONFIG
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return spoil


def _weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return spoil


def _header(change: Callable[[dict[str, Any]], None]) -> Spoil:
    def spoil(folder: Path) -> None:
        raw = (folder / WEIGHTS).read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8 : 8 + length])
        change(header)
        new = json.dumps(header).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(new)) + new + raw[8 + length :])

    return spoil


def _set(tensors: dict[str, torch.Tensor], value: float) -> None:
    tensors[KEY][1, :3] = value


def _pickled(name: str, *, keep: bool = False) -> Spoil:
    def spoil(folder: Path) -> None:
        if not keep:
            (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(pickle.dumps(_Runs()))

    return spoil


class _Runs:
    """What a pickle can do to whoever reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("import sys; sys.hf_mtl_pickle_was_read = True",))


def _cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def _more(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes() + b"more")


def _long_header(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 1 << 62) + (folder / WEIGHTS).read_bytes()[8:])


def _rank(rank: int) -> Spoil:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        for key in tensors:
            wide = tensors[key].shape[1] if "lora_A" in key else tensors[key].shape[0]
            tensors[key] = torch.zeros((rank, wide) if "lora_A" in key else (wide, rank))

    def spoil(folder: Path) -> None:
        _weights(change)(folder)
        _config(r=rank)(folder)

    return spoil


CASES: dict[str, tuple[Spoil, str]] = {
    "a pickle": (_pickled("adapter_model.bin"), r"Reading a pickle can run any code .* then load FOLDER"),
    "a pickle by another name": (_pickled(WEIGHTS, keep=True), "is a pickle by its content"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), r"needs 'adapter_config.json' and .*; found '"),
    "no config": (lambda folder: (folder / CONFIG).unlink(), "needs 'adapter_config.json' and"),
    "a truncated file": (_cut, r"cannot be read: its tensors are declared to take \d+ bytes, and the file has"),
    "a file with more": (_more, "are declared to take"),
    "an endless header": (_long_header, "declares a header of 4611686018427387904 bytes"),
    "a huge shape": (
        _header(lambda header: header[KEY].update(shape=[1 << 40, 1 << 40])),
        r"declares the shape \[1099511627776, 1099511627776\], \d+ bytes, and has 512",
    ),
    "a negative shape": (_header(lambda header: header[KEY].update(shape=[-4, -32])), "is not one of safetensors"),
    "overlapping tensors": (
        _header(lambda header: header[KEY].update(data_offsets=[512, 1024])),
        "overlap or leave gaps",
    ),
    "integers": (_weights(lambda own: own.update({KEY: own[KEY].int()})), r"are floating-point .*\(I32\)"),
    "NaN": (_weights(lambda own: _set(own, float("nan"))), rf"3 weights are not finite numbers, in '{KEY} \(3\)'"),
    "infinite": (_weights(lambda own: _set(own, float("inf"))), "3 weights are not finite numbers"),
    "beyond fp32": (
        _weights(lambda own: own.update({KEY: own[KEY].double() * 1e300})), r"weights are not finite numbers"
    ),
    "rank 10,000": (_config(r=10_000), "its config has r=10000; expected a rank from 1 to 4096"),
    "rank 10,000 of a layer": (
        _config(rank_pattern={"q_proj": 10_000}), r"rank_pattern\['q_proj'\]=10000; expected a rank"
    ),
    "a rank above the layer's width": (_rank(100), "has the rank 100; expected at most 4096, and no more than"),
    "another rank than declared": (_config(r=8), r"weights have the ranks \[4\], and its config declares \[8\]"),
    "no number": (_config(lora_alpha=float("nan")), "lora_alpha=nan; expected a finite number"),
    "another shape": (
        _weights(lambda own: own.update({KEY: torch.zeros(4, 33)})),
        r"has the shape \[4, 33\]; this base needs \[4, 32\]",
    ),
    "surplus weights": (
        _weights(lambda own: own.update({"base_model.model.model.embed_tokens.weight": torch.zeros(97, 32)})),
        "surplus .*embed_tokens.*It brings an embedding of its own",
    ),
    "missing weights": (_weights(lambda own: own.__delitem__(KEY)), "missing .*q_proj.lora_A.weight.*surplus none"),
    "another base": (
        _config(base_model_name_or_path="someone/else"),
        "made for the base 'someone/else', and the base at hand is 'tests/base'.*allow_other_base=True",
    ),
    "a newer peft": (
        _config(peft_version="9.0.0", use_wonder=True),
        r"use_wonder=True, which LoraConfig of peft .* does not know, and the file was written by peft 9\.0\.0",
    ),
    "a kind of a newer peft": (_config(peft_type="WONDER", peft_version="9.0.0"), "'WONDER' .* is unknown to peft"),
    "another kind": (_config(peft_type="LOHA"), "'LOHA' .* is not supported; supported are 'IA3', 'LORA'"),
    "no kind": (_config(peft_type=None), "kind None .* is unknown"),
    "biases of the base": (_config(bias="all"), "bias='all'.*the base's own biases"),
    "an import": (
        _config(megatron_config={"a": 1}, megatron_core="hf_mtl_evil_module"), "megatron_config=.* is not supported"
    ),
    "a changed base": (_config(init_lora_weights="pissa"), "it changes the base's weights"),
    "no pattern": (_config(target_modules="(q_proj"), "is refused: it is not a regular expression"),
    "no names": (_config(target_modules=[1]), "expected a list of names"),
    "no such layer": (_config(target_modules=["query"]), "PEFT cannot place this .*'q_proj'"),
    "no JSON": (_written("{"), "adapter_config.json: "),
    "a list": (_written("[]"), "it is no JSON object"),
    "depth": (_written("[" * 200_000), "adapter_config.json: "),
    "no head": (_config(task_type="SEQ_CLS"), "the config's task_type is 'SEQ_CLS', and the weights hold no head"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_is_refused(as_before: RoutedModel, good: Path, tmp_path: Path, case: str) -> None:
    spoil, message = CASES[case]
    folder = tmp_path / "bad"
    shutil.copytree(good, folder)
    spoil(folder)
    with pytest.raises(SavedAdapterError, match=f"(?s)adapter 'own': .*{message}"):
        as_before.load_adapter("own", folder)
    assert "hf_mtl_pickle_was_read" not in vars(sys) and "hf_mtl_evil_module" not in sys.modules


def test_a_taken_name_is_refused(as_before: RoutedModel, good: Path) -> None:
    with pytest.raises(SavedAdapterError, match="There is an adapter 'before' already"):
        as_before.load_adapter("before", good)


def test_all_problems_at_once_and_nothing_is_loaded(base: Bases, good: Path, tmp_path: Path) -> None:
    bad = {"nan": CASES["NaN"][0], "base": CASES["another base"][0]}
    for name, spoil in bad.items():
        shutil.copytree(good, tmp_path / name)
        spoil(tmp_path / name)
    sources = {"good": good, "nan": tmp_path / "nan", "base": tmp_path / "base"}
    with pytest.raises(SavedAdapterError, match="2 problems:") as caught:
        RoutedModel.from_pretrained(base("llama"), sources, hub_id=HUB_ID)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["adapter 'nan'", "adapter 'base'"]


def test_no_class_that_a_config_names_is_imported(base: Bases, good: Path, tmp_path: Path) -> None:
    module = tmp_path / "hf_mtl_evil_module.py"
    module.write_text("raise SystemExit('imported')")
    shutil.copytree(good, tmp_path / "own")
    mapping = {"base_model_class": "Evil", "parent_library": "hf_mtl_evil_module"}
    _config(auto_mapping=mapping, task_type=None)(tmp_path / "own")
    model = routed(base("llama"))
    sys.path.insert(0, str(tmp_path))
    try:
        model.load_adapter("own", tmp_path / "own")
    finally:
        sys.path.remove(str(tmp_path))
    assert "hf_mtl_evil_module" not in sys.modules
    assert model.adapter_configs["own"].auto_mapping is None


def test_options_of_a_newer_peft_that_are_off_are_taken(base: Bases, good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "own")
    off: dict[str, Any] = {"use_wonder": False, "wonder_config": None, "wonders": [], "peft_version": "9.0.0"}
    _config(**off)(tmp_path / "own")
    model = routed(base("llama"))
    model.load_adapter("own", tmp_path / "own")
    model.load_adapter("good", good)
    assert torch.equal(answers(model, "own", [1, 4]), answers(model, "good", [1, 4]))


def test_which_bases_count_as_the_same(
    base: Bases, good: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded, identity = load_base(base("llama"), hub_id="google-bert/Tiny-Model")
    model = RoutedModel(loaded, identity=identity)
    for name in ("google-bert/tiny-model", "tiny-model"):  # ids ignore case; the oldest had no user's name
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(good, folder)
        _config(base_model_name_or_path=name)(folder)
        model.load_adapter(name, folder)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    shutil.copytree(good, tmp_path / "path")
    _config(base_model_name_or_path="/home/someone/models/tiny")(tmp_path / "path")
    model.load_adapter("path", tmp_path / "path")
    assert "calls its base '/home/someone/models/tiny', which cannot be compared" in caplog.text
    with pytest.raises(SavedAdapterError, match="made for the base 'tests/base'"):
        model.load_adapter("other", good)
    model.load_adapter("other", good, allow_other_base=True)
    assert torch.equal(answers(model, "other", [1]), answers(model, "path", [1]))


def test_the_fingerprint_of_a_manifest_decides(
    base: Bases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = routed(base("llama"))
    model.add_adapter("own", LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    save_suite(model, tmp_path / "suite", processor=None)
    moved, identity = load_base(_moved(base("llama"), tmp_path), hub_id=HUB_ID)
    same_id = RoutedModel(moved, identity=identity)
    source = f"{tmp_path / 'suite'}:own"
    with pytest.raises(SavedAdapterError, match="with the fingerprint sampled-sha256:.* other weights"):
        same_id.load_adapter("own", source)
    loaded, identity = load_base(base("llama"), hub_id="someone/copy")
    RoutedModel(loaded, identity=identity).load_adapter("own", source)  # another name, the same weights
    caplog.clear()
    quantised = RoutedModel.from_pretrained(
        base("llama"), {"own": source}, quantization="4bit", hub_id=HUB_ID
    )
    assert (
        "trained on a base that was not quantised, and this one is quantised by bitsandbytes" in caplog.text
    )
    assert quantised.adapter_names == ("own",)


def _moved(folder: Path, tmp_path: Path) -> Path:
    """A copy of a base with other weights."""
    loaded, _ = load_base(folder)
    loaded.get_parameter("model.norm.weight").data.add_(0.5)
    loaded.save_pretrained(tmp_path / "moved")
    return tmp_path / "moved"
