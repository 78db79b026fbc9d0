"""What was pushed, loaded in another process: plain PEFT, transformers and hf_mtl, from the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hub_control import NAMES, HubClient, HubControl

from hf_mtl.export import folder_names, load_suite


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
        by_hf_mtl = client.must("suite_logits", "ada/folders", token=None)
    else:
        sources = {name: [f"ada/repositories-{place}"] for name, place in folder_names(NAMES).items()}
        by_hf_mtl = client.must("pinned_logits", "ada/repositories", token=None)
        for logits in client.must("auto_logits", "ada/repositories-mlp", token=None):
            _assert_equal({**by_hf_mtl, "mlp": logits}, wanted, 1e-5)
    _assert_equal(by_hf_mtl, wanted, 0.0)
    _assert_equal(client.must("plain_logits", "ada/tiny-llama", sources, token=None), wanted, 1e-5)
