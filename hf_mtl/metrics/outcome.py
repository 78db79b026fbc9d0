"""What one evaluated row tells the metrics."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """The model's answer to one row, as one forward pass gives it.

    Args:
        loss_sum: Sum over the learned tokens of their negative log-likelihood, in nats.
        tokens: How many tokens were learned.
        exact: Whether greedy decoding would give exactly the reference, end token included. Greedy decoding
            picks the most likely token after each prefix, so it gives the reference exactly when each
            reference token is the most likely one after the reference's own prefix; that takes no generation
            to find out.
        reference: The reference completion as text.
        predicted_ids: The most likely token at each learned place, given the reference before it.
        reference_ids: The learned tokens.
        ranked: The label whose completion is the most likely, for tasks that declare labels.
    """

    loss_sum: float
    tokens: int
    exact: bool
    reference: str
    ranked: str | None = None
    predicted_ids: tuple[int, ...] = ()
    reference_ids: tuple[int, ...] = ()
