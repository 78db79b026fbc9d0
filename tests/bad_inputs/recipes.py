"""Recipes that are wrong as text, as YAML, or in what they say."""

from __future__ import annotations

import os
from pathlib import Path

from bad_inputs.case import Case, Change, all_of, cli, removed, replaced, written

__all__ = ["CASES"]

R = "recipe.yaml"
WORDS_KEY = "  words:\n"


def text(name: str, content: str | bytes, *words: str) -> Case:
    """The recipe's whole text is another."""
    return cli(name, "validate recipe.yaml", *words, spoil=written(R, content))


def wrong(
    name: str, old: str, new: str, *words: str, verb: str = "validate", spoil: Change | None = None
) -> Case:
    """The recipe says something else in one place."""
    change = replaced(old, new)
    return cli(name, f"{verb} recipe.yaml", *words, spoil=change if spoil is None else all_of(change, spoil))


def task(name: str, line: str, *words: str, **others: object) -> Case:
    """One key more in the task `words`, on line 7."""
    return wrong(name, WORDS_KEY, f"{WORDS_KEY}    {line}\n", *words, **others)  # type: ignore[arg-type]


def training(name: str, setting: str, *words: str) -> Case:
    """One setting more in `training`, on line 16."""
    return wrong(name, "max_steps: 2,", f"max_steps: 2, {setting},", *words)


def top(name: str, line: str, *words: str, **others: object) -> Case:
    """One key more at the top level, on line 4."""
    return wrong(name, "output_dir: runs/tiny\n", f"output_dir: runs/tiny\n{line}\n", *words, **others)  # type: ignore[arg-type]


def _deep(levels: int) -> str:
    return "a: " + "[" * levels + "]" * levels + "\n"


def _bomb() -> str:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines) + "\n"


def _pipe(path: Path) -> None:
    (path / R).unlink()
    os.mkfifo(path / R)


def _folder(path: Path) -> None:
    (path / R).unlink()
    (path / R).mkdir()


TEXTS = (
    text("empty", "", "recipe.yaml", "tasks is missing", "output_dir is missing"),
    text("only a comment", "# nothing yet\n", "recipe.yaml", "tasks is missing"),
    text("a list", "- model: x\n", "recipe.yaml", "key: value"),
    text("a number", "42\n", "recipe.yaml", "key: value"),
    text("binary", bytes(range(256)), "recipe.yaml"),
    text("UTF-16", "model: x\n".encode("utf-16"), "recipe.yaml"),
    text("Latin-1", "model: caf\u00e9\n".encode("latin-1"), "recipe.yaml", "UTF-8"),
    text("tab indentation", "model:\n\tid: x\n", "recipe.yaml:2", "\\t"),
    text("unclosed quote", "model: 'x\ntasks: {}\n", "recipe.yaml"),
    text("unclosed bracket", "model: {id: x\ntasks: [\n", "recipe.yaml"),
    text("bad indentation", "model:\n  id: x\n source: y\n", "recipe.yaml:3"),
    text("colon in a value", "model: a: b\n", "recipe.yaml:1"),
    text(
        "a Python object",
        "model: !!python/object/apply:os.system ['true']\n",
        "recipe.yaml:1",
        "python/object",
    ),
    text("an unknown tag", "model: !env HOME\n", "recipe.yaml:1", "!env"),
    text("an undefined alias", "model: *base\n", "recipe.yaml:1", "base"),
    text("ten thousand levels", _deep(10_000), "recipe.yaml", "deep"),
    text("a thousand levels", _deep(1_000), "recipe.yaml", "deep"),
    text("an alias bomb", _bomb(), "recipe.yaml"),
    text("two documents", "model: x\n---\ntasks: {}\n", "recipe.yaml"),
    text("JSON of another program", '{"model_name": "x", "lora_r": 8}', "model_name", "unknown key"),
    text("control characters in a key", 'model: x\n"\\e[31mred": 1\n', "recipe.yaml:2", "unknown key"),
    text("a number with 5000 digits", "model: x\nformat: " + "9" * 5000 + "\n", "recipe.yaml:2"),
    text("a key of 100,000 letters", "model: x\n" + "k" * 100_000 + ": 1\n", "recipe.yaml"),
    text("a list as a key", "? [a, b]\n: 1\n", "recipe.yaml:1"),
    text("a merge of a text", "model: {<<: x}\n", "recipe.yaml:1"),
    text("a web page", "<!DOCTYPE html><html><body>404</body></html>\n", "recipe.yaml"),
    text("a NUL byte", "model: a\0b\n", "recipe.yaml"),
    text("a date of no calendar", "model: !!timestamp 2020-13-45\n", "recipe.yaml:1"),
    text("bad base64", "model: !!binary '***'\n", "recipe.yaml:1"),
    text("not a whole number by tag", "format: !!int x\n", "recipe.yaml:1"),
    text("a set", "tasks: !!set {a, b}\nmodel: x\noutput_dir: y\n", "recipe.yaml:1"),
    cli("is a folder", "validate recipe.yaml", "recipe.yaml", "folder", spoil=_folder),
    cli("is a pipe", "validate recipe.yaml", "recipe.yaml", "pipe", spoil=_pipe),
    cli("is missing", "validate recipe.yaml", "recipe.yaml", spoil=removed(R)),
    cli("a mistyped name", "validate recip.yaml", "recip.yaml", "Did you mean 'recipe.yaml'?"),
    cli("a data file", "validate words.csv", "words.csv"),
    cli("a run's folder", "validate run", "run", "folder", needs=("run",)),
)

