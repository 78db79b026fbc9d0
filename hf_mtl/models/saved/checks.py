"""What is checked of a saved adapter before a model is touched: its sizes, its base, its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from peft import LoraConfig, PeftConfig, PromptLearningConfig
from torch import Tensor, nn

from hf_mtl.adapter_limits import MAX_RANK
from hf_mtl.errors import CheckpointError, SavedAdapterError, listing
from hf_mtl.models.base import BaseIdentity
from hf_mtl.models.quantisation import quantisation_of_note
from hf_mtl.models.saved.headers import TensorEntry
from hf_mtl.notices import logger_of

__all__ = ["check_base", "check_finite", "check_named_base", "check_sizes"]

logger = logger_of(__name__)

_LORA_A, _LORA_B, _PROMPT = "lora_A.weight", "lora_B.weight", "prompt_embeddings"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def check_sizes(header: Mapping[str, TensorEntry], config: PeftConfig, *, where: str) -> None:
    """Check declared sizes against each other, before memory is taken for any of them.

    Args:
        header: What the file of weights declares.
        config: The adapter's config.
        where: What messages call the adapter.

    Raises:
        CheckpointError: If ranks or numbers of virtual tokens are absurd, or not those of the config.
    """
    problems = list(_rank_problems(header))
    if isinstance(config, LoraConfig) and not problems:
        declared = {config.r, *(config.rank_pattern or {}).values()}
        found = {entry.shape[0] for key, entry in header.items() if key.endswith(_LORA_A) and entry.shape}
        if not found <= declared:
            problems.append(
                f"its weights have the ranks {sorted(found)}, and its config declares {sorted(declared)}."
            )
        elif not found:
            problems.append(f"its config is one of a LoRA, and its weights have no {_LORA_A}.")
    if isinstance(config, PromptLearningConfig):
        shapes = [entry.shape for key, entry in header.items() if key == _PROMPT]
        if not shapes or shapes[0][:1] != (config.num_virtual_tokens,):
            problems.append(
                f"its config declares {config.num_virtual_tokens} virtual tokens, and its weights have "
                f"{_PROMPT} {[list(shape) for shape in shapes] or 'not at all'}."
            )
    if problems:
        raise SavedAdapterError([f"{where}: {problem}" for problem in problems])


def _rank_problems(header: Mapping[str, TensorEntry]) -> list[str]:
    problems = []
    for key, first in header.items():
        second = header.get(key.removesuffix(_LORA_A) + _LORA_B)
        if not key.endswith(_LORA_A) or second is None or len(first.shape) != 2 or len(second.shape) != 2:
            continue  # what is missing or of another shape is found where the layers are known
        rank, widest = first.shape[0], max(first.shape[1], second.shape[0])
        if rank > min(MAX_RANK, widest):
            problems.append(
                f"{key} has the rank {rank}; expected at most {MAX_RANK}, and no more than the layer's width, {widest}."
            )
    return problems[:3]


def check_base(made_for: BaseIdentity, base: BaseIdentity, *, where: str) -> None:
    """Check that a base has the weights that an adapter was trained on, by their fingerprints.

    A base that is quantised in another way has another fingerprint; then its id decides.

    Args:
        made_for: The base of the adapter's manifest.
        base: The base at hand.
        where: What messages call the adapter.

    Raises:
        CheckpointError: If it has others.
    """
    if made_for.fingerprint == base.fingerprint:
        return
    ways = [quantisation_of_note(identity.note) for identity in (made_for, base)]
    if ways[0] != ways[1] and None not in (made_for.hub_id, base.hub_id):
        assert made_for.hub_id is not None and base.hub_id is not None
        if _same_id(made_for.hub_id, base.hub_id):
            trained, here = (way or "not quantised" for way in ways)
            logger.warning(
                "%s: the adapter was trained on a base that was %s, and this one is %s: its answers differ by the "
                "rounding. Measure them, or load the base as it was.", where, trained, here,
            )  # fmt: skip
            return
    raise CheckpointError(
        f"{where}: the adapter was trained on a base with the fingerprint {made_for.fingerprint} "
        f"({made_for.hub_id or made_for.source!r}), but the base at hand ({base.hub_id or base.source!r}) has "
        f"{base.fingerprint}: other weights, for which it was not made."
        + (f" The base was: {made_for.note}." if made_for.note else "")
        + " Load that base; or pass allow_other_base=True if you know that it fits."
    )


def check_named_base(named: object, base: BaseIdentity, *, where: str) -> None:
    """Check that an adapter without a manifest names the base at hand.

    Two bases of one shape take each other's adapters and answer wrongly, which nothing would find later; so another
    id is refused, where plain PEFT goes on.

    Args:
        named: What the adapter's config calls its base.
        base: The base at hand.
        where: What messages call the adapter.

    Raises:
        CheckpointError: If it names another.
    """
    if named is not None and not isinstance(named, str):
        raise CheckpointError(
            f"{where}: its config has base_model_name_or_path={named!r:.80}; expected the base's Hub id, or its folder."
        )
    if named and named in (base.hub_id, base.source):
        return
    comparable = named is not None and _HUB_ID.fullmatch(named) and base.hub_id is not None
    if not comparable:
        logger.warning(
            "%s: the adapter calls its base %r, which cannot be compared with the one at hand (%r). On other weights "
            "it answers wrongly: make sure that they are the same, and name the base with hub_id=... .",
            where, named, base.hub_id or base.source,
        )  # fmt: skip
        return
    assert named is not None and base.hub_id is not None
    if not _same_id(named, base.hub_id):
        raise CheckpointError(
            f"{where}: the adapter was made for the base {named!r}, and the base at hand is {base.hub_id!r}. Load "
            f"{named!r}; or pass allow_other_base=True if the two have the same weights."
        )


def _same_id(first: str, second: str) -> bool:
    """Whether two ids mean one repository; the oldest models had no user's name, and have been moved to one."""
    one, other = first.lower().split("/"), second.lower().split("/")
    return one == other or (len(one) != len(other) and one[-1] == other[-1])


def check_finite(
    parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], *, where: str
) -> None:
    """Check that all weights are finite in the dtype that they will have.

    Args:
        parameters: What they are for, with the same keys and shapes.
        tensors: The weights.
        where: What messages call the adapter.

    Raises:
        CheckpointError: With the keys and the number of those that are not.
    """
    counts = {
        key: int((~torch.isfinite(tensors[key].to(own.dtype))).sum()) for key, own in parameters.items()
    }
    bad = {key: count for key, count in counts.items() if count}
    if bad:
        worst = [f"{key} ({count})" for key, count in list(bad.items())[:5]]
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise CheckpointError(
            f"{where}: {sum(bad.values())} weights are not finite numbers, in {listing(worst)}{more}. The run that "
            f"made them failed; train it again, or ask its author."
        )
