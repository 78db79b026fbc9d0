"""What was pushed, loaded in another process: plain PEFT, transformers and hf_mtl, from the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hub_control import NAMES, HubClient, HubControl
from hub_store import READER
from safetensors.torch import load_file, save_file

from hf_mtl import MultiTaskPipeline
from hf_mtl.export import folder_names, load_suite

pytestmark = pytest.mark.slow  # every test pushes and loads in processes of their own


def _here(suite: Path, base: Path) -> dict[str, torch.Tensor]:
    model, tokens, found = load_suite(suite, base=base), torch.tensor([[5, 6, 7, 8]]), {}
    for name in NAMES:
        with torch.no_grad(), model.route(name) as routed:
            found[name] = routed(tokens).logits[0, -1]
    return found


def _assert_equal(found: dict[str, list[float]], wanted: dict[str, torch.Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, logits in found.items():
        assert (torch.tensor(logits) - wanted[name]).abs().max() <= tolerance, name
    values = list(wanted.values())
    assert all((values[0] - other).abs().max() > 1e-3 for other in values[1:])


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_eight_adapters_there_and_back(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path, layout: str
) -> None:
    wanted = _here(suite, tiny_llama)
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    client.must("push", suite, "ada", {"layout": layout, "name": layout})
    if layout == "folders":
        sources = {name: ["ada/folders", place] for name, place in folder_names(NAMES).items()}
    else:
        sources = {name: [f"ada/repositories-{place}"] for name, place in folder_names(NAMES).items()}
        for logits in client.must("auto_logits", "ada/repositories-mlp", token=None):
            assert (torch.tensor(logits) - wanted["mlp"]).abs().max() <= 1e-5
    by_hf_mtl = client.must("suite_logits", f"ada/{layout}", token=None)
    _assert_equal(by_hf_mtl, wanted, 0.0)
    _assert_equal(client.must("plain_logits", "ada/tiny-llama", sources, token=None), wanted, 1e-5)


@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_some_from_the_hub_beside_some_from_here(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path, layout: str
) -> None:
    wanted, places = _here(suite, tiny_llama), folder_names(NAMES)
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    pushed = client.must("push", suite, "ada", {"layout": layout, "name": "suite"})
    commit = pushed["suite"]["commit"]
    sources = {
        NAMES[0]: pushed["sources"][NAMES[0]],
        NAMES[1]: f"ada/suite@{commit}:{NAMES[1]}",
        NAMES[2]: str(suite / places[NAMES[2]]),
        NAMES[3]: f"{suite}:{NAMES[3]}",
    }
    found = client.must("chosen_logits", "ada/tiny-llama", sources, token=None)
    assert found.keys() == sources.keys()
    for name, logits in found.items():
        assert torch.equal(torch.tensor(logits), wanted[name]), name


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ada/nothing", "ada/nothing: the Hub has no such model repository"),
        ("ada/suite@trial", "has no branch, tag or commit 'trial'"),
        ("ada/suite:pears", "pears"),
        ("ada/tiny-llama", "adapter_config.json"),
    ],
)
def test_what_the_hub_does_not_have(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path, source: str, message: str
) -> None:
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    client.must("push", suite, "ada", {"name": "suite"})
    outcome = client.do("chosen_logits", "ada/tiny-llama", {"mine": source})
    assert outcome.error.startswith("SavedAdapterError: ") or outcome.error.startswith("CheckpointError: ")
    assert message in outcome.error and "mine" in outcome.error


def test_a_download_that_breaks_off_is_told_and_works_the_next_time(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path
) -> None:
    file = suite / folder_names(NAMES)[NAMES[0]] / "adapter_model.safetensors"
    # Weights that the client's cache does not hold yet.
    save_file({key: 2 * own for key, own in load_file(file).items()}, file, metadata={"format": "pt"})
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    source = client.must("push", suite, "ada", {"name": "suite"})["sources"][NAMES[0]]
    hub.fail("GET /.*/resolve/.*adapter_model.safetensors", "half", times=100)
    outcome = client.do("chosen_logits", "ada/tiny-llama", {"mine": source})
    assert outcome.error.split(":")[0] in ("SavedAdapterError", "CheckpointError"), outcome.printed
    hub.ask("heal")
    client.must("chosen_logits", "ada/tiny-llama", {"mine": source})


@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_a_pipeline_takes_the_tokenizer_that_lies_beside_the_adapters(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path, layout: str
) -> None:
    """Which may have a chat template of its own: of a whole suite, of one task of it, of a repository of its own."""
    places = folder_names(NAMES)
    for place in places.values():
        (suite / place / "chat_template.jinja").write_text(f"{{{{ messages[0].content }}}} of {place}")
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    pushed = client.must("push", suite, "ada", {"layout": layout, "name": "suite"})
    inputs = [[NAMES[1], "walk"], [NAMES[0], "run"]]
    wanted = MultiTaskPipeline.from_pretrained(suite, base=tiny_llama)(
        [(task, text) for task, text in inputs]
    )
    whole = client.must("pipeline_answers", "ada/suite", inputs, token=None)
    assert whole["answers"] == wanted and whole["template"].endswith(f"of {places[NAMES[0]]}")
    for source in {f"ada/suite:{NAMES[1]}", pushed["sources"][NAMES[1]]}:
        alone = client.must("pipeline_answers", source, inputs[:1], token=None)
        assert alone["answers"] == wanted[:1] and alone["template"].endswith(f"of {places[NAMES[1]]}")


def test_a_gated_repository(hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path) -> None:
    """It can be seen by all, and loaded by those who were let in."""
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    source = client.must("push", suite, "ada", {"name": "gated"})["sources"][NAMES[0]]
    hub.ask("put", {"repo": "ada/gated", "files": {}, "gated": True})
    for token in (None, READER):
        outcome = client.do("chosen_logits", "ada/tiny-llama", {"mine": source}, token=token)
        assert (
            "ada/gated: access is granted on request. Ask for it at https://huggingface.co/" in outcome.error
        )
        assert "mine" in outcome.error
    client.must("chosen_logits", "ada/tiny-llama", {"mine": source})
