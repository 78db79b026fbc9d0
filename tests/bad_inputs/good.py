"""The good inputs that the cases spoil, made once for all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from two_tasks import RECIPE, VERBS, WORDS

__all__ = ["lay_out", "make"]

BASES = {"base": "llama", "bert": "bert", "vit": "vit"}
TAGS = ["John NNP B-PER", "lives VBZ O", "in IN O", "Paris NNP B-LOC", ". . O", ""]


def make(name: str, good: Path) -> None:
    """Make one of the things: a base, a finished run with checkpoints, an adapter of plain peft, pictures."""
    from kind_bases import picture, save_base

    if name in BASES:
        save_base(BASES[name], good / name)
    elif name == "run":
        _train(good)
    elif name == "plain":
        _save_plain(good)
    else:
        (good / name).mkdir()
        for number in range(4):
            picture(number).save(good / name / f"{number}.png")


def _train(good: Path) -> None:
    from rich.console import Console

    from hf_mtl.recipe import load_recipe, run_recipe

    lay_out(good / "data", good)
    settings = [f"output_dir={good / 'run'}", "training.save_steps=1", "training.save_strategy=steps"]
    run_recipe(load_recipe(good / "data" / "recipe.yaml", settings), Console(quiet=True))


def _save_plain(good: Path) -> None:
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(good / "base")
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapter = peft.get_peft_model(model, config)
    adapter.peft_config["default"].base_model_name_or_path = "someone/tiny-llama"
    adapter.save_pretrained(str(good / "plain"))


def lay_out(folder: Path, good: Path, needs: Sequence[str] = ()) -> None:
    """Fill a folder with a recipe, rows in several formats, and copies of what is needed."""
    folder.mkdir(parents=True)
    base = "base" if "base" in needs else good / "base"
    (folder / "recipe.yaml").write_text(RECIPE.format(model=base), encoding="utf-8")
    verbs = [{"lemma": lemma, "past": past} for lemma, past in VERBS.items()]
    words = [{"text": text, "label": label} for text, label in WORDS.items()]
    for name, rows in {"verbs.jsonl": verbs, "words.jsonl": words}.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "tags.conll").write_text("\n".join(TAGS * 3) + "\n", encoding="utf-8")
    lines = "".join(f"{row['text']},{row['label']}\n" for row in words)
    (folder / "words.csv").write_text("text,label\n" + lines, encoding="utf-8")
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")
    for name in needs:
        shutil.copytree(good / name, folder / name)
