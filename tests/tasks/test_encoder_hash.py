"""`datasets` recognises tokenised rows by a hash of what made them, which using it must not change."""

from __future__ import annotations

import pickle

import pytest
from datasets.fingerprint import Hasher

from hf_mtl.errors import DataError
from hf_mtl.tasks.kinds import Declared
from hf_mtl.tasks.kinds.labels import label_number


def test_looking_labels_up_leaves_the_hash_as_it_is() -> None:
    declared = Declared(labels=("1", "2", "5"))
    before = Hasher.hash(declared)
    assert label_number("5", declared, what="label") == 2 and label_number(5, declared, what="label") == 2
    with pytest.raises(DataError, match="one of these numbers"):
        label_number(3, declared, what="label")
    assert Hasher.hash(declared) == before
    again = pickle.loads(pickle.dumps(declared))
    assert again == declared and label_number("2", again, what="label") == 1
