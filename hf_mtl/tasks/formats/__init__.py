"""The formats that rows come in: recognised from the names of their columns and from what these hold.

One module per family of formats gives `Reading`s; `recognise` takes the only one that is left, or refuses. Nothing is
guessed: rows that can be read in two ways are refused with both.

>>> from datasets import Dataset
>>> from hf_mtl.tasks.formats import recognise
>>> rows = Dataset.from_dict({"premise": ["a"], "hypothesis": ["b"], "label": ["no"]})
>>> recognise(rows).reading.columns
{'text': 'premise', 'text_pair': 'hypothesis', 'label': 'label'}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.lazy import lazy_names
from hf_mtl.tasks.formats.labels import found_labels
from hf_mtl.tasks.formats.reading import Reading
from hf_mtl.tasks.formats.rows import Rows

if TYPE_CHECKING:
    from hf_mtl.tasks.formats.columns import Columns, Sort
    from hf_mtl.tasks.formats.recognising import Recognised, is_recognisable, recognise


__all__ = ["Columns", "Reading", "Recognised", "Rows", "Sort", "found_labels", "is_recognisable", "recognise"]

__getattr__ = lazy_names(
    __name__,
    {
        "columns": "Columns Sort",
        "recognising": "Recognised is_recognisable recognise",
    },
)