KEYS = (
    wrong("format of the future", "# hf-mtl", "format: 2\n# hf-mtl", "recipe.yaml:1", "format", "2"),
    wrong("format as text", "# hf-mtl", "format: '1'\n# hf-mtl", "recipe.yaml:1", "format"),
    wrong("model is a list", "model: {", "model: [{x: 1}]\nmodle: {", "recipe.yaml", "model"),
    wrong("model is a number", "model: {", "model: 3\nmodle: {", "recipe.yaml", "model"),
    wrong("model id is an address", "id: someone/tiny-llama", "id: 'https://huggingface.co/a/b'", "recipe.yaml:2", "owner/name"),
    wrong("model id leads up", "id: someone/tiny-llama", "id: ../../secret", "recipe.yaml:2", "owner/name"),
    wrong("model id has a newline", "id: someone/tiny-llama", 'id: "someone/tiny\\n"', "recipe.yaml:2", "owner/name"),
    wrong("model id is null", "id: someone/tiny-llama", "id: null", "recipe.yaml:2", "id"),
    wrong("source is a file", "source: ", "source: words.csv, x: ", "recipe.yaml:2", "words.csv"),
    wrong("source is a list", "source: ", "source: [a], x: ", "recipe.yaml:2", "source"),
    wrong("dtype is a number", "dtype: float32", "dtype: 32", "recipe.yaml:2", "'float32'", "32"),
    wrong("dtype of torch", "dtype: float32", "dtype: torch.float32", "recipe.yaml:2", "'float32'"),
    wrong("quantization is a number", "dtype: float32", "quantization: 4", "recipe.yaml:2", "'4bit'"),
    wrong("adapters without a manifest", "dtype: float32", "adapters: .", "recipe.yaml:2", "hf_mtl.json"),
    wrong("output_dir is a list", "output_dir: runs/tiny", "output_dir: [a]", "recipe.yaml:3", "output_dir"),
    wrong("output_dir is empty", "output_dir: runs/tiny", "output_dir: ''", "output_dir"),
    wrong("output_dir is null", "output_dir: runs/tiny", "output_dir:", "recipe.yaml", "output_dir"),
    wrong("output_dir is a file", "output_dir: runs/tiny", "output_dir: words.csv", "output_dir", "words.csv", "is a file"),
    wrong("output_dir is under a file", "output_dir: runs/tiny", "output_dir: words.csv/run", "output_dir", "words.csv", "is a file"),
    wrong("tasks is a list", "tasks:\n", "tasks: [a, b]\ntaskz:\n", "recipe.yaml:5", "tasks"),
    wrong("tasks is a text", "tasks:\n", "tasks: words\ntaskz:\n", "recipe.yaml:5", "tasks"),
    wrong("a task is a text", WORDS_KEY, "  other: words.jsonl\n" + WORDS_KEY, "recipe.yaml:6", "tasks.other"),
    wrong("a task is null", WORDS_KEY, "  other:\n" + WORDS_KEY, "recipe.yaml:6", "tasks.other"),
    wrong("a task's name is blank", WORDS_KEY, "  ' ':\n", "recipe.yaml:6", "name"),
    wrong("a task's name has a newline", WORDS_KEY, '  "a\\nb":\n', "recipe.yaml:6", "name"),
    wrong("a task's name moves the cursor", WORDS_KEY, '  "a\\e[2Jb":\n', "recipe.yaml:6", "name"),
    wrong("defaults is a list", "defaults: {", "defaults: [a]\ndefault: {", "recipe.yaml:4", "defaults"),
    wrong("training is null in part", "learning_rate: 1e-2", "learning_rate: ", "recipe.yaml:16", "learning_rate"),
    top("sharing is a list", "sharing: [private]", "recipe.yaml:4", "sharing"),
    top("sharing is a number", "sharing: 3", "recipe.yaml:4", "sharing"),
    top("sharing without a name", "sharing: {groups: {}}", "recipe.yaml:4", "name"),
    top("groups is a text", "sharing: {name: groups, groups: words}", "recipe.yaml:4", "groups"),
    top("groups of no file", "sharing: {name: groups, relations: gone.json}", "recipe.yaml:4", "gone.json"),
    top("soft with a text", "sharing: {name: soft, strength: strong}", "recipe.yaml:4", "strength", "strong"),
    top("soft with minus one", "sharing: {name: soft, strength: -1}", "recipe.yaml:4", "strength", "-1"),
    top("objective is a list", "objective: [pcgrad]", "recipe.yaml:4", "objective"),
    top("objective without a name", "objective: {weights: {}}", "recipe.yaml:4", "name"),
    top("static weights are a text", "objective: {name: static, weights: heavy}", "recipe.yaml:4", "weights"),
    top("static weight is not finite", "objective: {name: static, weights: {words: .nan, past tense: 1}}", "recipe.yaml:4", "words"),
    top("variants is a list", "variants: [a]", "recipe.yaml:4", "variants"),
    top("a variant changes nothing known", "variants: {fast: {training.max_stepz: 1}}", "max_stepz", verb="compare --smoke"),
    top("a variant of an unknown setting, validated", "variants: {fast: {training.max_stepz: 1}}", "variants.fast", "max_stepz"),
    top("a variant of an unknown structure, validated", "variants: {fast: {sharing: privat}}", "variants.fast", "'private'"),
    top("a variant is named alone, validated", "variants: {alone: {sharing: shared}}", "alone"),
    top("a variant is named alone", "variants: {alone: {sharing: shared}}", "alone", verb="compare --smoke"),
)  # fmt: skip

