"""The readers of what strangers write. Each takes bytes, and accepts them or raises one of the library's errors."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from two_tasks import RECIPE, VERBS, WORDS

from hf_mtl.errors import HfMtlError

__all__ = ["TARGETS", "Target", "check", "lay_out"]

MAX_LETTERS: Final = 10_000
"""Of a message."""
CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
ROW: Final = {"text": "good", "label": "positive", "number": 3, "list": ["a", "b"], "nothing": None}


@dataclass(frozen=True)
class Target:
    """One reader.

    Args:
        read: Reads the bytes, with a folder to write them to.
        seeds: Good examples, which are changed.
        words: Pieces that are put in.
    """

    read: Callable[[bytes, Path], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


def check(read: Callable[[bytes, Path], object], raw: bytes, folder: Path) -> None:
    """Read, and look at the message if the bytes are refused; any other error passes through."""
    try:
        read(raw, folder)
    except HfMtlError as error:
        text = str(error)
        assert text and len(text) <= MAX_LETTERS, f"a message of {len(text)} letters: {text[:500]}"
        assert not CONTROL.search(text), f"control characters in {text[:500]!r}"


def lay_out(folder: Path) -> None:
    """Write the files that a recipe names."""
    for name, rows in {"verbs": ("lemma", "past", VERBS), "words": ("text", "label", WORDS)}.items():
        lines = [json.dumps({rows[0]: key, rows[1]: value}) + "\n" for key, value in rows[2].items()]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "base").mkdir()
    (folder / "base/config.json").write_text('{"model_type": "llama"}', encoding="utf-8")


def _file(name: str, raw: bytes, folder: Path) -> Path:
    (folder / name).write_bytes(raw)
    return folder / name


def recipe(raw: bytes, folder: Path) -> None:
    """A recipe's text, with all checks."""
    from hf_mtl.recipe import load_recipe

    load_recipe(_file("recipe.yaml", raw, folder))


def override(raw: bytes, folder: Path) -> None:
    """A `--set`, on a good recipe."""
    from hf_mtl.recipe import load_recipe

    file = folder / "good.yaml"
    if not file.is_file():
        file.write_bytes(RECIPES[0])
    load_recipe(file, [raw.decode("utf-8", "replace")])


def manifest(raw: bytes, folder: Path) -> None:
    """The manifest of a suite."""
    from hf_mtl.models.saved.manifest import Manifest

    _file("hf_mtl.json", raw, folder)
    Manifest.load(folder)


def adapter_config(raw: bytes, folder: Path) -> None:
    """The config of an adapter."""
    from hf_mtl.models.saved.configs import read_config

    read_config(_file("adapter_config.json", raw, folder), where="mine")


def header(raw: bytes, folder: Path) -> None:
    """The header of weights; the bytes behind the first eight, whose length is right, and as they are."""
    from hf_mtl.models.saved.headers import read_header

    read_header(_file("a.safetensors", struct.pack("<Q", raw.find(b"\n") + 1) + raw, folder), where="mine")


def whole_header(raw: bytes, folder: Path) -> None:
    """The first bytes of a file of weights."""
    from hf_mtl.models.saved.headers import read_header

    read_header(_file("b.safetensors", raw, folder), where="mine")


def json_lines(raw: bytes, folder: Path) -> None:
    """Rows in JSON lines."""
    from hf_mtl.data.plain_rows import read_plain_rows

    read_plain_rows(_file("rows.jsonl", raw, folder))


def json_document(raw: bytes, folder: Path) -> None:
    """Rows in one JSON document."""
    from hf_mtl.data.plain_rows import read_plain_rows

    read_plain_rows(_file("rows.json", raw, folder))


def conll(raw: bytes, folder: Path) -> None:
    """Tagged words."""
    from hf_mtl.data.conll import read_conll

    read_conll(_file("rows.conll", raw, folder))


def delimited(raw: bytes, folder: Path) -> None:
    """CSV, as far as we read it ourselves."""
    from hf_mtl.data.delimited import delimited_options

    delimited_options(_file("rows.csv", raw, folder))


def _template(raw: bytes, engine: str) -> None:
    from hf_mtl.data import PromptCompletion

    PromptCompletion(raw.decode("utf-8", "replace"), " {label}", engine=engine).filled(ROW)


def template(raw: bytes, _: Path) -> None:
    """A format string, filled with a row."""
    _template(raw, "format")


def jinja_template(raw: bytes, _: Path) -> None:
    """A Jinja template, filled with a row."""
    _template(raw, "jinja")


def source(raw: bytes, folder: Path) -> None:
    """What an adapter is called."""
    from hf_mtl.models.saved.sources import parse_source

    parse_source(raw.decode("utf-8", "replace"))


