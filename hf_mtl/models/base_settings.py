"""The settings beside a base's weights, which may be a stranger's: looked at before anything is made of their values.

transformers makes layers and buffers of the sizes that it finds, and some values fail only where they are used, far
from their file. Of the values that decide how a base is built and read, each must be of the sort that models have.

>>> [*value_problems("tokenizer_config.json", {"model_max_length": "long", "padding_side": "left"})]
["model_max_length is 'long'; expected a whole number from 1"]
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from hf_mtl.bounded_json import MAX_BYTES, read_json, too_large
from hf_mtl.expressions import expression_problem

__all__ = ["CONFIG_FILE", "image_problems", "settings_problems", "value_problems"]

CONFIG_FILE: Final = "config.json"
Rule: TypeAlias = tuple[Callable[[object], bool], str]
"""Whether a value is right, and what is expected."""

_INDEX: Final = "model.safetensors.index.json"
_TEMPLATE: Final = "chat_template.jinja"
_FILES: Final = (
    CONFIG_FILE, "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "preprocessor_config.json", "processor_config.json", "chat_template.json", "hf_mtl_base.json", _INDEX, _TEMPLATE,
)  # fmt: skip
_MAX_INDEX_BYTES: Final = 4 * MAX_BYTES  # it names every tensor
_LARGEST_IMAGE: Final = 4096  # pixels of a side; what is read of one is some hundreds
_DTYPE: Final = re.compile(r"(torch\.)?(auto|half|float|double|b?float\d+(_\w+)?|u?int\d+)")
_MAX_TOKENS: Final = 10_000_000
_MOST_POSITIONS: Final = 1_000_000_000
# Of a quantised base: names of layers, which transformers tries as patterns, with these keys or after this mark.
_PATTERNS: Final = ("modules_to_not_convert", "llm_int8_skip_modules")
_MARK: Final = "re:"


def _whole(least: int, most: int) -> Rule:
    """A whole number, or some: a list with one for each layer, an object with one for each part."""

    def right(value: object) -> bool:
        values = (
            value if isinstance(value, list) else [*value.values()] if isinstance(value, dict) else [value]
        )
        return all(type(each) is int and least <= each <= most for each in values)

    return right, f"a whole number from {least:,} to {most:,}"


def _is_length(value: object) -> bool:
    """What transformers writes for "no limit" is 1e30, rounded or as a fraction."""
    return _is_above_zero(value) and value == int(value)  # type: ignore[call-overload]  # a number


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_above_zero(value: object) -> bool:
    return _is_finite(value) and value > 0  # type: ignore[operator]  # a number


def _is_token(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("content"), str))


def _is_number_of_token(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_TOKENS


def _are_added_tokens(value: object) -> bool:
    return isinstance(value, dict) and all(
        key.isdecimal()
        and _is_number_of_token(int(key[:20]))
        and isinstance(token, dict)
        and _is_token(token)
        for key, token in value.items()
    )


def _is_chat_template(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(template, str) for template in value.values())
    return isinstance(value, str) or (
        isinstance(value, list)
        and all(
            isinstance(each, dict) and all(isinstance(each.get(key), str) for key in ("name", "template"))
            for each in value
        )
    )


def _is_dtype(value: object) -> bool:
    if isinstance(value, dict):  # one for each part of a model
        return all(map(_is_dtype, value.values()))
    return isinstance(value, str) and _DTYPE.fullmatch(value) is not None


_TEXT: Final[Rule] = (lambda value: isinstance(value, str), "a text")
_TRUTH: Final[Rule] = (lambda value: isinstance(value, bool), "true or false")
_OBJECT: Final[Rule] = (lambda value: isinstance(value, dict), "an object")
_POSITIVE: Final[Rule] = (_is_above_zero, "a number above 0")
_POSITIONS: Final[Rule] = (  # MusicFlamingo has 1200.0
    lambda value: _is_length(value) and value <= _MOST_POSITIONS,  # type: ignore[operator]  # a number
    f"a whole number from 1 to {_MOST_POSITIONS:,}",
)
_SIDE: Final[Rule] = (lambda value: value in ("left", "right"), "'left' or 'right'")
_TOKEN: Final[Rule] = (_is_token, "a text, or an object with a text as its 'content'")
_TOKENS: Final = dict.fromkeys(
    [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")], _TOKEN
)

# Of a model and, in objects of their own, of its parts.
_CONFIG: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_hidden_groups"),
        _whole(1, 1_000),  # each is made; the deepest model has some hundreds
    ),
    **dict.fromkeys(
        ("encoder_layers", "decoder_layers", "num_decoder_layers", "num_encoder_layers"), _whole(0, 1_000)
    ),
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "num_attention_heads", "n_head", "num_heads", "num_key_value_heads"),
        _whole(1, 1_000_000),
    ),
    **dict.fromkeys(("intermediate_size", "head_dim", "d_ff", "d_kv", "n_inner"), _whole(0, 10_000_000)),
    **dict.fromkeys(("num_labels", "num_experts", "num_local_experts", "n_routed_experts"), _whole(0, 100_000)),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), _POSITIONS),
    **dict.fromkeys(("is_encoder_decoder", "tie_word_embeddings"), _TRUTH),
    **dict.fromkeys(
        ("text_config", "vision_config", "audio_config", "quantization_config", "rope_scaling", "rope_parameters",
         "id2label", "label2id"),
        _OBJECT,
    ),
    **dict.fromkeys(("dtype", "torch_dtype"), (_is_dtype, "the name of a dtype, such as 'bfloat16'")),
    **dict.fromkeys(("model_type", "tokenizer_class"), _TEXT),
    "vocab_size": _whole(1, _MAX_TOKENS),
    "type_vocab_size": _whole(0, 100_000),
    "num_channels": _whole(1, 1_000),
    "rope_theta": _POSITIVE,
    "return_dict": (lambda value: value is True, "true"),  # outputs are read by their names
}  # fmt: skip
_OTHERS: Final = (
    "quantization_config",
    "id2label",
    "label2id",
    "dtype",
    "torch_dtype",
)  # whose names mean something else
_TOKENIZER: Final[Mapping[str, Rule]] = {
    **_TOKENS,
    "model_max_length": (_is_length, "a whole number from 1"),
    "tokenizer_class": _TEXT,
    "chat_template": (_is_chat_template, "a text, or a list of objects with a 'name' and a 'template'"),
    "padding_side": _SIDE,
    "truncation_side": _SIDE,
    "added_tokens_decoder": (
        _are_added_tokens,
        f"an object of whole numbers from 0 to {_MAX_TOKENS:,}, each with an object that has a 'content'",
    ),
}
_RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    CONFIG_FILE: _CONFIG,
    "tokenizer_config.json": _TOKENIZER,
    "generation_config.json": {"eos_token_id": _whole(-1, _MAX_TOKENS)},
    "special_tokens_map.json": _TOKENS,
    "chat_template.json": {"chat_template": _TOKENIZER["chat_template"]},
}
_NUMBER_OF_TOKEN: Final[Rule] = (_is_number_of_token, f"a whole number from 0 to {_MAX_TOKENS:,}")


def settings_problems(folder: Path) -> list[str]:
    """Say what is wrong with the settings in a model's folder, of those files that are there."""
    return [
        problem for name in _FILES if (folder / name).is_file() for problem in _file_problems(folder / name)
    ]


