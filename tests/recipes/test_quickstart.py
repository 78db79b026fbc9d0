"""The shipped recipe on its real model and real rows, for a few rounds, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_mtl.data.assets import resolve_asset
from hf_mtl.evaluation import Report

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "quickstart" / "recipe.yaml"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quickstart_trains_saves_and_loads_in_plain_peft(tmp_path: Path) -> None:
    settings = ["training.max_steps=12", "training.warmup_steps=2", "defaults.max_eval_rows=16"]
    command = [sys.executable, "-m", "hf_mtl", "train", str(RECIPE), "--output-dir", str(tmp_path / "run")]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    report = Report.load(tmp_path / "run" / "report.json")
    for result in report.results:
        before, after = (
            next(getattr(s, when) for s in result.scores if s.metric == "loss")
            for when in ("before", "after")
        )
        assert before is not None and after is not None and after < before / 2, result.task
    manifest = json.loads((tmp_path / "run" / "hf_mtl.json").read_text())
    assert manifest["base"]["hub_id"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert "Q4_1" in manifest["base"]["note"] and manifest["base"]["fingerprint"].startswith(
        "sampled-sha256:"
    )
    assert (tmp_path / "run" / "loss_curve.png").stat().st_size > 10_000
    folder = tmp_path / "run" / manifest["tasks"]["past tense"]
    base = AutoModelForCausalLM.from_pretrained(resolve_asset("smollm2-135m-instruct"), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("Verb: walk\nPast tense:", return_tensors="pt")
    adapted = PeftModel.from_pretrained(base, folder).eval()
    answer = adapted.generate(
        **prompt, max_new_tokens=3, do_sample=False, pad_token_id=tokenizer.eos_token_id
    )
    assert str(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])).startswith(" walk")
