"""Examples: what of a row goes into the model, and which of its tokens carry a loss."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["IGNORED", "Encoded", "Example"]

IGNORED = -100  # the label of a token without a loss, as in torch and transformers


@dataclass(frozen=True)
class Encoded:
    """One example's tokens.

    Args:
        input_ids: Token ids `[S]`.
        labels: For each token its own id where it is learned, else `IGNORED`; `[S]`, not shifted.
        truncated: Whether tokens were cut off at the end.
        merged: Whether the end of a prompt and the beginning of what is learned are one token, so that the prompt
            alone has another one there.
    """

    input_ids: list[int]
    labels: list[int]
    truncated: bool = False
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence of a row, with its labels.

    Args:
        input_ids: Token ids `[S]`; none for an image.
        label_positions: The places whose output is used, ascending; `[N]`.
        label_ids: What is to be predicted there, `[N]`; `IGNORED` where `targets` say it.
        targets: What is to be predicted for the sequence as a whole.
        weight: What it counts for in the task's mean loss; None for its number of labels.
        token_types: The token types `[S]` of a text pair; empty if all are 0.
        truncated: Whether the row does not fit whole.
        merged: Whether the end of the prompt and the beginning of what is learned are one token.
    """

    input_ids: list[int]
    label_positions: list[int]
    label_ids: list[int]
    targets: list[float] = field(default_factory=list)
    weight: float | None = None
    token_types: list[int] = field(default_factory=list)
    truncated: bool = False
    merged: bool = False

    @classmethod
    def next_token(cls, encoded: Encoded) -> Example:
        """Token `i` is predicted from the output at `i - 1`."""
        learned = [i for i in range(1, len(encoded.labels)) if encoded.labels[i] != IGNORED]
        return cls(
            encoded.input_ids,
            [i - 1 for i in learned],
            [encoded.labels[i] for i in learned],
            truncated=encoded.truncated,
            merged=encoded.merged,
        )