def _file_problems(file: Path) -> Iterator[str]:
    try:
        if file.name == _TEMPLATE:
            _check_text(file)
            return
        most = _MAX_INDEX_BYTES if file.name == _INDEX else MAX_BYTES
        content: object = read_json(file, max_bytes=most, unique=False)
    except (OSError, ValueError) as error:
        yield f"{file.name}: {error!s:.300}"
        return
    if not isinstance(content, dict):
        yield f"{file.name}: expected a JSON object, found {content!r:.60}"
        return
    yield from (f"{file.name}: {problem}" for problem in value_problems(file.name, content))
    if file.name == CONFIG_FILE:
        yield from (f"{file.name}: {problem}" for problem in _pattern_problems(content))


def _check_text(file: Path) -> None:
    with file.open("rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(too_large(MAX_BYTES))
    raw.decode("utf-8")


def value_problems(name: str, content: Mapping[str, object], inside: str = "") -> Iterator[str]:
    """Say which values of a file of settings are of a wrong sort or size.

    Args:
        name: The file's name.
        content: What it holds.
        inside: The object in it that this is, with a dot behind.
    """
    rules = _RULES.get(name, {})
    if name == "added_tokens.json":
        rules = dict.fromkeys(content, _NUMBER_OF_TOKEN)
    for key, value in content.items():
        right, expected = rules.get(key, (None, ""))
        if isinstance(value, float) and math.isnan(value):
            yield f"{inside}{key:.80} is NaN; expected {expected or 'another value'}"
        elif right is not None and value is not None and not right(value) and not (inside and value == 0):
            yield f"{inside}{key:.80} is {_shown(value)}; expected {expected}"
        if isinstance(value, dict) and name == CONFIG_FILE and key not in _OTHERS:
            yield from value_problems(name, value, f"{inside}{key:.80}.")


def _pattern_problems(content: Mapping[str, object]) -> Iterator[str]:
    """Patterns of a quantised base that could be tried for ever."""
    for key, text in _texts(content.get("quantization_config"), ""):
        if key in _PATTERNS or text.startswith(_MARK):
            pattern = text.removeprefix(_MARK)
            if (problem := expression_problem(pattern, whole=False)) is not None:
                yield f"quantization_config: the pattern {pattern[:60]!r} is refused: {problem}"


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    """The texts in a value, and the keys in it that are patterns, each with the last key that leads to it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield "", name
            yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)


def image_problems(settings: Mapping[str, object]) -> Iterator[str]:
    """Say which settings of an image processor no image can be made by, as its `to_dict` gives them."""
    for name in ("size", "crop_size"):
        value = settings.get(name)
        sides = value if isinstance(value, dict) else {} if value is None else {"": value}
        for side, pixels in sides.items():
            right, expected = _whole(1, _LARGEST_IMAGE)
            if pixels is not None and not right(pixels):
                yield f"{name}{side and f'.{side}'} is {_shown(pixels)}; expected {expected}"
    for name in ("image_mean", "image_std"):
        value = settings.get(name)
        values = value if isinstance(value, list | tuple) else [] if value is None else [value]
        if not all(map(_is_finite if name == "image_mean" else _is_above_zero, values)):
            yield f"{name} is {_shown(value)}; expected numbers{'' if name == 'image_mean' else ' above 0'}"
    if settings.get("rescale_factor") is not None and not _is_finite(settings["rescale_factor"]):
        yield f"rescale_factor is {_shown(settings['rescale_factor'])}; expected a number"


def _shown(value: object) -> str:
    return f"{value:,}" if type(value) is int else f"{value!r:.60}"
