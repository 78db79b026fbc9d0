"""A recipe under torchrun: every process computes, the first one speaks and writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from torchrun import torchrun

ROOT = Path(__file__).resolve().parents[2]


RECIPE = """\
model: {{id: someone/tiny-llama, source: {model}, dtype: float32}}
output_dir: runs/tiny
defaults: {{adapter: {{r: 4, target_modules: all-linear}}}}
tasks:
  words: {{train: words.jsonl, eval: words.jsonl, template: {{prompt: "{{text}} is", completion: " {{label}}"}}}}
  past tense: {{train: verbs.jsonl, template: {{prompt: "{{lemma}}:", completion: " {{past}}"}}}}
training: {{max_steps: 4, use_cpu: true, save_strategy: steps, save_steps: 2}}
"""


@pytest.mark.slow
def test_train_under_torchrun(two_tasks: Path, tiny_llama: Path) -> None:
    recipe = two_tasks / "recipe.yaml"
    recipe.write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def train(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            torchrun("-m", "hf_mtl", "train", recipe.name, *more),
            cwd=recipe.parent, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = train()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("someone/tiny-llama in float32 on cpu") == 1
    folder = recipe.parent / "runs" / "tiny"
    assert '"words"' in (folder / "report.json").read_text(encoding="utf-8")
    assert (folder / "words" / "adapter_model.safetensors").is_file()
    assert (folder / "checkpoint-4" / "checkpoint.json").is_file()
    again = train("--resume", "last", "--set", "training.max_steps=5")
    assert again.returncode == 0 and (folder / "checkpoint-5").is_dir(), again.stderr
