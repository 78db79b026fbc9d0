"""What is supported on what: the table in docs/design.md is what models really take, and refusals say why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from peft import IA3Config, LoraConfig, PeftConfig, PeftType, PrefixTuningConfig, PromptTuningConfig
from tiny_bases import TESTED, Case

from hf_mtl.errors import ConfigError
from hf_mtl.models import ARCHITECTURES, RoutedModel

PEFT_TYPES = {"prefix": PeftType.PREFIX_TUNING, "prompt": PeftType.PROMPT_TUNING}
DESIGN = Path(__file__).resolve().parents[2] / "docs" / "design.md"


def _configs(case: Case) -> dict[str, PeftConfig]:
    """One config of each kind, by its name in the table."""
    names = list(case.layers.attention)
    return {
        "LoRA": LoraConfig(target_modules=names),
        "DoRA": LoraConfig(target_modules=names, use_dora=True),
        "(IA)^3": IA3Config(target_modules=names, feedforward_modules=[]),
        "own copy": LoraConfig(target_modules=names, modules_to_save=[case.layers.feedforward]),
        "prefix": PrefixTuningConfig(num_virtual_tokens=2),
        "prompt": PromptTuningConfig(num_virtual_tokens=2),
    }


def _refusals(case: Case) -> dict[str, str | None]:
    """What a model says to each kind; None where it takes it."""
    model = RoutedModel(case.base())
    said: dict[str, str | None] = {}
    for kind, config in _configs(case).items():
        try:
            model.add_adapter(kind, config)
            said[kind] = None
        except ConfigError as error:
            said[kind] = str(error)
    return said


def _documentation() -> str:
    """The table and the reasons; bases of one architecture must agree."""
    kinds = list(_configs(next(iter(TESTED.values()))))
    lines = [f"| base | batches | {' | '.join(kinds)} |", f"|---|---|{'---|' * len(kinds)}"]
    reasons = []
    for name, architecture in ARCHITECTURES.items():
        cases = [case for case in TESTED.values() if case.config.model_type == name]
        (taken,) = {tuple(kind for kind, said in _refusals(case).items() if said is None) for case in cases}
        answers = " | ".join("yes" if kind in taken else "no" for kind in kinds)
        lines.append(f"| {name} | {'packed' if architecture.packed else 'padded'} | {answers} |")
        reasons += [
            f"- {name}, {kind}: {architecture.refused[PEFT_TYPES[kind]]}."
            for kind in kinds
            if kind not in taken
        ]
    return "\n".join([*lines, "", *reasons])


def test_the_documented_table_is_what_models_take() -> None:
    documentation = _documentation()
    assert documentation in DESIGN.read_text(encoding="utf-8"), f"docs/design.md needs:\n{documentation}"


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        (
            "ModernBertModel",
            "prefix",
            "it takes no keys and values from outside, .*; PromptTuningConfig works",
        ),
        ("ModernBertForMaskedLM", "prefix", "it takes no keys and values from outside"),
        (
            "T5ForConditionalGeneration",
            "prefix",
            "needs a cache, which activation checkpointing drops",
        ),
        (
            "T5ForConditionalGeneration",
            "prompt",
            "on padded rows a prompt has to take part in padding and masks",
        ),
        ("ViTModel", "prefix", "this base reads pixels; plain PEFT fails on it too"),
        ("ViTModel", "prompt", "this base reads pixels; plain PEFT fails on it too"),
    ],
)
def test_refusals_say_why_and_what_works(name: str, kind: str, reason: str) -> None:
    said = _refusals(TESTED[name])[kind]
    expected = (
        rf"adapter '{kind}': P\w+TuningConfig is not supported on a {name}: .*{reason}.*LoraConfig, IA3Config"
    )
    assert said is not None and re.search(expected, said), said
