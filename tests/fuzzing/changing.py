"""How good bytes are changed: pieces cut out, doubled, moved and put in; and values of JSON replaced by strange ones."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

__all__ = ["changed_bytes", "changed_json"]

STRANGE: tuple[Any, ...] = (  # Any: plain JSON
    None, True, False, 0, -1, 1.5, 1e308, 10**30, "", "a", "\x1b[2J", "../../x", "\ud800", [], {}, [[]], [None], {"a": 1}, {"": None},
    "x" * 20_000, list(range(300)), float("nan"), float("inf"),
)  # fmt: skip


@st.composite
def changed_bytes(draw: st.DrawFn, seeds: tuple[bytes, ...], words: tuple[bytes, ...]) -> bytes:
    """A seed with up to eight changes."""
    raw = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.sampled_from((0, 0, 1, 2, 5, 20, 100))))
        middle = draw(
            st.one_of(
                st.sampled_from(words),
                st.binary(max_size=4),
                st.just(b""),
                st.just(raw[start:end] * 2),
                st.text(max_size=3).map(lambda text: text.encode("utf-8", "surrogatepass")),
            )
        )
        raw = raw[:start] + middle + raw[end:]
    return raw


@st.composite
def changed_json(draw: st.DrawFn, seed: bytes) -> bytes:
    """A document of JSON with one to three values or keys replaced."""
    content = json.loads(seed)
    for _ in range(draw(st.integers(1, 3))):
        content = _replaced(draw, content)
    return json.dumps(content).encode()


def _replaced(draw: st.DrawFn, value: Any) -> Any:  # Any: plain JSON
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(STRANGE))
    place = draw(st.integers(0, len(value) - 1))
    if isinstance(value, list):
        return [_replaced(draw, own) if i == place else own for i, own in enumerate(value)]
    keys = list(value)
    key = keys[place]
    if draw(st.integers(0, 4)) == 0:
        name = draw(st.sampled_from(["", "\x1b[2J", "x" * 20_000, *keys]))
        return {(name if own == key else own): inner for own, inner in value.items()}
    return {**value, key: _replaced(draw, value[key])}
