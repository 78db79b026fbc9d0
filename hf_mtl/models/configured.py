"""A base without its weights: the configuration and the tokenizer, which are enough to read a task's rows.

>>> base = ConfiguredBase.load("HuggingFaceTB/SmolLM2-135M-Instruct")  # doctest: +SKIP
>>> task.own_kind.examples(row, base.context(task.declared))           # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedConfig

from hf_mtl.heads import Pool
from hf_mtl.models.architectures import ARCHITECTURES, Architecture, image_of, pool_of, positions_of
from hf_mtl.models.auxiliary_loss import refuse_auxiliary_loss
from hf_mtl.models.base import load_config, load_processor, reads_images, writes_text
from hf_mtl.models.placing import medium_problems
from hf_mtl.tasks import Context, Declared, Kind, Processor

__all__ = ["ConfiguredBase"]


@dataclass(frozen=True)
class ConfiguredBase:
    """What a run knows of its base before any weight is loaded.

    Args:
        config: The base's configuration.
        processor: The base's tokenizer or image processor.
    """

    config: PreTrainedConfig
    processor: Processor

    @classmethod
    def load(cls, source: str | Path) -> ConfiguredBase:
        """Load both from a Hub id, a folder or `asset:NAME`.

        Raises:
            ConfigError: If one of them is not there, or the base adds a loss of its own.
        """
        config = load_config(source)
        refuse_auxiliary_loss(config)
        return cls(config, load_processor(source))

    def problems(self, kind: Kind) -> list[str]:
        """What is wrong with the base for a kind, as far as its configuration says."""
        model_type = self.config.model_type
        problems = medium_problems(
            kind, images=reads_images(self.config), base=f"{model_type} model"
        ) or kind.base_problems(
            encoder_decoder=bool(self.config.is_encoder_decoder), decodes=writes_text(self.config)
        )
        if not problems and kind.shape is not None and self._pool is None:
            problems = [
                f"private heads are not supported on {model_type!r} bases; use a kind that the vocabulary head serves, "
                f"such as causal-lm or label-scoring."
            ]
        return problems

    def context(self, declared: Declared, *, virtual: int = 0) -> Context:
        """What a kind must know of the base, as `context_on` says it of a loaded one.

        Args:
            declared: What the task declares.
            virtual: The virtual tokens that the task's adapter puts before each sequence.
        """
        longest = positions_of(self.config, self._architecture)
        return Context(
            declared,
            self.processor,
            self._pool,
            None if longest is None else longest - virtual,
            encoder_decoder=bool(self.config.is_encoder_decoder),
            vocabulary=None if reads_images(self.config) else self.config.to_dict().get("vocab_size"),
            image=image_of(self.config, self._architecture),
        )

    @property
    def _architecture(self) -> Architecture:
        return ARCHITECTURES.get(self.config.model_type, Architecture(packed=False))

    @property
    def _pool(self) -> Pool | None:
        return pool_of(self.config, self._architecture)
