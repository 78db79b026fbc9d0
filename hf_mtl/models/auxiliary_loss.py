"""Losses that a base adds to its own, beside that of its labels: those of a mixture of experts, which are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = ["refuse_auxiliary_loss"]

_SWITCH = "output_router_logits"


def refuse_auxiliary_loss(config: PreTrainedConfig) -> None:
    """Refuse to train on a base that is set to add a load-balancing loss.

    The stock model computes it of the shares of all tokens of a batch that each expert got (Fedus et al. 2021,
    https://arxiv.org/abs/2101.03961), which is no sum over sequences. In a mixed batch, one task's would depend on its
    neighbours; computed for each task alone, it would change with the cut into micro-batches.

    Raises:
        ConfigError: If it is, with what to set.
    """
    if config.get_text_config().to_dict().get(_SWITCH):
        raise ConfigError(
            f"The base's configuration has {_SWITCH}=True, which makes the stock {config.model_type!r} model add a "
            f"load-balancing loss over all tokens of a batch. Here a batch holds rows of several tasks, so each task's "
            f"loss would depend on its neighbours; this is not supported. Set {_SWITCH}=False: in "
            f"AutoModelForCausalLM.from_pretrained(..., {_SWITCH}=False), as base.config.{_SWITCH} = False, or in the "
            f"config.json of the base's folder. The frozen base's routers are not trained either way."
        )