TASKS = (
    task("kind unknown", "kind: text-classificaton", "recipe.yaml:7", "text-classification"),
    task("kind is a list", "kind: [causal-lm]", "recipe.yaml:7", "kind"),
    task("kind without a name", "kind: {layout: packed}", "recipe.yaml:7", "name"),
    task("kind with an unknown option", "kind: {name: causal-lm, windows: 3}", "recipe.yaml:7", "windows"),
    task("kind for another base", "kind: seq2seq-lm", "recipe.yaml:7", verb="train --smoke"),
    task("eval_fraction is one", "eval_fraction: 1", "recipe.yaml:7", "eval_fraction", "1"),
    task("eval_fraction beside eval", "eval_fraction: 0.5", "eval_fraction", "words"),
    task("columns is a list", "columns: [text]", "recipe.yaml:7", "columns"),
    task("columns of no role", "columns: {sentence: text}", "recipe.yaml:7", "sentence"),
    task("labels is a text", "labelz: x", "recipe.yaml:7", "labels"),
    wrong("metric with an unknown option", "[exact_match, accuracy]", "[{name: rouge, stemmer: true}]", "recipe.yaml:11", "stemmer"),
    wrong("one metric twice", "[exact_match, accuracy]", "[accuracy, accuracy]", "recipe.yaml:11", "accuracy"),
    wrong("metric with an expression without end", "[exact_match, accuracy]", "[{name: exact_match, regexes_to_ignore: ['(a+)+b']}]", "recipe.yaml:11", "regexes_to_ignore", "repeat inside a repeat"),
    wrong("metric with half an expression", "[exact_match, accuracy]", "[{name: exact_match, regexes_to_ignore: ['the ', '(']}]", "recipe.yaml:11", "'('", "not a regular expression"),
    task("metrics is a text", "adapter: {r: 4}\n    max_train_rows: none", "recipe.yaml:8", "max_train_rows"),
    task("max_train_rows is half", "max_train_rows: 2.5", "recipe.yaml:7", "max_train_rows", "2.5"),
    task("max_length is huge", "max_length: 1000000000000000000000", "recipe.yaml:7", "max_length"),
    task("on_bad_row unknown", "on_bad_row: ignore", "recipe.yaml:7", "'skip'"),
    task("learning_rate is infinite", "learning_rate: .inf", "recipe.yaml:7", "learning_rate"),
    task("learning_rate is not a number", "learning_rate: .nan", "recipe.yaml:7", "learning_rate"),
    task("learning_rate is zero", "learning_rate: 0", "recipe.yaml:7", "learning_rate", "0"),
    task("max_steps is true", "max_steps: true", "recipe.yaml:7", "max_steps"),
    task("optim unknown", "optim: adamm", "recipe.yaml:7", "adamm"),
    task("schedule unknown", "lr_scheduler_type: linaer", "recipe.yaml:7", "'linear'"),
    task("best metric that is misspelt", "metric_for_best_model: acuracy", "recipe.yaml:7", "Did you mean 'accuracy'?"),
    training("options of another schedule", "lr_scheduler_kwargs: {num_cycles: 2}", "recipe.yaml:16", "'linear'"),
    wrong("layers that the base has not", "target_modules: all-linear", "target_modules: [query]", "recipe.yaml:4", "q_proj", verb="train --smoke"),
    task("best metric of no task", "metric_for_best_model: bleu", "words", "bleu", verb="train"),
    task("patience without evaluations", "early_stopping_patience: 3", "words", "early_stopping_patience", verb="train"),
    task("adapter is a text", "adapter: lora", "recipe.yaml:7", "adapter"),
    task("adapter rank is a text", "adapter: {r: '8'}", "recipe.yaml:7", "adapter.r"),
    task("adapter dropout of two", "adapter: {lora_dropout: 2}", "recipe.yaml:7", "lora_dropout"),
    task("adapter on no layer", "adapter: {target_modules: [q_prjo]}", "words", "q_prjo", verb="train"),
    task("adapter pattern with a hole", "adapter: {target_modules: '(q_proj'}", "words", "q_proj", verb="train"),
    task("adapter of layers that are not there", "adapter: {layers_to_transform: [99]}", "words", "layers_to_transform", verb="train"),
    task("adapter on no layer, without weights", "adapter: {target_modules: [q_prjo]}", "words", "q_prjo", "'q_proj'"),
    task("layers that are not there, without weights", "adapter: {target_modules: [q_proj], layers_to_transform: [99]}", "words", "99"),
    task("a rank of no layer", "adapter: {target_modules: [q_proj], rank_pattern: {q_prjo: 4}}", "words", "rank_pattern", "q_prjo", "'q_proj'"),
    task("an alpha of no layer", "adapter: {target_modules: [q_proj], alpha_pattern: {q_prjo: 4}}", "words", "alpha_pattern", "q_prjo"),
    task("no layer to exclude", "adapter: {target_modules: [q_proj], exclude_modules: [k_prjo]}", "words", "exclude_modules", "k_prjo"),
    task("no module to save", "adapter: {target_modules: [q_proj], modules_to_save: [scorer]}", "words", "modules_to_save", "'scorer'", "'lm_head'"),
    task("an adapter on embeddings", "adapter: {target_modules: [embed_tokens]}", "words", "Embedding", "linear"),
    task("a prompt of another width", "adapter: {peft_type: PROMPT_TUNING, num_virtual_tokens: 2, token_dim: 7}", "words", "token_dim=7"),
    task("prefix of no tokens", "adapter: {peft_type: PREFIX_TUNING, num_virtual_tokens: 0}", "recipe.yaml", "num_virtual_tokens"),
    task("card is a text", "card: {license: [mit]}", "recipe.yaml:7", "card.license"),
    task("template twice", "template: {messages: chat}", "recipe.yaml:10", "twice"),
    wrong("template is a text", 'template: {prompt: "{text} is", completion: " {label}"}', "template: '{text}'", "recipe.yaml:9", "template"),
    wrong("template field of an attribute", "{text} is", "{text.__class__.__mro__} is", "recipe.yaml:9"),
    wrong("template width of a billion", "{text} is", "{text:1000000000} is", "recipe.yaml:9"),
    wrong("template with a place without a name", "{text} is", "{} is", "recipe.yaml:9"),
    wrong("template that is not closed in Jinja", '{prompt: "{text} is"', '{engine: jinja, prompt: "{% if text %}"', "recipe.yaml:9", "Jinja"),
    wrong("template engine unknown", '{prompt: "{text} is"', '{engine: mako, prompt: "{text} is"', "recipe.yaml:9", "'jinja'"),
    wrong("chat template for prompts", '{prompt: "{text} is"', '{chat_template: "x", prompt: "{text} is"', "recipe.yaml:9"),
    wrong("train is a number", "train: words.jsonl", "train: 5", "recipe.yaml:7", "train"),
    wrong("train is an address", "train: words.jsonl", "train: 'https://me:hunter2@example.org/a.jsonl'", "recipe.yaml:7", "download", "https://example.org"),
    wrong("train has no ending", "train: words.jsonl", "train: /etc/hostname", "recipe.yaml:7", "ending"),
    wrong("train is the folder", "train: words.jsonl", "train: .", "recipe.yaml:7"),
    wrong("train is a list", "train: words.jsonl", "train: [words.jsonl, verbs.jsonl]", "recipe.yaml:7", "train"),
    wrong("train has an unknown key", "train: words.jsonl", "train: {source: words.jsonl, splt: train}", "recipe.yaml:7", "Did you mean 'split'?"),
    wrong("train leads to no split", "train: words.jsonl", "train: {source: words.jsonl, split: test}", "recipe.yaml:7", "split"),
    wrong("train slices backwards", "train: words.jsonl", "train: {source: words.jsonl, split: 'train[5:2]'}", "recipe.yaml:7"),
    wrong("train slices nothing", "train: words.jsonl", "train: {source: words.jsonl, split: 'train[x]'}", "recipe.yaml:7"),
    wrong("few_shot beyond the rows", "train: words.jsonl", "train: {source: words.jsonl, few_shot: 99}", "recipe.yaml:7", "few_shot"),
    wrong("rows without end drawn", "train: words.jsonl", "train: {source: words.jsonl, streaming: true, few_shot: 2}", "recipe.yaml:7"),
    wrong("sample_by of JSON", "train: words.jsonl", "train: {source: words.jsonl, sample_by: line}", "recipe.yaml:7", "sample_by"),
    wrong("seed is negative", "train: words.jsonl", "train: {source: words.jsonl, max_examples: 2, seed: -1}", "recipe.yaml:7", "seed"),
    wrong("asset unknown", "train: words.jsonl", "train: asset:conll2004", "recipe.yaml:7", "Did you mean 'conll2003'?"),
    wrong("asset is a model", "train: words.jsonl", "train: asset:minilm", "recipe.yaml:7", "minilm"),
    wrong("eval is streamed", "eval: words.jsonl", "eval: {source: words.jsonl, streaming: true}", "recipe.yaml:8"),
)  # fmt: skip

