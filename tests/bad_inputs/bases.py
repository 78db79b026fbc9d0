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


def base(name: str, spoil: Change, *words: str, verb: str = "validate recipe.yaml", code: int = 2) -> Case:
    """The base's folder is spoiled, and rows are tokenised."""
    return cli(name, verb, *words, spoil=spoil, needs=("base",), code=code)


def value(name: str, file: str, *words: str, **changes: object) -> Case:
    """A file of settings has another value: the message names the file and the value's name."""
    return base(name, changed_json(file, changes), Path(file).name, *changes, *words)


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
    value("config of no layers", C, "from 1 to 1,000", num_hidden_layers=-1),
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
    base("tokenizer of an unknown class", changed_json(TC, {"tokenizer_class": "WonderTokenizer"}), "WonderTokenizer", "tokenizer.json is read", code=0),
    base("tokenizer that runs code", changed_json(TC, {"auto_map": {"AutoTokenizer": ["evil.T", None]}, "tokenizer_class": "T"}), "tokenizer"),
    value("tokenizer's longest is a text", TC, "from 1", model_max_length="long"),
    base("tokenizer without an end", changed_json(TC, lambda c: [c.pop("eos_token", None), c.pop("pad_token", None)]), "words"),
    base("end token is a number", changed_json(TC, {"eos_token": 7}), "tokenizer"),
    cli("tokenizer with a pattern without end", "validate recipe.yaml", "Regex", needs=("base",), code=1, spoil=all_of(
        changed_json(T, _panics), written("words.jsonl", '{"text": "' + "a" * 60 + ' b", "label": "positive"}\n'))),
    weights("tokens beyond the base's", changed_json(T, _vocabulary), "words", "vocabulary"),
)  # fmt: skip

VALUES = (
    value("tokenizer's longest is negative", TC, model_max_length=-5),
    value("tokenizer's longest is not a number", TC, model_max_length=float("nan")),
    value("tokenizer's longest is a list", TC, model_max_length=[512]),
    value("end token is a list", TC, eos_token=["<|end|>"]),
    value("end token without content", TC, eos_token={"lstrip": True}),
    value("added tokens are a list", TC, added_tokens_decoder=["<x>"]),
    value("added token without content", TC, added_tokens_decoder={"5": {}}),
    value("added token of a negative number", TC, added_tokens_decoder={"-5": {"content": "<x>"}}),
    value("chat template is a number", TC, chat_template=5),
    value("chat templates without a name", TC, chat_template=[{"template": "x"}]),
    value("padding in the middle", TC, "'left' or 'right'", padding_side="middle"),
    base("tokenizer's class is one of a model", changed_json(TC, {"tokenizer_class": "AutoModel"}), "tokenizer_class", "AutoModel"),
    base("tokenizer of another model", changed_json(TC, {"tokenizer_class": "BertTokenizer"}), "task 'words', train, row 0", "cannot read"),
    base("added tokens are texts", written("base/added_tokens.json", '{"<x>": "5"}'), "added_tokens.json", "<x>"),
    base("special token is a number", written("base/special_tokens_map.json", '{"eos_token": 5}'), "special_tokens_map.json", "eos_token"),
    base("chat template is no text", written("base/chat_template.jinja", bytes(range(256))), "chat_template.jinja", "utf-8"),
    value("config of no width", C, hidden_size=0),
    value("config of layers as a text", C, num_hidden_layers="12"),
    value("config of a billion layers", C, "1,000,000,000", num_hidden_layers=10**9),
    value("config of too many layers", C, num_hidden_layers=9_999),
    base("config of heads that do not divide", changed_json(C, {"num_attention_heads": 3}), "attention heads (3)"),
    value("config of no heads for keys", C, num_key_value_heads=0),
    value("config of no vocabulary", C, vocab_size=0),
    value("config of negative positions", C, max_position_embeddings=-7),
    value("config of an angle as a text", C, rope_theta="wide"),
    value("config with what is not a number", C, rms_norm_eps=float("nan")),
    value("config of an unknown dtype", C, dtype="wonder32"),
    value("config of a part that is a number", C, text_config=5),
    value("config of outputs without names", C, return_dict=False),
    base("config without a padding token", changed_json(C, {"model_type": "roberta", "pad_token_id": None}), "roberta", "config.json"),
    weights("origin of the base is a number", written("base/hf_mtl_base.json", '{"hub_id": 5}'), "hf_mtl_base.json", "hub_id is 5"),
    value("quantization is a number", C, quantization_config=4),
    weights("quantization of no kind", changed_json(C, {"quantization_config": {"quant_method": "wonder"}}), "base", "wonder"),
    base("end of generation is a text", written("base/generation_config.json", '{"eos_token_id": "end"}'), "generation_config.json", "eos_token_id"),
    weights("generation with a cache of no kind", written("base/generation_config.json", '{"cache_implementation": "wonder"}'), "base", "wonder"),
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
    chat("a message of an unknown role", "{% for m in messages %}{% if m.role not in (\"user\", \"assistant\") %}{{ raise_exception(\"unknown role \" + m.role) }}{% endif %}{{ m.content }}<|end|>{% endfor %}", "robot", rows='{"chat": [{"role": "robot", "content": "a"}, {"role": "assistant", "content": "a"}]}\n'),
    chat("a message with a number", "{% for m in messages %}{{ m.content }}{% endfor %}", "content", rows='{"chat": [{"role": "user", "content": 3}, {"role": "assistant", "content": "a"}]}\n'),
)  # fmt: skip

CASES = (*BASES, *VALUES, *CHATS)
