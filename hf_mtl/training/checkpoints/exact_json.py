"""JSON that gives back exactly what went in.

Python writes a finite float with as many digits as its bits need, so those round-trip by themselves (-0.0 too).
JSON has no other floats; an infinity or a NaN becomes an object with the one key `$float`, a NaN with its 64 bits,
because its sign and payload are bits as well. A key that starts with `$` gets a second one, so no document can be
mistaken for such an object. The text is strict JSON, which any reader takes.

    >>> dumps({"loss": float("inf"), "rate": 0.1, "$float": -0.0})
    '{"loss":{"$float":"inf"},"rate":0.1,"$$float":-0.0}'
    >>> loads(dumps({"loss": float("inf"), "rate": 0.1, "$float": -0.0}))
    {'loss': inf, 'rate': 0.1, '$float': -0.0}

What JSON would change silently (a tuple into a list, the key 1 into "1") is refused.
"""

from __future__ import annotations

import json
import math
import struct

from hf_mtl.errors import CheckpointError

__all__ = ["dumps", "loads"]

_FLOAT = "$float"
_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def dumps(value: object, *, where: str = "document") -> str:
    """Return the text of a value made of None, bool, int, float, str, lists and dictionaries with text keys.

    Args:
        value: The value.
        where: What messages call it.

    Raises:
        CheckpointError: If a part of it would not come back as it is.
    """
    return json.dumps(_encoded(value, where), allow_nan=False, separators=(",", ":"))


def _encoded(value: object, where: str) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: _name_of(value)}
    if isinstance(value, list):
        return [_encoded(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {_escaped(key, where): _encoded(item, f"{where}.{key}") for key, item in value.items()}
    raise CheckpointError(
        f"{where}: JSON keeps None, bool, int, float, str, list and dict exactly; found {type(value).__qualname__}. "
        f"Turn it into one of these, or save it as a tensor."
    )


def _escaped(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise CheckpointError(
            f"{where}: the keys of a JSON object are text; found {key!r}. Use str({key!r})."
        )
    return f"${key}" if key.startswith("$") else key


def _name_of(value: float) -> str:
    if math.isnan(value):
        return f"nan:{struct.pack('>d', value).hex()}"
    return "inf" if value > 0 else "-inf"


def loads(text: str) -> object:
    """Return the value whose text `dumps` made.

    Raises:
        ValueError: If the text is not of that form.
    """
    try:
        value: object = json.loads(text, object_hook=_decoded, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("its lists and objects are nested too deep") from None
    return value


def _decoded(found: dict[str, object]) -> object:
    if found.keys() == {_FLOAT}:
        return _float_of(found[_FLOAT])
    return {key.removeprefix("$"): value for key, value in found.items()}


def _float_of(name: object) -> float:
    if isinstance(name, str) and name in _INFINITIES:
        return _INFINITIES[name]
    if isinstance(name, str) and name.startswith("nan:") and len(name) == len("nan:") + 16:
        value: float = struct.unpack(">d", bytes.fromhex(name.removeprefix("nan:")))[0]
        return value
    raise ValueError(f"expected inf, -inf or nan with 16 hexadecimal digits, found {name!r}")


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
