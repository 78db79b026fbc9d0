"""What the tests have done with the real client, in processes of their own: `hub_control.HubClient` starts this."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from forked_writer import serve
from huggingface_hub import HfApi, ModelCard, constants, get_session, snapshot_download
from peft import AutoPeftModelForCausalLM, PeftModel
from rich.console import Console
from torchrun import torchrun
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hf_mtl import (
    MultiTaskPipeline,
    MultiTaskTrainer,
    MultiTaskTrainingArguments,
    PromptCompletion,
    RoutedModel,
    Task,
)
from hf_mtl.cli import app
from hf_mtl.export import load_suite
from hf_mtl.export.hub import dry_run, push_suite
from hf_mtl.models import load_base, load_processor

TOKENS = torch.tensor([[5, 6, 7, 8]])


def push(folder: str, namespace: str, options: dict[str, Any]) -> object:
    return asdict(push_suite(Path(folder), namespace, console=Console(), **options))


def dry(folder: str, namespace: str, options: dict[str, Any]) -> object:
    """What a push would do; by repository whether it exists, and each file's size and change."""
    found = dry_run(Path(folder), namespace, **options)
    repos = {
        repo.repo: [repo.exists, {file.path: [file.size, file.change] for file in repo.files}]
        for repo in found.repos
    }
    return {"repos": repos, "unknown": found.unknown}


def command(*arguments: str) -> object:
    """The command line."""
    app(list(arguments), prog_name="hf-mtl", standalone_mode=False)
    return None


