"""Heads of a task's own: what stands on the base's hidden states in the place of the vocabulary head.

A head is made of the very modules that the matching `AutoModelFor...` class puts there, so that it is saved under
their names and loads with that class:

>>> from transformers import BertConfig
>>> from hf_mtl.head_shapes import HeadShape
>>> from hf_mtl.heads import stock_head
>>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
>>> stock = stock_head(config, HeadShape.SEQUENCE, outputs=3, seed=0)
>>> stock.class_name, list(stock.modules)
('BertForSequenceClassification', ['classifier'])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.heads.pool import Pool
from hf_mtl.heads.spec import HeadSpec
from hf_mtl.lazy import lazy_names

if TYPE_CHECKING:
    from hf_mtl.heads.head import Head
    from hf_mtl.heads.stock import StockHead, stock_head


__all__ = ["Head", "HeadSpec", "Pool", "StockHead", "stock_head"]

__getattr__ = lazy_names(
    __name__,
    {
        "head": "Head",
        "stock": "StockHead stock_head",
    },
)
