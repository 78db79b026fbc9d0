"""What is asked of a decoder, and what it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from hf_mtl.bounds import COUNT, POSITIVE, SEED, Bounds
from hf_mtl.errors import ConfigError

__all__ = ["Event", "Finish", "Generation", "GenerationRequest", "GenerationSettings"]

_BOUNDS = {
    "max_new_tokens": COUNT,
    "temperature": POSITIVE.or_none(),
    "top_k": COUNT.or_none(),
    "top_p": Bounds(0, 1, above=True).or_none(),
    "repetition_penalty": POSITIVE.or_none(),
    "seed": SEED,
}

Finish = Literal["stop", "length"]
"""Why a text ended: at an end token or a stop string, or because it had its length."""


@dataclass(frozen=True)
class GenerationSettings:
    """How one request is answered.

    Args:
        max_new_tokens: Most tokens of the answer.
        temperature: Divides the logits before a token is drawn; None is greedy.
        top_k: Only so many of the likeliest tokens are drawn from; None is all.
        top_p: Only the likeliest tokens that have this probability together are drawn from; None is all.
        repetition_penalty: Divides the scores of tokens that have occurred; None is what the base's generation config
            says.
        seed: Of the request's own random numbers: what it draws does not depend on its neighbours.
        stop: The answer ends before the first of these texts.

    Raises:
        ConfigError: If a setting is out of its range, or has no effect.

    >>> GenerationSettings(max_new_tokens=8, temperature=0.7, top_p=0.9, seed=1).greedy
    False
    """

    max_new_tokens: int = 32
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if problems := _problems(self):
            raise ConfigError(problems)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken."""
        return self.temperature is None


def _problems(settings: GenerationSettings) -> list[str]:
    given = asdict(settings)
    problems = [
        f"GenerationSettings({name}={given[name]!r:.60}): expected {expected}."
        for name, bounds in _BOUNDS.items()
        if (expected := bounds.missed(given[name])) is not None
    ]
    if isinstance(settings.stop, str) or not all(settings.stop):
        problems.append(
            f"GenerationSettings(stop={settings.stop!r}): expected a tuple of texts that are not empty."
        )
    if settings.greedy and (settings.top_k is not None or settings.top_p is not None):
        problems.append(
            "GenerationSettings: top_k and top_p have no effect where the likeliest token is taken. Give a "
            "temperature, or leave them out."
        )
    return problems


@dataclass(frozen=True)
class GenerationRequest:
    """One text to be continued.

    Args:
        route: Whose adapters it goes through; None is the bare base.
        input_ids: The prompt's tokens (an encoder-decoder's input).
        settings: How it is answered.
        end_ids: Tokens that end the answer, beside those of the route's task, the tokenizer and the base.
    """

    route: str | None
    input_ids: tuple[int, ...]
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    end_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Generation:
    """An answer.

    Args:
        token_ids: What was written, an end token included.
        finish: Why it ended.
        text: The tokens as text, without special tokens, and without what a stop string cut off.
    """

    token_ids: tuple[int, ...]
    finish: Finish
    text: str = ""


@dataclass(frozen=True)
class Event:
    """One token of one answer.

    Args:
        request: The request's number, as `add` gave it.
        token_id: The token.
        text: What is new of the answer's text: whole characters only, so that it may lag behind the tokens. The pieces
            of an answer joined are its text.
        finish: Why the answer ended with this token; None if it goes on.
    """

    request: int
    token_id: int
    text: str
    finish: Finish | None
