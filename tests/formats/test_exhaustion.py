"""No file and no number makes the library take the machine: each ends within 2 s and 200 MB, with a message."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bounded import bounded
from exhausting import (
    DEEP,
    DIGITS,
    LONG,
    MANY,
    Case,
    adapter,
    aliases,
    base,
    declared,
    header,
    named,
    opened,
    picture,
    recipe,
    repeated_rows,
    rows,
    saved,
    saved_text,
    set_to,
    tensors,
)
from peft import IA3Config, LoraConfig, PromptTuningConfig

from hf_mtl.errors import CheckpointError, HfMtlError
from hf_mtl.evaluation import Comparison, Report
from hf_mtl.evaluation.page.records import LOG
from hf_mtl.export.cards.facts import SuiteFacts
from hf_mtl.models.base import load_config
from hf_mtl.models.saved import Manifest
from hf_mtl.relations import Relations
from hf_mtl.training.checkpoints.index import Index

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")

DOCUMENTS: dict[str, Callable[[Path], object]] = {
    "hf_mtl.json": Manifest.load,
    "report.json": lambda folder: Report.load(folder / "report.json"),
    "comparison.json": lambda folder: Comparison.load(folder / "comparison.json"),
    "relations.json": lambda folder: Relations.load(folder / "relations.json"),
    "facts.json": lambda folder: SuiteFacts.load(folder / "facts.json"),
    "log.json": LOG.read,
    "checkpoint.json": Index.load,
}

ERRORS: tuple[type[HfMtlError], ...] = (
    HfMtlError,
    *HfMtlError.__subclasses__(),
    *CheckpointError.__subclasses__(),
)
OURS = {error.__name__ for error in ERRORS}

NESTED = "levels deep"
TWICE = "a repeat inside a repeat"

CASES: dict[str, Case] = {
    "aliases": (recipe(aliases("[{}]")), ("recipe.yaml:6:", "aliases", "100,000 values")),
    "aliases of mappings": (recipe(aliases("{{x: [{}]}}")), ("recipe.yaml:", "aliases")),
    "merged aliases": (recipe(aliases("{{<<: [{}]}}")), ("recipe.yaml:", "aliases")),
    "aliases of a long text": (
        recipe("a: &a " + "x" * 900_000 + "\nb: [" + ", ".join(["*a"] * 20_000) + "]"),
        ("recipe.yaml:2", "aliases"),
    ),
    "an alias of itself": (recipe("a: &a [*a]"), ("recipe.yaml:1", "contains itself")),
    "deep lists in YAML": (recipe("a: " + DEEP), ("recipe.yaml:1:", NESTED)),
    "deep mappings in YAML": (recipe("{a: " * 100_000), ("recipe.yaml:1:", NESTED)),
    "deep items in YAML": (recipe("- " * 100_000), ("recipe.yaml:1:", NESTED)),
    "deep lines in YAML": (
        recipe("\n".join(" " * i + "a:" for i in range(1_000))),
        ("recipe.yaml:5", NESTED),
    ),
    "deep keys in YAML": (recipe("? " * 100_000), ("recipe.yaml:1:", NESTED)),
    "many values in YAML": (recipe("a: [" + "[]," * 300_000), ("recipe.yaml:1:", "more than 40,000 values")),
    "a large recipe": (recipe("a: " + "x" * 20_000_000), ("recipe.yaml is larger than 1,048,576 bytes",)),
    "deep lists of --set": (set_to(DEEP), (NESTED,)),
    "a rank of a recipe": (
        adapter(r=10**9),
        ("r: expected a whole number from 1 to 4096, found 1000000000",),
    ),
    "a rank of thousands of digits": (
        adapter(r=10**5_000),
        ("r: expected a whole number from 1 to 4096, found a number of 5001 digits",),
    ),
    "a rank of a layer": (adapter(rank_pattern={"q": 10**9}), ("rank_pattern['q']: ", "found 1000000000")),
    "virtual tokens": (
        adapter(peft_type="PROMPT_TUNING", num_virtual_tokens=10**9),
        ("num_virtual_tokens: expected", "65536"),
    ),
    "a million layers": (
        adapter(target_modules=["q"] * 10**6),
        ("target_modules: ", "at most 3,000 entries, found 1,000,000"),
    ),
    "(a+)+$": (
        adapter(target_modules="(a+)+$"),
        ("target_modules: the pattern '(a+)+$' is refused", TWICE, "Write"),
    ),
    "(.*)*x": (adapter(exclude_modules="(.*)*x"), ("exclude_modules: the pattern '(.*)*x'", TWICE)),
    "(a|aa)+$": (adapter(rank_pattern={"(a|aa)+$": 8}), ("rank_pattern: the pattern '(a|aa)+$'", TWICE)),
    "(.*a){25}": (adapter(alpha_pattern={"(.*a){25}": 8}), ("alpha_pattern: the pattern '(.*a){25}'", TWICE)),
    "a layer's pattern": (
        adapter(layers_pattern=r"(\w*)*x", target_modules=["q"]),
        (r"layers_pattern: the pattern '(\\w*)*x'", TWICE),
    ),
    "a pattern among names": (
        adapter(modules_to_save=["head", "(a*)*"]),
        ("modules_to_save: the pattern '(a*)*'", TWICE),
    ),
    "a pattern of IA3": (
        adapter(peft_type="IA3", target_modules="(a+)+$", feedforward_modules="(b+)+$"),
        ("target_modules: the pattern '(a+)+$'", "feedforward_modules: the pattern '(b+)+$'"),
    ),
    "a long pattern": (adapter(target_modules="a|" * 50_000), ("it has 100,000 characters; at most 10,000",)),
    "repeats of repeats": (
        adapter(target_modules="a{1,100000}{1,100000}"),
        ("not a regular expression: multiple repeat",),
    ),
    "grouped repeats": (adapter(target_modules="(?:a{1,100000}){1,100000}"), (TWICE,)),
    "repeats in a row": (adapter(target_modules=".*.*.*.*.*x"), ("its repeats, one behind the other",)),
    "deep groups": (adapter(target_modules="(" * 4_000 + "a" + ")" * 4_000), ("nested more than 40",)),
    "deep repeats": (adapter(target_modules="(?:" * 200 + "a" + ")*" * 200), ("nested more than 40",)),
    "a rank in Python": (
        declared(LoraConfig(r=10**9)),
        ("task 'a': adapter.r: expected a whole number from 1 to 4096",),
    ),
    "a pattern in Python": (
        declared(LoraConfig(target_modules="(a+)+$")),
        ("task 'a': adapter: target_modules: the pattern",),
    ),
    "a pattern of IA3 in Python": (
        declared(IA3Config(target_modules="q", feedforward_modules="(.*)*x")),
        ("adapter: feedforward_modules: the pattern",),
    ),
    "virtual tokens in Python": (
        declared(PromptTuningConfig(num_virtual_tokens=10**9)),
        ("num_virtual_tokens: expected",),
    ),
    "labels in Python": (
        declared(labels=10_000_000),
        ("task 'a': labels: expected a whole number from 1 to 100000, found 10000000",),
    ),
    "a saved rank": (saved(r=10**9), ("user/adapter: its config has r=1000000000",)),
    "a saved pattern": (
        saved(target_modules="(a+)+$"),
        ("user/adapter: its config has target_modules: the pattern", TWICE),
    ),
    "a saved pattern of ranks": (
        saved(rank_pattern={"(a|aa)+$": 8}),
        ("its config has rank_pattern: the pattern", TWICE),
    ),
    "ten thousand saved patterns": (
        saved(alpha_pattern={f".*{i}": 8 for i in range(10_000)}),
        ("alpha_pattern: expected at most 2,000 entries",),
    ),
    "a saved scale of many digits": (saved(lora_alpha=10**400), ("a whole number has 401 digits",)),
    "a saved number of many digits": (
        saved_text('{"r": ' + DIGITS + "}"),
        ("a whole number has 5,000 digits",),
    ),
    "a deep saved config": (saved_text('{"a": ' + DEEP), ("adapter_config.json: ", NESTED)),
    "a saved key twice": (saved_text('{"r": 8, "r": 4096}'), ("the key 'r' is there twice",)),
    "a large saved config": (
        saved_text('{"a": "' + "x" * 20_000_000 + '"}'),
        ("larger than 16,777,216 bytes",),
    ),
    "a saved config of many values": (
        saved_text(MANY),
        ("it holds about 6,000,001 values; at most 1,000,000",),
    ),
    "many unknown options": (
        saved(**{f"x{i}": 1 for i in range(100_000)}),
        ("its config has x0=1", "99,980 more"),
    ),
    "a header of many tensors": (
        header(tensors(200_000)),
        ("declares 200,000 tensors; expected at most 100,000",),
    ),
    "a large header": (header(b"{}", 90_000_000), ("has 90,000,000 bytes; at most 16,777,216",)),
    "a deep header": (header(b'{"a": ' + DEEP.encode()), ("in the header", NESTED)),
    "a header of many values": (header(b'{"a": ' + MANY.encode()), ("in the header", "values; at most")),
    "a shape of many sides": (
        header(json.dumps({"a": {"dtype": "F32", "shape": [2] * 100_000, "data_offsets": [0, 4]}}).encode()),
        ("is not one of safetensors",),
    ),
    "a side of many digits": (
        header(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 4000 + b'], "data_offsets": [0, 4]}}'),
        ("digits",),
    ),
    "labels of a base": (
        base(num_labels=10**9),
        ("config.json: num_labels is 1,000,000,000; expected a whole number from 0 to 100,000",),
    ),
    "layers of a base": (
        base(text_config={"num_hidden_layers": 10**9}),
        ("text_config.num_hidden_layers is 1,000,000,000",),
    ),
    "a pattern of a quantised base": (
        base(quantization_config={"modules_to_not_convert": ["lm_head", "(a+)+"]}),
        ("config.json: quantization_config: the pattern '(a+)+' is refused", TWICE),
    ),
    "a marked pattern of a quantised base": (
        base(quantization_config={"groups": {"0": {"targets": ["Linear", "re:(a+)+"]}}}),
        ("config.json: quantization_config: the pattern '(a+)+' is refused", TWICE),
    ),
    "a deep config of a base": (named("config.json", '{"a": ' + DEEP, load_config), (NESTED,)),
    "a deep tokenizer_config": (
        lambda folder: ((folder / "tokenizer_config.json").write_text(DEEP), base()(folder)),
        ("tokenizer_config.json: ", NESTED),
    ),
    "a long line": (
        rows("a.jsonl", '{"text": "' + "x" * LONG + '"}\n'),
        ("a.jsonl, line 1: the line is longer than 8,388,608 bytes",),
    ),
    "no end of a line": (
        rows("a.jsonl", '{"text": "a"}\n' + " " * LONG),
        ("a.jsonl, line 2: the line is longer",),
    ),
    "a long line of UTF-16": (
        rows("a.jsonl", ("x" * LONG).encode("utf-16")),
        ("a.jsonl, line 1: the line is longer",),
    ),
    "a long line of text": (rows("a.txt", "word " * LONG), ("a.txt, line 1: the line is longer",)),
    "a long word": (rows("a.conll", "x" * LONG + " O\n"), ("a.conll, line 1: the line is longer",)),
    "a quotation without end": (
        rows("a.csv", 'text,label\n"' + "word word\n" * 2_000_000),
        ("a.csv, line 2: a quotation",),
    ),
    "a deep row": (rows("a.jsonl", '{"text": "a"}\n{"text": ' + DEEP + "\n"), ("a.jsonl, line 2: ", NESTED)),
    "a row somewhat deep": (
        rows("a.jsonl", '{"text": ' + "[" * 300 + "]" * 300 + "}\n"),
        ("a.jsonl, line 1: ", NESTED),
    ),
    "a number of a row": (
        rows("a.jsonl", '{"label": ' + DIGITS + "}\n"),
        ("a.jsonl, line 1: a whole number has 5,000 digits",),
    ),
    "a row of many values": (
        rows("a.jsonl", '{"text": ' + MANY[: 7 * 10**6] + "]}\n"),
        ("a.jsonl, line 1: it holds about",),
    ),
    "a deep document": (rows("a.json", DEEP), ("a.json: ", NESTED)),
    "a number of a document": (
        rows("a.json", '[{"label": ' + DIGITS + "}]"),
        ("a.json: a whole number has 5,000 digits",),
    ),
    "a document of many values": (
        rows("a.json", MANY),
        ("a.json: it holds about 6,000,001 values", ".jsonl"),
    ),
    "400 megapixels": (picture(20_000), ("has more pixels than are decoded", "Make it smaller")),
    "100 megapixels": (picture(10_000), ("has more pixels than are decoded", "Make it smaller")),
    "an open image": (opened(20_000), ("has more pixels than are decoded: 20,000 x 20,000 pixels",)),
    "a row millions of times": (repeated_rows, ("a.parquet: ", "6,000,000 rows", "over and over")),
    **{f"a deep {name}": (named(name, DEEP, read), (name, NESTED)) for name, read in DOCUMENTS.items()},
    **{
        f"a {name} of long numbers": (
            named(name, '{"format_version": ' + DIGITS + "}", read),
            (name, "5,000 digits"),
        )
        for name, read in DOCUMENTS.items()
    },
}


@pytest.mark.parametrize("name", CASES)
def test_ends_with_a_message(name: str, tmp_path: Path) -> None:
    work, parts = CASES[name]
    outcome = bounded(lambda: work(tmp_path))
    assert outcome.kind in OURS, outcome
    assert all(part in outcome.text for part in parts), outcome
    assert len(outcome.text) < 5_000, outcome.text[:500]
    assert outcome.seconds < 2 and outcome.megabytes < 200, outcome
