"""Manifests of saved suites, and the other files of a run, that are broken, foreign, or of the future."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bad_inputs.case import Case, Change, all_of, changed_json, cli, removed, replaced, written

__all__ = ["CASES"]

M = "run/hf_mtl.json"
PREDICT = "predict run --task words --prompt a"


def run(name: str, spoil: Change, *words: str, verb: str = PREDICT) -> Case:
    """The run is spoiled, and asked something."""
    return cli(name, verb, *words, spoil=spoil, needs=("run",))


def manifest(name: str, *words: str, **changes: object) -> Case:
    """The manifest says something else."""
    return run(name, changed_json(M, changes), "hf_mtl.json", *words)


def _form(**changes: object) -> Change:
    return changed_json(M, lambda content: content["forms"]["words"].update(changes))


def _base(**changes: object) -> Change:
    return changed_json(M, lambda content: content["base"].update(changes))


def _big(folder: Path) -> None:
    with (folder / M).open("wb") as stream:
        stream.truncate(200 << 20)


def _link(folder: Path) -> None:
    (folder / M).unlink()
    (folder / M).symlink_to("hf_mtl.json")


def _many_tasks(content: dict[str, Any]) -> None:  # Any: plain JSON
    content["tasks"].update({f"task {i}": f"gone-{i}" for i in range(1000)})


MANIFESTS = (
    run("manifest is missing", removed(M), "hf_mtl.json"),
    run("manifest is empty", written(M, ""), "hf_mtl.json"),
    run("manifest is cut", written(M, '{"format_version": 3, "base'), "hf_mtl.json"),
    run("manifest is a list", written(M, "[]"), "hf_mtl.json"),
    run("manifest is null", written(M, "null"), "hf_mtl.json"),
    run("manifest is binary", written(M, bytes(range(256))), "hf_mtl.json"),
    run("manifest is UTF-16", written(M, "{}".encode("utf-16")), "hf_mtl.json"),
    run("manifest of 100,000 levels", written(M, "[" * 100_000), "hf_mtl.json"),
    run("manifest with a number of 5000 digits", written(M, '{"format_version": ' + "9" * 5000 + "}"), "hf_mtl.json"),
    run("manifest of 200 MB", _big, "hf_mtl.json", "larger"),
    run("manifest is a folder", all_of(removed(M), written(M + "/x", "")), "hf_mtl.json"),
    run("manifest is a link to itself", _link, "hf_mtl.json"),
    run("manifest with half a surrogate pair", replaced('"words"', '"wor\\ud800ds"', M), "words"),
    manifest("version of the future", "99", "upgrade", format_version=99),
    manifest("version is a text", "format_version", format_version="three"),
    manifest("version is zero", format_version=0),
    manifest("version is null", format_version=None),
    manifest("tasks is a list", "tasks: expected", "['words']", tasks=["words"]),
    manifest("tasks is a text", tasks="words"),
    manifest("tasks is empty", tasks={}),
    manifest("a task leads up", "../../secret", "refused", tasks={"words": "../../secret", "past tense": "."}),
    manifest("a task is absolute", "/etc", "refused", tasks={"words": "/etc", "past tense": "."}),
    manifest("a task's folder is a list", tasks={"words": ["a"], "past tense": "."}),
    manifest("base is null", base=None),
    manifest("base is a text", base="someone/tiny-llama"),
    manifest("base has an unknown key", "wonder", base={"wonder": 1}),
    manifest("heads is a list", "heads: expected", heads=[1]),
    manifest("a head without a shape", "heads.words.shape: it is missing", heads={"words": {"outputs": 2}}),
    manifest("a head of no shape", heads={"words": {"shape": "round", "outputs": 2, "auto_class": "x", "labels": None}}),
    manifest("a head of a billion outputs", heads={"words": {"shape": "sequence", "outputs": 1 << 40, "auto_class": "AutoModelForSequenceClassification", "labels": None}}),
    manifest("forms is a text", forms="x"),
    manifest("a form that is empty", forms={"words": {}}),
    manifest("repositories of no tasks", "others", repos={"others": "a/b@c"}),
    run("a repository that is no id", all_of(changed_json(M, {"repos": {"words": "../x@y"}}), removed("run/words")), "words"),
    run("a task's folder is gone", removed("run/words"), "words", "adapter_config.json"),
    run("a thousand tasks are gone", changed_json(M, _many_tasks), "task 1"),
    run("a kind of the future", _form(kind={"name": "dreaming"}), "words", "dreaming"),
    run("a kind that is a list", _form(kind=[1]), "words"),
    run("labels that are numbers", _form(labels=3), "words"),
    run("a template of no form", _form(template={"prompt": 3}), "words"),
    run("a template with a hole", _form(template={"prompt": "{text", "completion": " {label}"}), "words"),
    run("a base with other weights", _base(fingerprint="0" * 16), "fingerprint"),
    run("a fingerprint that is a number", _base(fingerprint=7), "fingerprint"),
)  # fmt: skip

OTHERS = (
    run("no recipe in the run", removed("run/recipe.yaml"), "recipe.yaml"),
    run("the run's recipe is broken", written("run/recipe.yaml", "model: ["), "recipe.yaml"),
    run("the run's recipe names no base", written("run/recipe.yaml", "tasks: {}\n"), "recipe.yaml"),
    run("the base has moved", replaced("/base\n", "/gone\n", "run/recipe.yaml"), "/gone"),
    run("evaluate without rows", replaced("words.jsonl", "gone.jsonl", "run/recipe.yaml"), "gone.jsonl", verb="evaluate run"),
    run("report of a broken record", written("run/report.json", "{"), "report.json", verb="report run"),
    run("report of a record of the future", changed_json("run/report.json", {"format_version": 99}), "report.json", verb="report run"),
    run("report of a list", written("run/report.json", "[1]"), "report.json", verb="report run"),
    run("report of numbers that are texts", changed_json("run/report.json", lambda c: c["results"][0].update(seconds="x", rows=[1])), "results[0].seconds", "a number", "'x'", verb="report run"),
    run("report of a key that there is not", changed_json("run/report.json", {"wonder": 1}), "wonder", verb="report run"),
    run("report of deep JSON", written("run/report.json", "[" * 100_000), "report.json", verb="report run"),
    run("report of a broken log", written("run/log.json", "{"), "log.json", verb="report run"),
    run("report of a log of another sort", written("run/log.json", '{"format_version": 1, "content": 7}'), "log.json", verb="report run"),
    run("report of figures of the future", written("run/transfer.json", '{"format_version": 99, "content": {}}'), "transfer.json", "99", verb="report run"),
    run("relations of a broken adapter", written("run/words/adapter_model.safetensors", "x"), "words", verb="relations run"),
    run("relations of one adapter less", removed("run/past-tense"), "past tense", verb="relations run"),
    run("push of a broken manifest", written(M, "{"), "hf_mtl.json", verb="push run --namespace me --dry-run"),
    run("push of a missing task", removed("run/words"), "words", verb="push run --namespace me --dry-run"),
    run("push of a pickle", all_of(removed("run/words/adapter_model.safetensors"), written("run/words/adapter_model.bin", b"\x80\x04N.")), "words", verb="push run --namespace me --dry-run"),
)  # fmt: skip

CASES = (*MANIFESTS, *OTHERS)
