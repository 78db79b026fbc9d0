"""A package that is missing is told before the first step, with what to install; and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset, Features, Image, Value
from hub_control import HubControl
from kind_bases import picture
from plain_install import RECIPE, PlainInstall

pytestmark = [pytest.mark.slow, pytest.mark.wheel, pytest.mark.timeout(1800)]

SCRIPT = Path(__file__).with_name("missing_cases.py")


@dataclass(frozen=True)
class Case:
    """A recipe that needs something.

    Args:
        changes: By dotted key, what it changes in the recipe of the tests.
        install: What pip is to be told.
    """

    changes: dict[str, Any]
    install: str


CASES = {
    "rouge": Case({"tasks.words.metrics": ["rouge"]}, "hf-mtl[metrics]"),
    "sacrebleu": Case({"tasks.words.metrics": ["sacrebleu"]}, "hf-mtl[metrics]"),
    "chrf": Case({"tasks.past tense.metrics": ["chrf"]}, "hf-mtl[metrics]"),
    "4bit": Case({"model.quantization": "4bit"}, "hf-mtl[4bit]"),
    "8bit": Case({"model.quantization": "8bit"}, "hf-mtl[4bit]"),
    "objective": Case({"objective": "upgrad", "sharing": "shared+private"}, "hf-mtl[grad]"),
    "tensorboard": Case({"training.report_to": "tensorboard"}, "tensorboard"),
    "wandb": Case({"training.report_to": ["wandb"]}, "wandb"),
    "model asset": Case(
        {"model": {"id": "HuggingFaceTB/SmolLM2-135M-Instruct", "source": "asset:smollm2-135m-instruct"}},
        "hf-mtl[quickstart]",
    ),
    "image asset": Case(
        {"tasks": {"digits": {"kind": "image-classification", "train": "asset:digits"}}}, "hf-mtl[vision]"
    ),
    "images": Case(
        {
            "tasks": {
                "digits": {"kind": "image-classification", "train": "images.jsonl", "labels": ["a", "b"]}
            }
        },
        "hf-mtl[vision]",
    ),
}


def _changed(text: str, changes: dict[str, Any]) -> str:
    content: dict[str, Any] = yaml.safe_load(text)
    for key, value in changes.items():
        *path, last = key.split(".")
        place = content
        for part in path:
            place = place[part]
        place[last] = value
    return yaml.safe_dump(content, sort_keys=False)


def test_every_verb_names_what_is_missing_before_it_works(
    plain: PlainInstall, folder: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    for name in ("words.jsonl", "verbs.jsonl"):
        shutil.copy(folder / name, tmp_path)
    images = [{"image": [[0, 255], [255, 0]], "label": label} for label in ("a", "b")]
    (tmp_path / "images.jsonl").write_text("".join(json.dumps(row) + "\n" for row in images))
    calls = []
    for name, case in CASES.items():
        text = _changed(RECIPE.format(model=tiny_llama), case.changes)
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        calls += [
            [*verb, f"{name}.yaml"] for verb in (["recipes", "validate"], ["train"], ["verify"], ["compare"])
        ]
    (tmp_path / "calls.json").write_text(json.dumps(calls), encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    found = json.loads(plain.script(SCRIPT, "program", "calls.json", cwd=tmp_path).splitlines()[-1])
    for arguments, (status, out, told) in zip(calls, found, strict=True):
        install = CASES[arguments[-1].removesuffix(".yaml")].install
        quoted = f"pip install '{install}'" if "[" in install else f"pip install {install}"
        assert status == 2 and quoted in told, (arguments, told)
        assert "round" not in out and "Traceback" not in told, arguments
    assert sorted(tmp_path.rglob("*")) == before


def test_the_library_names_it_too(
    plain: PlainInstall,
    tiny_llama: Path,
    bases: Callable[[str], Path],
    hub: HubControl,
    tmp_path: Path,
) -> None:
    hub.ask("reset")
    quantised = shutil.copytree(tiny_llama, tmp_path / "quantised")
    config = json.loads((quantised / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (quantised / "config.json").write_text(json.dumps(config))
    pictures = Features({"prompt": Value("string"), "completion": Value("string"), "picture": Image()})
    row = {"prompt": "walk:", "completion": " walked", "picture": picture(0)}
    Dataset.from_list([row], features=pictures).save_to_disk(tmp_path / "pictures")
    printed = plain.script(
        SCRIPT, "library", tiny_llama, bases("vit"), quantised, tmp_path / "pictures", cwd=tmp_path
    )
    told: dict[str, str] = json.loads(printed.splitlines()[-1])
    expected = {
        "metric": "hf-mtl[metrics]", "metric by hand": "hf-mtl[metrics]", "images": "hf-mtl[vision]",
        "processor": "hf-mtl[vision]", "base": "hf-mtl[4bit]", "quantised base": "bitsandbytes",
        "objective": "hf-mtl[grad]", "column of images": "install 'Pillow'", "tracker": "pip install wandb",
        "picture": "hf-mtl[plots]",
    }  # fmt: skip
    for name, install in expected.items():
        assert install in told[name], (name, told[name])
    assert "loss_curve" not in told["card"]
    assert told["notices"].count("pip install 'hf-mtl[plots]'") == 1
    assert not list(tmp_path.rglob("*.png"))
    assert "a/adapter_model.safetensors" in hub.files("ada/run")
