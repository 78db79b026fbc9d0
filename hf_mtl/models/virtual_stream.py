"""A packed stream with the virtual tokens of its routes: prompts inside it, prefixes beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from hf_mtl.adapters import KeysValues, Prefix, Prompt, VirtualTokens
from hf_mtl.data import PackedBatch
from hf_mtl.data.packing import Segment
from hf_mtl.errors import ConfigError, listing

__all__ = ["VirtualStream", "check_stack", "lay_out"]


@dataclass(frozen=True)
class VirtualStream:
    """What the base runs on.

    Args:
        batch: The packed batch; its positions, label positions, lengths and segments count virtual tokens in,
            its `input_ids` do not hold them.
        own_lengths: Each sequence's length without virtual tokens.
        prompts: Each sequence's prompt, or None; empty if there is none at all.
        prefixes: Each sequence's prefix, or None; empty if there is none at all.
    """

    batch: PackedBatch
    own_lengths: tuple[int, ...]
    prompts: tuple[Prompt | None, ...] = ()
    prefixes: tuple[KeysValues | None, ...] = ()

    def inputs(self, embeddings: torch.nn.Module) -> dict[str, Tensor]:
        """The base's input: `input_ids [1, T]`, or `inputs_embeds [1, T, D]` if a sequence has a prompt."""
        if not self.prompts:
            return {"input_ids": self.batch.input_ids.unsqueeze(0)}
        tokens_TD: Tensor = embeddings(self.batch.input_ids)
        pieces = []
        for prompt, own_SD in zip(self.prompts, tokens_TD.split(self.own_lengths), strict=True):
            pieces += [own_SD] if prompt is None else [prompt.prompt_embeddings.to(own_SD.dtype), own_SD]
        return {"inputs_embeds": torch.cat(pieces).unsqueeze(0)}

    def own_tokens(self, states_TD: Tensor) -> Tensor:
        """Of the stream's states, those of the sequences' own tokens: the prompts' are left out."""
        if not self.prompts:
            return states_TD
        parts = zip(states_TD.split(self.batch.lengths), self.own_lengths, strict=True)
        return torch.cat([part_SD[-own:] for part_SD, own in parts])


def lay_out(batch: PackedBatch, virtual: Mapping[str, VirtualTokens]) -> VirtualStream:
    """Put virtual tokens to the sequences that own them.

    A prompt of `n` tokens goes in front of its sequence, inside the same segment, and everything behind moves on by
    `n`. A prefix takes no room in the stream; its sequence's positions begin at `n`, as in PEFT.

    Args:
        batch: A packed batch.
        virtual: The virtual tokens of those of its routes that have some.
    """
    if not virtual:
        return VirtualStream(batch, batch.lengths)
    owned = [virtual.get(route) for route, _ in batch.rows]
    prompts = tuple(tokens if isinstance(tokens, Prompt) else None for tokens in owned)
    states = {id(tokens): tokens.keys_values() for tokens in virtual.values() if isinstance(tokens, Prefix)}
    prefixes = tuple(states.get(id(tokens)) for tokens in owned)
    return VirtualStream(
        _moved(batch, owned, [0 if prompt is None else prompt.count for prompt in prompts]),
        batch.lengths,
        prompts=prompts if any(prompts) else (),
        prefixes=prefixes if any(prefixes) else (),
    )


def _moved(batch: PackedBatch, owned: list[VirtualTokens | None], inserted: list[int]) -> PackedBatch:
    """The batch with `inserted[i]` tokens in front of sequence `i`, and its positions begun where PEFT has them."""
    device = batch.position_ids.device
    lengths = tuple(length + n for length, n in zip(batch.lengths, inserted, strict=True))
    first = [
        0 if tokens is None else tokens.count - n for tokens, n in zip(owned, inserted, strict=True)
    ]  # a prefix's own positions are not in the stream, those of a prompt are
    borders = dict(
        zip(accumulate(batch.lengths, initial=0), accumulate(lengths, initial=0), strict=True)
    )  # where each border between two sequences has moved to
    shifts = torch.tensor(list(accumulate(inserted)))
    moved = shifts.repeat_interleave(torch.tensor(batch.label_counts)).to(device)
    return replace(
        batch,
        position_ids=torch.cat(
            [torch.arange(start, start + n, device=device) for start, n in zip(first, lengths, strict=True)]
        ),
        label_positions=batch.label_positions + moved,
        lengths=lengths,
        segments=tuple(Segment(s.route, borders[s.start], borders[s.stop]) for s in batch.segments),
        token_type_ids=_with_zeros(batch.token_type_ids, batch.lengths, inserted),
    )


def _with_zeros(types_T: Tensor | None, lengths: tuple[int, ...], inserted: list[int]) -> Tensor | None:
    """Token types with those of the prompts, 0, in front of each sequence's own."""
    if types_T is None:
        return None
    pieces = zip(types_T.split(lengths), inserted, strict=True)
    return torch.cat([piece for own, n in pieces for piece in (own.new_zeros(n), own)])


def check_stack(route: str, virtual: Mapping[str, float]) -> None:
    """Check the adapters with virtual tokens of a stack, given with their weights.

    Raises:
        ConfigError: If there are two, or one has a weight other than 1.
    """
    problems = [
        f"route {route!r}: the adapter {name!r} has virtual tokens, which cannot be weighted; expected the weight 1, "
        f"found {weight!r}."
        for name, weight in virtual.items()
        if weight != 1
    ]
    if len(virtual) > 1:
        problems.append(
            f"route {route!r}: a stack may hold one adapter with virtual tokens, found {listing(virtual)}. Leave all "
            f"but one out."
        )
    if problems:
        raise ConfigError(problems)
