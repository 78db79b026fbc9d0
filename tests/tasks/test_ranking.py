"""Ranking labels by likelihood: by hand, on a vocabulary of three tokens."""

from __future__ import annotations

import torch

from hf_mtl.tasks.kinds.ranking import extra_prefixes, likelihoods


def test_one_token_labels_cost_nothing_extra() -> None:
    assert extra_prefixes([(1,), (2,), (3,)], reference=(2, 0)) == []


def test_ranking_by_hand() -> None:
    after_prompt, after_1 = torch.tensor([-9.0, -1.0, -2.0]), torch.tensor([-9.0, -9.0, -3.0])
    outputs = [((1, 2), torch.stack([after_prompt, after_1, after_1]))]
    assert likelihoods([(1, 2), (2,)], outputs) == [-4.0, -2.0]
    assert likelihoods([(1, 2), (0,)], outputs) == [-4.0, -9.0]
