"""Tiny bases in folders, each with a tokenizer of the sort that its architecture comes with."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tiny_bases import CASES, Case
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    ViTImageProcessor,
)

__all__ = ["BASES", "CHAT", "CORPUS", "Base", "make_base", "picture", "save_base"]

CORPUS = [
    "the good old film was great fun",
    "a bad play with a poor actor , awful !",
    "John Smith lives in Paris and works for Acme",
    "who wrote the book ? Mary wrote it in 1999",
    "where does the river flow ? it flows to the sea",
    "walking walked runs ran sings sang",
]
CHAT = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


@dataclass(frozen=True)
class Base:
    """How a base is made.

    Args:
        case: Its row of `tiny_bases.CASES`.
        tokenizer: The sort of its tokenizer; None for one that reads images.
        changes: What its configuration has otherwise.
    """

    case: str
    tokenizer: str | None
    changes: tuple[tuple[str, object], ...] = ()


BASES = {
    "llama": Base("LlamaForCausalLM", "bpe"),
    "gpt2": Base("GPT2LMHeadModel", "bpe"),
    "bert": Base("BertModel", "wordpiece"),
    "roberta": Base("RobertaModel", "roberta"),
    "modernbert": Base("ModernBertModel", "modernbert", (("classifier_pooling", "cls"),)),
    "modernbert-mean": Base("ModernBertModel", "modernbert", (("classifier_pooling", "mean"),)),
    "t5": Base("T5ForConditionalGeneration", "unigram"),
    "vit": Base("ViTModel", None),
}


def _bpe(special: list[str], *, prefix_space: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _framed(tokenizer: Tokenizer, first: str, last: str, *, types: bool, doubled: bool = False) -> Tokenizer:
    """With special tokens around one text, and around and between two."""
    second = int(types)
    middle = f"{last} {last}" if doubled else last
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {middle} $B:{second} {last}:{second}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    return tokenizer


def _byte_level() -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast(
        tokenizer_object=_bpe(["<pad>", "<|end|>"]), eos_token="<|end|>", pad_token="<pad>"
    )


def _letters_and_words() -> tuple[list[str], list[str]]:
    """Vocabularies that are written down and not trained, which would differ from process to process."""
    words = sorted({word for line in CORPUS for word in line.split()})
    return sorted({letter for word in words for letter in word}), words[::2]


def _wordpiece() -> PreTrainedTokenizerBase:
    special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    letters, some = _letters_and_words()
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *some]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=_framed(tokenizer, "[CLS]", "[SEP]", types=True),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _roberta() -> PreTrainedTokenizerBase:
    tokenizer = _framed(_bpe(["<s>", "<pad>", "</s>"]), "<s>", "</s>", types=False, doubled=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
    )


def _modernbert() -> PreTrainedTokenizerBase:
    tokenizer = _framed(_bpe(["[UNK]", "[PAD]", "[CLS]", "[SEP]"]), "[CLS]", "[SEP]", types=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
    )


def _unigram() -> PreTrainedTokenizerBase:
    letters, some = _letters_and_words()
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -4.0} | dict.fromkeys(letters, -6.0)
    pieces |= {f"▁{word}": -5.0 for word in some}
    tokenizer = Tokenizer(models.Unigram(list(pieces.items()), unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    end = [("</s>", tokenizer.token_to_id("</s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=end
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


TOKENIZERS = {
    "bpe": _byte_level,
    "wordpiece": _wordpiece,
    "roberta": _roberta,
    "modernbert": _modernbert,
    "unigram": _unigram,
}


def make_base(name: str, tokenizer: PreTrainedTokenizerBase | None) -> Case:
    """The case of a base whose vocabulary is that of a tokenizer."""
    case = CASES[BASES[name].case]
    config = copy.deepcopy(case.config)
    for key, value in BASES[name].changes:
        setattr(config, key, value)
    if tokenizer is not None:
        config.vocab_size = len(tokenizer)
        config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
        config.bos_token_id = tokenizer.bos_token_id
    if isinstance(config, LlamaConfig):
        config.max_position_embeddings = 128
    return Case(config, case.auto, case.kind, case.adapter, case.layers)


def save_base(name: str, folder: Path) -> None:
    """A base and its tokenizer or image processor, as they lie on the Hub."""
    own = BASES[name].tokenizer
    tokenizer = None if own is None else TOKENIZERS[own]()
    make_base(name, tokenizer).base(torch.float32).save_pretrained(folder)
    if tokenizer is None:
        ViTImageProcessor(size={"height": 12, "width": 12}).save_pretrained(folder)
    else:
        tokenizer.save_pretrained(folder)


def picture(seed: int, size: tuple[int, int] = (12, 12), mode: str = "RGB") -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (*size, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy()).convert(mode)
