"""What the configuration of a base says about reading rows for it."""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.heads import Pool
from hf_mtl.models.architectures import (
    ARCHITECTURES,
    Architecture,
    Values,
    image_of,
    pool_of,
    positions_of,
    token_types_of,
)

__all__ = ["BaseFacts"]


@dataclass(frozen=True)
class BaseFacts:
    """A base as far as rows are concerned.

    Args:
        model_type: Its architecture, as transformers names it.
        encoder_decoder: Whether it is an encoder-decoder.
        images: Whether it reads images.
        writes: Whether it is loaded with a vocabulary head.
        longest: Most tokens that it has positions for; None if there is no limit.
        vocabulary: How many token ids it has; None if it is not known.
        pool: Which states a head on sequences reads; None where the base can have none.
        image: Channels, height and width of the images that it reads; None if there is no fixed size.
        token_types: How many types of token it tells apart; None if it tells none apart, or it is not known.
    """

    model_type: str
    encoder_decoder: bool
    images: bool
    writes: bool
    longest: int | None
    vocabulary: int | None
    pool: Pool | None
    image: tuple[int, int, int] | None
    token_types: int | None

    @classmethod
    def of(cls, config: Values, *, images: bool, writes: bool) -> BaseFacts:
        """The facts that a configuration says.

        Args:
            config: The configuration.
            images: Whether transformers has an image classifier for it.
            writes: Whether `load_base` loads it with a vocabulary head.
        """
        model_type: str = config["model_type"]
        architecture = ARCHITECTURES.get(model_type, Architecture(packed=False))
        return cls(
            model_type,
            bool(config.get("is_encoder_decoder")),
            images,
            writes,
            positions_of(config, architecture),
            None if images else config.get("vocab_size"),
            pool_of(config, architecture),
            image_of(config, architecture),
            token_types_of(config),
        )