TRAINING = (
    training("unknown tracker", "report_to: wandbb", "recipe.yaml:16", "wandb"),
    training(
        "batch size zero", "per_device_eval_batch_size: 0", "recipe.yaml:16", "per_device_eval_batch_size"
    ),
    training(
        "gradient accumulation below one",
        "gradient_accumulation_steps: 0",
        "recipe.yaml:16",
        "gradient_accumulation_steps",
    ),
    training("warmup below zero", "warmup_steps: -5", "recipe.yaml:16", "warmup_steps"),
    training("seed is a text", "seed: abc", "recipe.yaml:16", "seed"),
    training("seed is too large", "seed: 99999999999999999999", "recipe.yaml:16", "seed"),
    training("fp16 and bf16", "fp16: true, bf16: true", "recipe.yaml:16"),
    training("bool as a text", "bf16: 'maybe'", "recipe.yaml:16", "bf16"),
    training("eval strategy unknown", "eval_strategy: often", "recipe.yaml:16", "eval_strategy"),
    training("save steps below zero", "save_steps: -1", "recipe.yaml:16", "save_steps"),
    training("token budget of zero", "token_budget: 0", "recipe.yaml:16", "token_budget"),
    training("mixture unknown", "mixture: proportionl", "recipe.yaml:16", "mixture"),
    training("DeepSpeed of no file", "deepspeed: gone.json", "recipe.yaml:16", "deepspeed"),
    training("push that cannot begin", "push_to_hub: true", "training.push_to_hub", "Hub"),
    training("push without an id", "push_to_hub: true, hub_model_id: 'a b'", "recipe.yaml:16"),
    training(
        "best model without evaluations",
        "load_best_model_at_end: true",
        "recipe.yaml:16",
        "load_best_model_at_end",
    ),
    training("Adam's beta of one", "adam_beta1: 1.0", "recipe.yaml:16", "adam_beta1"),
    training("clip below zero", "max_grad_norm: -1", "recipe.yaml:16", "max_grad_norm"),
    training("workers below zero", "dataloader_num_workers: -1", "recipe.yaml:16", "dataloader_num_workers"),
    training("schedule options of no schedule", "lr_scheduler_kwargs: {foo: 1}", "lr_scheduler_kwargs"),
    training("a setting is a mapping", "logging_dir: {a: 1}", "recipe.yaml:16", "logging_dir"),
)

CASES = (*TEXTS, *KEYS, *TASKS, *TRAINING)