RECIPES: Final = (
    RECIPE.format(model="base").encode(),
    b"""model: {id: a/b, source: base}
output_dir: runs/x
sharing: {name: soft, strength: 0.1}
objective: {name: static, weights: {words: 1.0, verbs: 2.0}}
defaults: {adapter: &lora {r: 4, lora_alpha: 8}, max_length: 64}
tasks:
  words:
    train: {source: words.jsonl, split: 'train[:4]', seed: 3}
    kind: {name: text-classification, label_smoothing: 0.1}
    columns: {text: text, label: label}
    adapter: *lora
  verbs: {train: verbs.jsonl, template: {prompt: "{{ lemma }}:", completion: " {{ past }}", engine: jinja}}
training: {max_steps: 2, learning_rate: 1e-2, lr_scheduler_type: cosine}
variants: {apart: {sharing: private}}
""",
)
CONFIG: Final = {
    "peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"],
    "rank_pattern": {"q_proj": 8}, "alpha_pattern": {}, "bias": "none", "base_model_name_or_path": "someone/base",
    "task_type": "CAUSAL_LM", "layers_to_transform": None, "inference_mode": True, "peft_version": "0.21.2",
    "auto_mapping": {"base_model_class": "LlamaForCausalLM", "parent_library": "transformers"},
}  # fmt: skip
MANIFEST: Final = {
    "format_version": 3,
    "base": {"hub_id": "a/b", "source": "base", "fingerprint": "00ff", "note": None},
    "tasks": {"words": "words", "tags": "tags"},
    "heads": {"tags": {"shape": "token", "outputs": 3, "auto_class": "AutoModelForTokenClassification",
                       "labels": ["O", "B", "I"]}},
    "forms": {},
    "repos": {"tags": "a/b@" + "0" * 40},
}  # fmt: skip
HEADER: Final = (
    json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a.lora_A.weight": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]},
            "a.lora_B.weight": {"dtype": "BF16", "shape": [4, 2], "data_offsets": [32, 48]},
        }
    ).encode()
    + b"\n"
    + b"\0" * 48
)
JSON_WORDS: Final = (
    b"null", b"true", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'""', b'"\\ud800"', b"9" * 400, b"[" * 300, b"]" * 300,
    b'"a":', b",", b"\xff", b"\0", b"\xef\xbb\xbf", b'"\\u0000"', b'{"a": 1}', b"Infinity",
)  # fmt: skip
YAML_WORDS: Final = (
    b"&a ", b"*a", b"<<: ", b"!!int ", b"!!python/name:os.system ", b"- ", b": ", b"? ", b"| ", b"> ", b"\t", b"---\n", b"...\n",
    b"# ", b"%YAML 9\n", b"'", b'"', b"{", b"}", b"[", b"]", b"null", b".nan", b".inf", b"0x1f", b"1_000", b"1:30", b"2020-01-01",
    b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\0", b"tasks", b"words", b"train", b"words.jsonl", b"asset:", b"{text}", b"-1", b"[" * 60,
)  # fmt: skip
TEMPLATE_WORDS: Final = (
    b"{", b"}", b"{{", b"}}", b"{%", b"%}", b"{#", b"#}", b"text", b"label", b"!r", b":>10", b".__class__", b"[0]", b"|", b"upper",
    b"for x in list", b"endfor", b"if text", b"endif", b"\xff", b"\0", b"nothing", b"number", b"~", b"*", b"**", b"%", b"/ 0", b"()",
)  # fmt: skip
TARGETS: Final[Mapping[str, Target]] = {
    "recipe": Target(recipe, RECIPES, YAML_WORDS),
    "override": Target(override, (b"training.max_steps=3", b"tasks.words.labels=[positive, negative]", b"defaults.adapter={r: 2}"), YAML_WORDS),
    "manifest": Target(manifest, (json.dumps(MANIFEST).encode(),), JSON_WORDS),
    "adapter_config": Target(adapter_config, (json.dumps(CONFIG).encode(),), JSON_WORDS),
    "header": Target(header, (HEADER,), JSON_WORDS),
    "whole_header": Target(whole_header, (struct.pack("<Q", HEADER.find(b"\n") + 1) + HEADER,), JSON_WORDS),
    "json_lines": Target(json_lines, (b'{"text": "a", "label": 1}\n{"text": "b", "label": 2.5}\n',), JSON_WORDS),
    "json_document": Target(json_document, (b'[{"text": "a"}, {"text": "b"}]', b'{"data": [{"text": "a"}]}'), JSON_WORDS),
    "conll": Target(conll, (b"-DOCSTART- -X- O O\n\nJohn NNP B-NP B-PER\nlives VBZ B-VP O\n\n", b"# id = 1\na\tO\nb\tB-X\n"), (b"\t", b" ", b"\n\n", b"#", b"\xff", b"1-2", b"\0", b"\xef\xbb\xbf", b"\xff\xfe")),
    "delimited": Target(delimited, (b'text,label\n"a, b",x\nc,y\n', b"a\tb\n1\t2\n"), (b'"', b",", b";", b"\t", b"|", b"\r", b"\n", b"\0", b"\xff", b"\xff\xfe", b'""')),
    "template": Target(template, (b"{text} is {label}", b"{number:>5} {text!r}"), TEMPLATE_WORDS),
    "jinja_template": Target(jinja_template, (b"{{ text }} {% for x in list %}{{ x }}{% endfor %}",), TEMPLATE_WORDS),
    "source": Target(source, (b"user/suite@v2:task", b"./base:task", b"user/repo"), (b"/", b"..", b":", b"@", b"~", b"\0", b"//", b"\xff", b"a" * 300)),
}  # fmt: skip
