"""Relations from gradients: do the updates of two tasks pull shared parameters in one direction?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from torch import Tensor

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.relations.relations import Relations

__all__ = ["CosineMeter"]


@final
class CosineMeter:
    r"""The mean over rounds of the cosine between the gradients of two tasks.

    .. math:: \cos(g_i, g_j) = G_{ij} / \sqrt{G_{ii} G_{jj}}, \qquad G = g g^T

    with `g [T, P]` the gradients of T tasks in the P shared parameters of one round. Yu et al. (2020, arXiv 2001.06782)
    call two tasks in conflict where this is below 0. It says whether their gradients agree now, which is not the
    same as whether training together helps in the end: Fifty et al. (2021, arXiv 2109.04617) therefore look one step
    ahead instead.

    A task that is absent in a round leaves its entries as they are. So does one whose gradient is 0, which has no
    direction, and one whose gradient is not finite, which is an incident of its own.

    Args:
        names: All tasks, in the order that the relations are to have.

    Raises:
        ConfigError: A name stands twice.

    Example:
        >>> import torch
        >>> meter = CosineMeter(["a", "b"])
        >>> rows = torch.tensor([[1.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
        >>> meter.add(["a", "b"], rows @ rows.T)
        >>> round(meter.relations().of("a", "b"), 12)
        0.6
    """

    def __init__(self, names: Sequence[str]) -> None:
        if twice := {name for name in names if list(names).count(name) > 1}:
            raise ConfigError(
                f"each task's gradients are measured once; named more than once: {listing(twice)}."
            )
        self.names = tuple(names)
        self._sums = np.zeros((len(names), len(names)))
        self._counts = np.zeros((len(names), len(names)), dtype=np.int64)

    def add(self, names: Sequence[str], gram: Tensor) -> None:
        """Count one round.

        Args:
            names: The tasks that took part, in the order of the Gram matrix.
            gram: `[T, T]`, the inner products of their gradients: `rows @ rows.T`; float64 keeps small angles.

        Raises:
            ConfigError: A task is unknown or named twice, or the matrix has another shape.
        """
        indices = self._indices(names)
        if tuple(gram.shape) != (len(names), len(names)):
            raise ConfigError(
                f"the Gram matrix of {len(names)} tasks has the shape [{len(names)}, {len(names)}], found "
                f"{list(gram.shape)}. Give rows @ rows.T, one row per task."
            )
        products = gram.detach().double().cpu().numpy()
        squares = np.diagonal(products)
        directed = np.flatnonzero(np.isfinite(squares) & (squares > 0))
        lengths = np.sqrt(squares[directed])
        cosines = products[np.ix_(directed, directed)] / lengths[:, None] / lengths[None, :]
        into = np.ix_(indices[directed], indices[directed])
        self._sums[into] += np.clip(cosines, -1.0, 1.0)
        self._counts[into] += 1

    def relations(self) -> Relations:
        """Return the mean cosines so far, with 1 on the diagonal; 0 and a note for pairs that never met in a round."""
        means = np.divide(self._sums, self._counts, out=np.zeros_like(self._sums), where=self._counts > 0)
        np.fill_diagonal(means, 1.0)
        never = np.argwhere(np.triu(self._counts == 0, k=1))
        notes = tuple(
            f"{self.names[i]!r} and {self.names[j]!r} never had gradients in the same round; their 0 is no measurement"
            for i, j in never
        )
        return Relations(self.names, means, "gradient cosines", notes)

    def state_dict(self) -> dict[str, object]:
        """Return sums and counts, as plain JSON that comes back to the bit."""
        return {"names": list(self.names), "sums": self._sums.tolist(), "counts": self._counts.tolist()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take over the entries of the tasks that are still there; those of new tasks start anew."""
        names, sums, counts = state["names"], state["sums"], state["counts"]
        assert isinstance(names, list)
        stay = [name for name in self.names if name in names]
        mine, theirs = self._indices(stay), [names.index(name) for name in stay]
        for own, saved in ((self._sums, sums), (self._counts, counts)):
            own.fill(0)
            if stay:
                own[np.ix_(mine, mine)] = np.array(saved)[np.ix_(theirs, theirs)]

    def _indices(self, names: Sequence[str]) -> np.ndarray:
        strangers = [name for name in names if name not in self.names]
        problems = [
            f"no gradients of a task {name!r} are measured.{did_you_mean(name, self.names)} "
            f"Tasks: {listing(self.names)}."
            for name in strangers
        ]
        if len(set(names)) < len(names):
            problems.append(f"each task takes part in a round once; found {', '.join(map(repr, names))}.")
        if problems:
            raise ConfigError(problems)
        return np.array([self.names.index(name) for name in names], dtype=np.int64)
