"""A base without its weights: what its configuration says and its tokenizer, which are enough to read a task's rows.

>>> base = ConfiguredBase.load("HuggingFaceTB/SmolLM2-135M-Instruct")  # doctest: +SKIP
>>> task.own_kind.examples(row, base.context(task.declared))           # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hf_mtl.models.base_facts import BaseFacts
from hf_mtl.models.media import medium_problems
from hf_mtl.models.text_assets import load_text_asset
from hf_mtl.tasks import Context, Declared, Kind, Processor

__all__ = ["ConfiguredBase"]


@dataclass(frozen=True)
class ConfiguredBase:
    """What a run knows of its base before any weight is loaded.

    Args:
        facts: What its configuration says.
        processor: The base's tokenizer or image processor.
    """

    facts: BaseFacts
    processor: Processor

    @classmethod
    def load(cls, source: str | Path) -> ConfiguredBase:
        """Load both from a Hub id, a folder or `asset:NAME`.

        Raises:
            ConfigError: If one of them is not there, or the base adds a loss of its own.
        """
        found = load_text_asset(str(source))
        if found is not None:
            return cls(*found)
        # The configurations of transformers bring torch with them.
        from hf_mtl.models.auxiliary_loss import refuse_auxiliary_loss
        from hf_mtl.models.base import facts_of, load_config, load_processor

        config = load_config(source)
        refuse_auxiliary_loss(config)
        return cls(facts_of(config), load_processor(source))

    def problems(self, kind: Kind) -> list[str]:
        """What is wrong with the base for a kind, as far as its configuration says."""
        facts = self.facts
        problems = medium_problems(
            kind, images=facts.images, base=f"{facts.model_type} model"
        ) or kind.base_problems(encoder_decoder=facts.encoder_decoder, decodes=facts.writes)
        if not problems and kind.shape is not None and facts.pool is None:
            problems = [
                f"private heads are not supported on {facts.model_type!r} bases; use a kind that the vocabulary head "
                f"serves, such as causal-lm or label-scoring."
            ]
        return problems

    def context(self, declared: Declared, *, virtual: int = 0) -> Context:
        """What a kind must know of the base, as `context_on` says it of a loaded one.

        Args:
            declared: What the task declares.
            virtual: The virtual tokens that the task's adapter puts before each sequence.
        """
        facts = self.facts
        return Context(
            declared,
            self.processor,
            facts.pool,
            None if facts.longest is None else facts.longest - virtual,
            encoder_decoder=facts.encoder_decoder,
            vocabulary=facts.vocabulary,
            image=facts.image,
            token_types=facts.token_types,
        )
