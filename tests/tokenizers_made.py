"""Small tokenizers, each with one trait of those that people fine-tune; made on the spot, the same in every run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

__all__ = ["CHAT_TOKENS", "TOKENIZERS", "made_tokenizer"]

CHAT_TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<start_of_turn>", "<end_of_turn>"),
    *("<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<think>", "</think>"),
)
"""What the templates of `templates_made` write as single tokens."""

_LINES = [
    "The weather is fine today, and the river runs past the old mill.",
    "system user assistant model tool analysis final commentary developer",
    "You are a terse helper. Answer in one word.\n\nYes. No. Maybe; it depends on the question.",
    "[INST] What is the capital of France? [/INST] Paris [INST] and of Italy? [/INST] Rome <<SYS>>\n<</SYS>>",
    '{"name": "get_weather", "arguments": {"city": "Paris"}} tool_call tool_response function parameters',
    "def add(a, b):\n    return a + b\n\n\nprint(add(12, 345))\n",
    "é è ü ß ñ 你好 世界 привет мир שלום 😀 👩‍👩‍👧 ½",
    "  fine   fine\tfine \n fine\n\nfine\n\n\n",
]
_DIGITS = Regex(r"\p{N}{1,3}|[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def _around(tokenizer: Tokenizer, single: str, pair: str, *tokens: str) -> processors.TemplateProcessing:
    ids = [(token, tokenizer.token_to_id(token)) for token in tokens]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def _byte_level(specials: list[str], *, digits: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not digits)
    split = pre_tokenizers.Split(_DIGITS, behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level]) if digits else byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES, trainer)
    return tokenizer


def _pieces(scheme: str) -> Tokenizer:
    """As SentencePiece's BPE is converted: spaces are letters, and what is not known is written in bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if scheme == "normalizer":
        steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence(steps)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    specials = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=220, special_tokens=specials, show_progress=False)
    # One word at a time, so that no piece spans several words.
    tokenizer.train_from_iterator([word for line in _LINES for word in line.split()], trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    vocab = trained["vocab"] | {f"<0x{byte:02X}>": len(trained["vocab"]) + byte for byte in range(256)}
    merges = [(one, other) for one, other in trained["merges"]]
    tokenizer.model = models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer.post_processor = _around(tokenizer, "<s> $A", "<s> $A <s> $B", "<s>")
    return tokenizer


def _finished(tokenizer: Tokenizer, rstrip: tuple[str, ...] = (), **specials: str) -> PreTrainedTokenizerFast:
    tokenizer.add_special_tokens(
        [AddedToken(token, rstrip=token in rstrip, normalized=False) for token in CHAT_TOKENS]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials)


def _gpt2() -> PreTrainedTokenizerFast:
    tokenizer = _byte_level(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    end = "<|endoftext|>"  # one token for everything, as GPT-2 has it
    return _finished(tokenizer, bos_token=end, eos_token=end, unk_token=end, pad_token=end)


def _qwen() -> PreTrainedTokenizerFast:
    tokenizer = _byte_level(["<|endoftext|>"], digits=True)
    tokenizer.normalizer = normalizers.NFC()
    return _finished(tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def _llama3() -> PreTrainedTokenizerFast:
    tokenizer = _byte_level(["<|begin_of_text|>", "<|end_of_text|>"], digits=True)
    begin = _around(
        tokenizer, "<|begin_of_text|> $A", "<|begin_of_text|> $A <|begin_of_text|> $B", "<|begin_of_text|>"
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), begin])
    return _finished(
        tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>", pad_token="<|end_of_text|>"
    )


def _appends_eos() -> PreTrainedTokenizerFast:
    tokenizer = _byte_level(["<s>", "</s>"])
    tokenizer.post_processor = _around(tokenizer, "<s> $A </s>", "<s> $A </s> $B </s>", "<s>", "</s>")
    return _finished(tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def _metaspace(scheme: str, rstrip: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    return _finished(
        _pieces(scheme), rstrip, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def _unigram() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<pad>", "</s>", "<unk>", "\n"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES, trainer)
    tokenizer.post_processor = _around(tokenizer, "$A </s>", "$A </s> $B </s>", "</s>")
    return _finished(tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def _wordpiece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(_LINES, trainer)
    tokenizer.post_processor = _around(
        tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS]", "[SEP]"
    )
    return _finished(
        tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        bos_token="[CLS]",
        eos_token="[SEP]",
    )


def _bytes() -> PreTrainedTokenizerBase:
    """One in Python, which knows no offsets."""
    return ByT5Tokenizer(extra_ids=0, additional_special_tokens=list(CHAT_TOKENS))


TOKENIZERS: Mapping[str, Callable[[], PreTrainedTokenizerBase]] = {
    "byte-level": _gpt2,  # no begin token; offsets leave spaces out
    "byte-level-nfc": _qwen,  # no begin token at all; eos ends a turn
    "byte-level-bos": _llama3,  # a post-processor adds the begin token
    "byte-level-eos": _appends_eos,  # and one that adds the end token too
    "metaspace-first": lambda: _metaspace("first"),
    "metaspace-always": lambda: _metaspace("always"),
    "metaspace-normalizer": lambda: _metaspace(
        "normalizer"
    ),  # every stretch between added tokens begins with a space
    "metaspace-rstrip": lambda: _metaspace("first", ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>")),
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "bytes": _bytes,
}


@cache
def _built(name: str) -> PreTrainedTokenizerBase:
    return TOKENIZERS[name]()


def made_tokenizer(name: str, chat_template: str | None = None) -> PreTrainedTokenizerBase:
    """One of `TOKENIZERS`, with a chat template; a test changes nothing else of it."""
    tokenizer = _built(name)
    tokenizer.chat_template = chat_template
    return tokenizer
