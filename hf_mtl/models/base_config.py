"""The configuration of a base, which may be a stranger's: looked at before transformers makes anything of its size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from transformers import AutoConfig, PreTrainedConfig
from transformers.utils.hub import cached_file

from hf_mtl.bounded_json import read_json
from hf_mtl.expressions import expression_problem

__all__ = ["check_settings", "read_base_config"]

CONFIG_FILE = "config.json"

# What transformers makes one thing for each of: a layer, an expert, a name of a label.
_MOST: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers",
         "num_decoder_layers", "num_encoder_layers", "num_hidden_groups"),
        10_000,
    ),
    **dict.fromkeys(("num_labels", "num_experts", "num_local_experts", "n_routed_experts"), 100_000),
}  # fmt: skip
# Of a quantised base: names of layers, which transformers tries as patterns, with these keys or after this mark.
_PATTERNS: Final = ("modules_to_not_convert", "llm_int8_skip_modules")
_MARK: Final = "re:"
_SETTINGS: Final = (
    "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "preprocessor_config.json", "processor_config.json", "chat_template.json",
)  # fmt: skip


def read_base_config(located: str, **pinned: str | None) -> PreTrainedConfig:
    """Read a base's configuration.

    Args:
        located: A folder or a Hub id.
        pinned: The revision and the token, as transformers takes them.

    Raises:
        OSError: If there is none.
        ValueError: If it cannot be read, or asks for more of something than any base has.
    """
    folder = Path(located)
    file = folder / CONFIG_FILE if folder.is_dir() else Path(str(cached_file(located, CONFIG_FILE, **pinned)))
    if file.is_file():
        content = read_json(file, unique=False)
        if problems := [*_problems(content, ""), *_pattern_problems(content)]:
            raise ValueError(f"{CONFIG_FILE}: " + "; ".join(problems))
    check_settings(file.parent)
    config: PreTrainedConfig = AutoConfig.from_pretrained(located, trust_remote_code=False, **pinned)
    return config


def check_settings(folder: Path) -> None:
    """Check that the small JSON files of tokenizers and processors in a folder can be read, those that are there.

    Raises:
        ValueError: If one cannot be.
    """
    for name in _SETTINGS:
        if (folder / name).is_file():
            try:
                read_json(folder / name, unique=False)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error


def _problems(content: object, inside: str) -> Iterator[str]:
    """Absurd numbers, in the configurations of a model's parts too."""
    if not isinstance(content, dict):
        if not inside:
            yield f"expected an object, found {content!r:.60}"
        return
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _problems(value, f"{inside}{name}.")
        elif name in _MOST and isinstance(value, int) and value > _MOST[name]:
            yield f"{inside}{name} is {value:,}; expected at most {_MOST[name]:,}"


def _pattern_problems(content: object) -> Iterator[str]:
    """Patterns of a quantised base that could be tried for ever."""
    settings = content.get("quantization_config") if isinstance(content, dict) else None
    for key, text in _texts(settings, ""):
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
