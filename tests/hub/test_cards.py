"""Every kind of card before the Hub's own validation, asked by the real client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_control import HubClient, HubControl
from made_up_suite import made_up_suite
from markdown_it import MarkdownIt

from hf_mtl.export import Manifest, read_adapter_folder
from hf_mtl.export.cards import BaseFacts, Places, SuiteFacts, saved_task, suite_card, task_card
from hf_mtl.tasks import Declared, TaskForm
from hf_mtl.tasks.kinds.causal_lm import CausalLM

REFERENCE = sorted((Path(__file__).parents[2] / "model_cards").rglob("README.md"))


def _refused(client: HubClient, cards: list[Path]) -> dict[str, str]:
    found: dict[str, str] = client.must("validate_cards", [str(path) for path in cards], token=None)
    return found


def test_the_cards_of_the_reference_runs(hub: HubControl, client: HubClient) -> None:
    assert len(REFERENCE) > 4 and _refused(client, REFERENCE) == {}
    assert len([entry for entry in hub.log() if entry["path"] == "/api/validate-yaml"]) == len(REFERENCE)


def test_cards_of_all_kinds(hub: HubControl, client: HubClient, tmp_path: Path) -> None:
    suite = made_up_suite()
    cards = [
        suite_card(suite, Places()),
        *(task_card(suite, task, Places("ada/suite")) for task in suite.tasks),
    ]
    paths = [tmp_path / f"{number}.md" for number in range(len(cards))]
    for path, card in zip(paths, cards, strict=True):
        path.write_text(card, encoding="utf-8")
    assert _refused(client, paths) == {}


def test_the_code_for_vllm_fetches_what_it_serves(
    hub: HubControl, client: HubClient, suite: Path, tmp_path: Path
) -> None:
    """All of it but vLLM itself: the folders that it is given are there, and no rank is above the one that is said."""
    manifest = Manifest.load(suite)
    tasks = [saved_task(suite, manifest, name, TaskForm(CausalLM(), Declared())) for name in manifest.tasks]
    served = [task.name for task in tasks if task.served_by_vllm]
    assert len(served) > 1
    client.must("push", suite, "ada", {})
    card = suite_card(
        SuiteFacts("my suite", BaseFacts("ada/tiny-llama"), tuple(tasks)), Places("ada/my-suite")
    )
    [code] = [own.content for own in MarkdownIt().parse(card) if own.type == "fence" and own.info == "bash"]
    arguments = client.must("shell", code, tmp_path / "here", token=None)
    assert arguments[:2] == ["serve", "ada/tiny-llama"]
    modules = arguments[arguments.index("--lora-modules") + 1 :]
    ranks = []
    for name, module in zip(served, modules, strict=True):
        own = tmp_path / "here" / module.split("=", 1)[1]
        assert (
            read_adapter_folder(own)[1].keys() == read_adapter_folder(suite / manifest.tasks[name])[1].keys()
        )
        ranks.append(json.loads((own / "adapter_config.json").read_text())["r"])
    assert int(arguments[arguments.index("--max-lora-rank") + 1]) >= max(ranks)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("license: mit", "license: my-own", "must be one of"),
        ("- someone/rows", "- a b/c", "must name repositories, found 'a b/c'"),
        ("pipeline_tag: text-generation", "pipeline_tag: writing", "found 'writing'"),
        ("      type: text-generation", "      kind: text-generation", "cannot be parsed"),
    ],
)
def test_the_validation_finds_what_is_wrong(
    hub: HubControl, client: HubClient, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    suite = made_up_suite()
    card = task_card(suite, suite.tasks[0], Places())
    assert card.count(old) >= 1
    path = tmp_path / "README.md"
    path.write_text(card.replace(old, new), encoding="utf-8")
    assert problem in _refused(client, [path])[str(path)]
