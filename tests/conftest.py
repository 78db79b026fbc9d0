"""Tiny real models for the tests: made on the spot, the same in every run, no network."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from two_tasks import VERBS, WORDS


def pytest_collection_finish() -> None:
    """Keep what is imported by now out of garbage collections: one ends every run, and took most of its time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def notices_as_they_were() -> Iterator[None]:
    """A verb that a test calls in this process shows our notices; the tests behind it see none of that."""
    logger = logging.getLogger("hf_mtl")
    level, handlers = logger.level, logger.handlers[:]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer Llama and a small byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*VERBS, *VERBS.values(), *WORDS, *WORDS.values()], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>", pad_token="<|end|>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def two_tasks_rows() -> dict[str, str]:
    """The rows of two tiny tasks as files: `verbs.jsonl` (lemma, past) and `words.jsonl` (text, label)."""
    verbs = [{"lemma": lemma, "past": past} for lemma, past in VERBS.items()]
    words = [{"text": text, "label": label} for text, label in WORDS.items()]
    return {
        name: "".join(json.dumps(row) + "\n" for row in rows)
        for name, rows in {"verbs.jsonl": verbs, "words.jsonl": words}.items()
    }


@pytest.fixture
def two_tasks(tmp_path: Path, two_tasks_rows: dict[str, str]) -> Path:
    """A folder with the rows of `two_tasks_rows`."""
    for name, text in two_tasks_rows.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny base by its name in `kind_bases.BASES`."""
    from kind_bases import save_base

    root = tmp_path_factory.mktemp("kind-bases")

    def folder(name: str) -> Path:
        own = root / name
        if not own.is_dir():
            save_base(name, own)
        return own

    return folder
