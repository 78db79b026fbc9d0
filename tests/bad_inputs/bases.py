"""Bases whose tokenizer or config is missing, broken, or of another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bad_inputs.case import Case, Change, all_of, changed_json, cli, removed, written

__all__ = ["CASES"]

C, T, TC, W = (
    "base/config.json",
    "base/tokenizer.json",
    "base/tokenizer_config.json",
    "base/model.safetensors",
)
CHAT = '{"chat": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


def base(name: str, spoil: Change, *words: str, verb: str = "validate recipe.yaml") -> Case:
    """The base's folder is spoiled, and rows are tokenised."""
    return cli(name, verb, *words, spoil=spoil, needs=("base",))


def weights(name: str, spoil: Change, *words: str) -> Case:
    """The base's folder is spoiled, and its weights are loaded."""
    return base(name, spoil, *words, verb="train recipe.yaml --smoke")


def chat(name: str, template: str, *words: str, rows: str = CHAT) -> Case:
    """One task is a chat with a template of its own."""

    def spoil(folder: Path) -> None:
        text = (folder / "recipe.yaml").read_text()
        start, end = text.index("    train: words.jsonl"), text.index("  past tense:")
        task = f"    train: chats.jsonl\n    template: {{messages: chat, chat_template: {template!r}}}\n"
        (folder / "recipe.yaml").write_text(text[:start] + task + text[end:])
        (folder / "chats.jsonl").write_text(rows)

    return cli(name, "validate recipe.yaml", "words", *words, spoil=spoil)


def _panics(content: dict[str, Any]) -> None:  # Any: plain JSON
    """Its pattern can be tried in more ways than its library tries."""
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    content["pre_tokenizer"] = split


def _vocabulary(content: dict[str, Any]) -> None:  # Any: plain JSON
    content["model"]["vocab"] = {key: value + 10_000 for key, value in content["model"]["vocab"].items()}


BASES = (
    base("config is missing", removed(C), "recipe.yaml:2", "config.json"),
    base("config is empty", written(C, ""), "config.json"),
    base("config is cut", written(C, '{"model_type": "lla'), "config.json"),
    base("config is a list", written(C, "[]"), "config.json"),
    base("config is binary", written(C, bytes(range(256))), "config.json"),
    base("config of 100,000 levels", written(C, "[" * 100_000), "config.json"),
    base("config of no model", written(C, "{}"), "base"),
    base("config of an unknown model", changed_json(C, {"model_type": "wonder"}), "wonder"),
    base("config's type is a list", changed_json(C, {"model_type": ["llama"]}), "base"),
    base("config runs code", changed_json(C, {"auto_map": {"AutoConfig": "evil.Config", "AutoTokenizer": ["evil.T", None]}, "model_type": "evil"}), "base"),
    weights("config of other sizes", changed_json(C, {"hidden_size": 64, "head_dim": 16}), "base"),
    weights("config of no layers", changed_json(C, {"num_hidden_layers": -1}), "base"),
    weights("config's sizes are texts", changed_json(C, {"hidden_size": "big"}), "base"),
    weights("weights are missing", removed(W), "base"),
    weights("weights are cut", lambda folder: (folder / W).write_bytes((folder / W).read_bytes()[:-100]), "base"),
    weights("weights are a Git LFS pointer", written(W, "version https://git-lfs.github.com/spec/v1\n"), "base"),
    weights("weights are empty", written(W, ""), "base"),
    base("tokenizer is missing", all_of(removed(T), removed(TC)), "tokenizer"),
    base("tokenizer is empty", written(T, ""), "tokenizer"),
    base("tokenizer is cut", lambda folder: (folder / T).write_bytes((folder / T).read_bytes()[:-500]), "tokenizer"),
    base("tokenizer is a list", written(T, "[]"), "tokenizer"),
    base("tokenizer is binary", written(T, bytes(range(256))), "tokenizer"),
    base("tokenizer is a Git LFS pointer", written(T, "version https://git-lfs.github.com/spec/v1\n"), "tokenizer"),
    base("tokenizer of deep JSON", written(T, "[" * 100_000), "tokenizer"),
    base("tokenizer of an unknown model", changed_json(T, lambda c: c["model"].update(type="Wonder")), "tokenizer"),
    base("tokenizer's config is cut", written(TC, "{"), "tokenizer"),
    base("tokenizer's config is a list", written(TC, "[]"), "tokenizer"),
    base("tokenizer of an unknown class", changed_json(TC, {"tokenizer_class": "WonderTokenizer"}), "tokenizer"),
    base("tokenizer that runs code", changed_json(TC, {"auto_map": {"AutoTokenizer": ["evil.T", None]}, "tokenizer_class": "T"}), "tokenizer"),
    base("tokenizer's longest is a text", changed_json(TC, {"model_max_length": "long"}), "tokenizer"),
    base("tokenizer without an end", changed_json(TC, lambda c: [c.pop("eos_token", None), c.pop("pad_token", None)]), "words"),
    base("end token is a number", changed_json(TC, {"eos_token": 7}), "tokenizer"),
    cli("tokenizer with a pattern without end", "validate recipe.yaml", "Regex", needs=("base",), code=1, spoil=all_of(
        changed_json(T, _panics), written("words.jsonl", '{"text": "' + "a" * 60 + ' b", "label": "positive"}\n'))),
    weights("tokens beyond the base's", changed_json(T, _vocabulary), "words", "vocabulary"),
)  # fmt: skip