def two_processes(recipe: str) -> object:
    """Train a recipe under torchrun."""
    command = torchrun("-m", "hf_mtl", "train", recipe)
    done = subprocess.run(command, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return done.returncode


def shell(code: str, folder: str) -> object:
    """Run the code of a card in a folder, all but vLLM, which is not among the tests' packages; gives its arguments."""
    stand_in = Path(folder) / "bin" / "vllm"
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > arguments\n')
    stand_in.chmod(0o755)
    path = os.pathsep.join([str(stand_in.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(["bash", "-euc", code], check=True, cwd=folder, env=os.environ | {"PATH": path})
    return (Path(folder) / "arguments").read_text().splitlines()


def upload_base(folder: str, repo: str) -> object:
    api = HfApi()
    api.create_repo(repo)
    return api.upload_folder(repo_id=repo, folder_path=folder).oid


def base_of(source: str, options: dict[str, Any] | None = None) -> object:
    """What a base is, loaded by hf_mtl."""
    model, identity = load_base(source, **(options or {}))
    return {
        "fingerprint": identity.fingerprint,
        "hub_id": identity.hub_id,
        "name": "" if Path(str(model.name_or_path)).exists() else model.name_or_path,
    }


def tokenizer_of(source: str) -> object:
    """A tokenizer's template and whether it knows a new token."""
    tokenizer = load_processor(source)
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return [tokenizer.chat_template, "<new>" in tokenizer.get_vocab()]


def plain_logits(base: str, sources: Mapping[str, list[str]]) -> object:
    """Each adapter through plain PEFT: `[repository]`, or `[repository, folder in it]`."""
    found = {}
    for name, (repo, *subfolder) in sources.items():
        model = AutoModelForCausalLM.from_pretrained(base)
        options: dict[str, Any] = {"subfolder": subfolder[0]} if subfolder else {}
        found[name] = _logits(PeftModel.from_pretrained(model, repo, **options))
    return found


def auto_logits(repo: str) -> object:
    """The two classes that need nothing but the adapter's name: the base is found by its Hub id."""
    return [_logits(kind.from_pretrained(repo)) for kind in (AutoPeftModelForCausalLM, AutoModelForCausalLM)]


def suite_logits(repo: str) -> object:
    """All adapters of a suite through hf_mtl, with the base that the manifest names."""
    return _by_route(load_suite(repo))


def chosen_logits(base: str, sources: Mapping[str, str]) -> object:
    """Some adapters, from wherever they are, on a base."""
    return _by_route(RoutedModel.from_pretrained(base, sources))


def pipeline_answers(source: str, inputs: list[list[str]], base: str | None = None) -> object:
    """Answers of a pipeline, and the chat template of its tokenizer."""
    pipe = MultiTaskPipeline.from_pretrained(source, base=base)
    return {
        "template": vars(pipe.processor)["chat_template"],
        "answers": pipe([(task, text) for task, text in inputs]),
    }


def validate_cards(paths: list[str]) -> object:
    """By path, what the Hub does not accept of a card; asked as `ModelCard.validate` does, which before 2.0 knows only
    the real Hub's address.
    """
    refused = {}
    for path in paths:
        try:
            content = str(ModelCard.load(path))
        except ValueError as error:  # before 2.0 the client finds some of it
            refused[path] = str(error)
            continue
        body = {"repoType": "model", "content": content}
        answer = get_session().post(f"{constants.ENDPOINT}/api/validate-yaml", json=body)
        if answer.status_code == 400:
            refused[path] = answer.text
        else:
            answer.raise_for_status()
    return refused


def _by_route(routed: RoutedModel) -> dict[str, list[float]]:
    found = {}
    for name in routed.adapter_names:
        with routed.route(name) as base:
            found[name] = _logits(base)
    return found


def _logits(model: PreTrainedModel | PeftModel) -> list[float]:
    with torch.no_grad():
        found: list[float] = model(TOKENS).logits[0, -1].tolist()
    return found


def train(base: str, out: str, changes: dict[str, Any], resume: str | None = None, push: str = "") -> object:
    """Train two tasks for some rounds; returns sums of their weights."""
    rows = Dataset.from_list([{"a": f"{i} word", "b": f"x{i % 3}"} for i in range(12)])
    template = PromptCompletion("{a}", " {b}")
    settings: dict[str, Any] = {
        "max_steps": 4, "per_device_train_batch_size": 3, "learning_rate": 1e-2, "report_to": "none",
        "disable_tqdm": True, "use_cpu": True, "save_strategy": "steps", "save_steps": 2,
    }  # fmt: skip
    model, identity = load_base(base, hub_id="ada/tiny-llama")
    trainer = MultiTaskTrainer(
        RoutedModel(model, identity=identity),
        MultiTaskTrainingArguments(out, **(settings | changes)),
        [Task(name, train=rows, template=template) for name in ("verbs", "q&a")],
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    trainer.train(resume_from_checkpoint=resume)
    pushed = None
    if push:
        trainer.save_model()
        outcome = trainer.push_to_hub(blocking=push != "later")
        pushed = str(outcome.result() if isinstance(outcome, Future) else outcome)
    sums = {
        name: [p.double().sum().item() for p in trainer.model.adapter_parameters(name).values()]
        for name in trainer.suite.names
    }
    return {"weights": sums, "pushed": pushed}


def fetch(repo: str, folder: str, pattern: str) -> object:
    return snapshot_download(repo, allow_patterns=pattern, local_dir=folder)


def _told(job: Callable[..., object]) -> Callable[..., str]:
    """The job with its token in the environment, its waits shortened, and all that it prints in a file."""

    def run(answer: str, token: str | None, *arguments: Any) -> str:
        printed = Path(answer).with_suffix(".txt")
        with printed.open("wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
        sys.stderr = os.fdopen(os.dup(2), "w", encoding="utf-8")
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, force=True)
        if token is not None:
            os.environ["HF_TOKEN"] = token
        pauses: list[float] = []
        real = time.sleep

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            real(min(seconds, 0.01))

        time.sleep = pause  # type: ignore[assignment]  # the clock is replaced
        result, error = None, ""
        try:
            result = job(*arguments)
        except BaseException as raised:  # noqa: BLE001  # the tests look at it
            error = f"{type(raised).__name__}: {raised}"
            traceback.print_exception(raised)
        sys.stdout.flush()
        sys.stderr.flush()
        text = printed.read_text(encoding="utf-8")
        told = {"result": result, "error": error, "printed": text, "pauses": pauses}
        Path(answer).write_text(json.dumps(told), encoding="utf-8")
        return ""

    return run


JOBS = {
    job.__name__: _told(job)
    for job in (
        push, dry, command, two_processes, shell, upload_base, base_of, tokenizer_of, plain_logits, auto_logits,
        suite_logits, chosen_logits, pipeline_answers, validate_cards, train, fetch,
    )
}  # fmt: skip

if __name__ == "__main__":
    serve(JOBS)
    os._exit(0)  # at once: what was imported takes long to tidy up
