"""Relations that are learned: each task spreads a weight of one over the tasks that are near it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from hf_mtl.bounds import POSITIVE
from hf_mtl.errors import ConfigError, listing
from hf_mtl.relations.relations import Relations

__all__ = ["LearnedRelations"]


@final
class LearnedRelations:
    r"""The weights R that make related tasks close, each row a distribution over the other tasks.

    .. math:: L(R, f) = \sum_{i \ne j} R_{ij} \lVert f_i - f_j \rVert^2
              - \tau \sum_i H(R_i), \qquad H(R_i) = -\sum_{j \ne i} R_{ij} \log R_{ij}

    over matrices R with rows on the simplex (`R_ij >= 0`, `sum_j R_ij = 1`, `R_ii = 0`). Without rows on the simplex
    R = 0 would win, and without the entropy H the nearest task alone. With both there is one minimum, and it has a
    closed form:

    .. math:: R_{ij} = \mathrm{softmax}_{j \ne i}(-\lVert f_i - f_j \rVert^2 / \tau)

    so no step of gradient descent is spent on R. This form is this library's own; learning which tasks share what
    from a penalty on their distances is an old idea (Evgeniou and Pontil 2004, Regularized multi-task learning).

    Args:
        tau: In units of a squared distance, above 0: small ones put all weight on the nearest task, large ones spread
            it evenly.

    Raises:
        ConfigError: `tau` is not a finite number above 0.

    Example:
        >>> features = {"a": torch.tensor([0.0]), "b": torch.tensor([1.0]), "c": torch.tensor([3.0])}
        >>> LearnedRelations(tau=1.0).relations(features).values.round(4).tolist()
        [[0.0, 0.9997, 0.0003], [0.9526, 0.0, 0.0474], [0.0067, 0.9933, 0.0]]
    """

    def __init__(self, tau: float) -> None:
        if (problem := POSITIVE.problem(tau)) is not None:
            raise ConfigError(f"tau: {problem}")
        self.tau = tau

    def relations(self, features: Mapping[str, Tensor]) -> Relations:
        """Return the weights that minimise the loss for these features; rows sum to 1, the diagonal is 0.

        They are not symmetric: a task far from all others has a nearest one that has nearer ones itself.

        Args:
            features: By task any tensor that describes it, all of one shape: a mean hidden state `[D]`, the weights of
                an adapter. Scale them beforehand if parts of them differ in size.

        Raises:
            ConfigError: Fewer than two tasks, unlike shapes, or numbers that are not finite.
        """
        with torch.no_grad():
            weights = self._scores(features).softmax(dim=1)
        return Relations(tuple(features), weights.cpu().numpy(), "learned")

    def of_distances(self, names: Sequence[str], squares: Tensor) -> Relations:
        """Return the weights for features of which only the distances are known.

        The distances are taken in units of the mean one between two tasks, so that `tau` means the same for near tasks
        and for far ones; where all are 0, every other task has the same weight.

        Args:
            names: T tasks.
            squares: Their squared distances, `[T, T]`.

        Raises:
            ConfigError: Fewer than two tasks.

        Example:
            >>> squares = torch.tensor([[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]])
            >>> LearnedRelations(tau=1.0).of_distances(["a", "b", "c"], squares).values.round(2).tolist()
            [[0.0, 0.85, 0.15], [0.66, 0.0, 0.34], [0.26, 0.74, 0.0]]
        """
        count = len(names)
        if count < 2:
            raise ConfigError(f"relations are learned among at least two tasks, found {listing(names)}.")
        squares = squares.detach().double().clamp(min=0)
        mean = squares.sum() / (count * (count - 1))
        scores = -squares / (self.tau * torch.where(mean > 0, mean, torch.ones_like(mean)))
        weights = scores.fill_diagonal_(-math.inf).softmax(dim=1)
        return Relations(tuple(names), weights.cpu().numpy(), "learned")

    def loss(self, features: Mapping[str, Tensor]) -> Tensor:
        r"""Return the smallest loss over all R, which features can be trained with.

        It is :math:`-\tau \sum_i \log \sum_{j \ne i} \exp(-\lVert f_i - f_j \rVert^2 / \tau)`, and its gradient in the
        features is that of `L` at the best R, held fixed.

        Args:
            features: As in `relations`.

        Returns:
            A float64 scalar `[]`.

        Raises:
            ConfigError: As in `relations`.
        """
        return -self.tau * self._scores(features).logsumexp(dim=1).sum()

    def _scores(self, features: Mapping[str, Tensor]) -> Tensor:
        """`[T, T]`: minus the squared distances in units of tau, and minus infinity on the diagonal."""
        _check(features)
        flat = [own.flatten().double() for own in features.values()]
        # Pair by pair: all differences at once would take T x T times the memory of one task's features.
        rows = [
            torch.stack(
                [one.new_tensor(-math.inf) if i == j else -(one - other).square().sum() / self.tau
                 for j, other in enumerate(flat)]
            )
            for i, one in enumerate(flat)
        ]  # fmt: skip
        return torch.stack(rows)


def _check(features: Mapping[str, Tensor]) -> None:
    problems = []
    if len(features) < 2:
        problems.append(
            f"relations are learned among at least two tasks, found {listing(features) or 'none'}."
        )
    if len({own.shape for own in features.values()}) > 1:
        shapes = ", ".join(f"{name!r} {list(own.shape)}" for name, own in features.items())
        problems.append(f"all tasks need features of one shape, found {shapes}.")
    problems += [
        f"the features of task {name!r} hold numbers that are not finite."
        for name, own in features.items()
        if not bool(own.isfinite().all())
    ]
    if problems:
        raise ConfigError(problems)