CHATS = (
    chat("a template that is not closed", "{% for m in messages %}", "template"),
    chat("a template that says nothing", "", "template"),
    chat("a template that leaves all out", "hello", "template"),
    chat("a template of an unknown filter", "{{ messages | wonder }}", "wonder"),
    chat("a template that divides by zero", "{{ 1 / 0 }}{% for m in messages %}{{ m.content }}{% endfor %}", "template"),
    chat("a template that refuses", "{{ raise_exception(\"no system\") }}", "no system"),
    chat("a template that looks inside", "{{ messages.__class__.__mro__ }}", "template"),
    chat("a template without end", "{% for i in range(999999999) %}{{ messages[0].content }}{% endfor %}", "template"),
    chat("a template of a billion letters", "{{ \"x\" * 1000000000 }}{% for m in messages %}{{ m.content }}{% endfor %}", "template"),
    chat("a template that includes a file", "{% include \"/etc/passwd\" %}", "template"),
    chat("a template that reads a key that is not there", "{% for m in messages %}{{ m.contents.text }}{% endfor %}", "template"),
    chat("a chat without an answer", "{% for m in messages %}{{ m.content }}{% endfor %}", "assistant", rows='{"chat": [{"role": "user", "content": "a"}]}\n'),
    chat("a chat that is empty", "{% for m in messages %}{{ m.content }}{% endfor %}", "chat", rows='{"chat": []}\n'),
    chat("a chat of texts", "{% for m in messages %}{{ m.content }}{% endfor %}", "chat", rows='{"chat": ["a", "b"]}\n'),
    chat("a chat that is a text", "{% for m in messages %}{{ m.content }}{% endfor %}", "chat", rows='{"chat": "a"}\n'),
    chat("a message without a role", "{% for m in messages %}{{ m.content }}{% endfor %}", "role", rows='{"chat": [{"content": "a"}]}\n'),
    chat("a message of an unknown role", "{% for m in messages %}{{ m.content }}{% endfor %}", "robot", rows='{"chat": [{"role": "robot", "content": "a"}, {"role": "assistant", "content": "a"}]}\n'),
    chat("a message with a number", "{% for m in messages %}{{ m.content }}{% endfor %}", "content", rows='{"chat": [{"role": "user", "content": 3}, {"role": "assistant", "content": "a"}]}\n'),
)  # fmt: skip

CASES = (*BASES, *CHATS)
