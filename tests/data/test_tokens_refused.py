"""A tokenizer without a token for what is unknown fails on a row, and not the run."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from hf_mtl.data.tokens import encode_texts, tokens_of, whole_text
from hf_mtl.errors import DataError


def test_a_text_without_tokens_is_named() -> None:
    model = Tokenizer(WordLevel({"yes": 0, "no": 1}, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model)
    assert tokens_of("yes no", tokenizer).ids == whole_text("yes no", tokenizer).ids == [0, 1]
    for read in (tokens_of, whole_text):
        with pytest.raises(
            DataError, match="cannot read 'yes perhaps': WordLevel error: .* an unknown token"
        ):
            read("yes perhaps", tokenizer)
    with pytest.raises(DataError, match="cannot read 'perhaps'"):
        encode_texts(tokenizer, text_target="perhaps")
    with pytest.raises((TypeError, ValueError)):  # a mistake of ours
        encode_texts(tokenizer, 5)
