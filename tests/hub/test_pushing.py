"""The trainer's own pushes: `push_to_hub` and the strategies, with their meaning in transformers.

Every test trains in a process of its own, and so most are slow.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hub_control import HubClient, HubControl
from hub_store import READER, WRITER

from hf_mtl.recipe.arguments import argument_problems

REPO = "ada/out"
ADAPTERS = {
    "hf_mtl.json",
    "verbs/adapter_model.safetensors",
    "q-a/adapter_model.safetensors",
    "q-a/tokenizer.json",
}


def _checkpoints(hub: HubControl) -> set[str]:
    return {path.split("/")[0] for path in hub.files(REPO) if "checkpoint" in path.split("/")[0]}


def _no_stage(out: Path) -> bool:
    return not list(out.glob("_push-*"))


@pytest.mark.parametrize("when", ["now", "later"])
def test_a_push_by_hand(
    hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path, when: str
) -> None:
    out = tmp_path / "out"
    done = client.must("train", tiny_llama, out, {"save_strategy": "no", "max_steps": 1}, None, when)
    assert done["pushed"] == f"{hub.url}/{REPO}/commit/{hub.ask('repos')[REPO]['branches']['main']}"
    files = hub.files(REPO)
    assert files.keys() >= ADAPTERS and not _checkpoints(hub)
    assert hub.commits(REPO) == ["End of training"]
    assert set(json.loads(files["hf_mtl.json"])["forms"]) == {"verbs", "q&a"}
    for name in ("verbs/adapter_model.safetensors", "verbs/README.md", "README.md"):
        assert (out / name).read_bytes() == files[name]
    assert b'from_pretrained(base, "ada/out", subfolder="verbs")' in files["verbs/README.md"]
    assert _no_stage(out)


@pytest.mark.parametrize(
    ("strategy", "checkpoints", "messages"),
    [
        pytest.param("end", set(), ["Model save"], marks=pytest.mark.slow),
        (
            "every_save",
            set(),
            ["Training in progress, step 2", "Training in progress, step 4", "Model save"],  # with the cards
        ),
        pytest.param("all_checkpoints", {"checkpoint-2", "checkpoint-4"}, None, marks=pytest.mark.slow),
    ],
)
def test_strategies(
    hub: HubControl,
    client: HubClient,
    tiny_llama: Path,
    tmp_path: Path,
    strategy: str,
    checkpoints: set[str],
    messages: list[str] | None,
) -> None:
    changes = {
        "push_to_hub": True,
        "hub_strategy": strategy,
        "hub_private_repo": True,
        "hub_always_push": True,
    }
    changes |= {"hub_model_id": "out", "save_total_limit": 1}
    client.must("train", tiny_llama, tmp_path / "run", changes, None, "now")
    assert hub.ask("repos")[REPO]["private"] and hub.files(REPO).keys() >= ADAPTERS
    assert _checkpoints(hub) == checkpoints
    assert messages is None or hub.commits(REPO) == messages  # the last push found nothing new
    assert _no_stage(tmp_path / "run")
    assert not [path for path in hub.files(REPO) if path.endswith(("training_args.bin", ".pt", ".bin"))]


@pytest.mark.slow
def test_a_run_goes_on_from_the_hub(
    hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path
) -> None:
    """`last-checkpoint` of the middle of a run, fetched elsewhere, leads to where the run went itself."""
    changes: dict[str, Any] = {"push_to_hub": True, "hub_strategy": "checkpoint", "hub_model_id": REPO}
    changes |= {"hub_always_push": True}
    through = client.must("train", tiny_llama, tmp_path / "through", {"max_steps": 4})
    hub.fail(
        r"POST /api/models/ada/out/commit/", times=10_000, skip=2, status=403
    )  # only the first checkpoint arrives
    outcome = client.do("train", tiny_llama, tmp_path / "out", changes)
    assert outcome.done["weights"] == through["weights"]
    assert (
        "A push in the background failed, and the run goes on: Uploading to 'ada/out' failed"
        in outcome.printed
    )
    assert hub.commits(REPO) == ["Training in progress, step 2", "Training in progress, step 2, checkpoint"]
    assert _checkpoints(hub) == {"last-checkpoint"} and _no_stage(tmp_path / "out")
    client.must("fetch", REPO, tmp_path / "here", "last-checkpoint/*")
    last = tmp_path / "here" / "last-checkpoint"
    assert json.loads((last / "trainer_state.json").read_text())["global_step"] == 2
    assert (
        client.must("train", tiny_llama, tmp_path / "there", {}, str(last))["weights"] == through["weights"]
    )


@pytest.mark.slow
def test_a_push_under_way_is_not_disturbed(
    hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path
) -> None:
    """The next checkpoint does not wait for it, and is left out; the run ends when it has arrived."""
    hub.fail(r"POST /api/models/ada/out/preupload/", "stall")
    changes = {"push_to_hub": True, "hub_strategy": "every_save", "hub_model_id": REPO, "hub_token": READER}
    outcome = client.do("train", tiny_llama, tmp_path / "run", changes)
    assert (
        "the token of 'ada' may only read" in outcome.error
    )  # `hub_token` goes before the one that is logged in
    del changes["hub_token"]
    client.start("train", tiny_llama, tmp_path / "run", changes)
    hub.wait_for(lambda entry: entry["fault"] == "stall")
    end = tmp_path / "run" / "checkpoint-4" / "checkpoint.json"
    hub.wait_for(lambda _: end.exists())
    assert not hub.commits(REPO)
    hub.ask("heal")
    ended = client.end()
    assert (
        ended is not None
        and ended.done
        and "Waiting until the last checkpoint is on the Hub" in ended.printed
    )
    assert hub.commits(REPO) == ["Training in progress, step 2"]


@pytest.mark.slow
def test_a_branch(hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path) -> None:
    hub.ask("put", {"repo": REPO, "files": {}})
    hub.ask("branch", {"repo": REPO, "branch": "trial"})
    changes = {"save_strategy": "no", "max_steps": 1, "hub_model_id": REPO, "hub_revision": "trial"}
    client.must("train", tiny_llama, tmp_path / "run", changes, None, "now")
    assert hub.files(REPO, "trial").keys() >= ADAPTERS and not hub.files(REPO)
    outcome = client.do(
        "train", tiny_llama, tmp_path / "run", changes | {"hub_revision": "trail"}, None, True
    )
    assert (
        "HubError: Reading 'ada/out' on the Hub failed: it has no branch 'trail'; make it with"
        in outcome.error
    )


@pytest.mark.slow
def test_a_name_that_is_taken_is_found_before_training(
    hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path
) -> None:
    hub.ask("put", {"repo": REPO, "files": {"model.safetensors": "theirs"}})
    outcome = client.do("train", tiny_llama, tmp_path / "out", {"push_to_hub": True})
    assert (
        "ConfigError: 'ada/out' is taken by something else (it has no 'hf_mtl.json'; it holds"
        in outcome.error
    )
    assert not (tmp_path / "out" / "checkpoint-2").exists()


def test_a_recipe_holds_no_token() -> None:
    problems: list[str] = []
    argument_problems(
        {"push_to_hub": True, "hub_token": "hf_secret"},
        lambda path, text: problems.append(f"{'.'.join(path)}: {text}"),
    )
    assert problems == [
        "hub_token: a recipe is kept beside its results and shared; log in with `hf auth login`, or set HF_TOKEN."
    ]


RECIPE = """\
model: {{id: ada/tiny-llama, source: {model}, dtype: float32}}
output_dir: runs/tiny
defaults: {{adapter: {{r: 4, target_modules: all-linear}}, max_length: 64}}
tasks:
  past tense:
    train: verbs.jsonl
    eval: verbs.jsonl
    template: {{prompt: "{{lemma}}:", completion: " {{past}}"}}
training: {{max_steps: 2, per_device_train_batch_size: 3, save_steps: 1, use_cpu: true, push_to_hub: true,
  hub_strategy: checkpoint, hub_always_push: true}}
"""


@pytest.mark.slow
def test_two_processes_push_once(
    hub: HubControl, client: HubClient, tiny_llama: Path, two_tasks: Path
) -> None:
    """Only the first process speaks to the Hub."""
    recipe = RECIPE.format(model=tiny_llama).replace("runs/tiny", str(two_tasks / "tiny"))
    (two_tasks / "recipe.yaml").write_text(recipe.replace("max_steps: 2", "ddp_backend: gloo, max_steps: 2"))
    outcome = client.do("two_processes", two_tasks / "recipe.yaml")
    assert outcome.result == 0, outcome.printed
    messages = hub.commits("ada/tiny")
    assert messages[0] == "Training in progress, step 1" and len(messages) == len(set(messages))
    files = hub.files("ada/tiny")
    assert "hf_mtl.json" in files
    for name in ("past-tense/adapter_model.safetensors", "past-tense/README.md"):
        assert files[name] == (two_tasks / "tiny" / name).read_bytes()


@pytest.mark.slow
def test_a_recipe_pushes(hub: HubControl, client: HubClient, tiny_llama: Path, two_tasks: Path) -> None:
    """At every save, and at the end; and neither the run's folder nor the Hub holds the token."""
    recipe = RECIPE.format(model=tiny_llama).replace("runs/tiny", str(two_tasks / "tiny"))
    (two_tasks / "recipe.yaml").write_text(recipe)
    outcome = client.do("command", "train", two_tasks / "recipe.yaml")
    assert not outcome.error, outcome.printed
    assert hub.commits("ada/tiny")[:2] == [
        "Training in progress, step 1",
        "Training in progress, step 1, checkpoint",
    ]
    files = hub.files("ada/tiny")
    assert {
        "hf_mtl.json",
        "past-tense/adapter_config.json",
        "last-checkpoint/checkpoint.json",
    } <= files.keys()
    assert (
        files["past-tense/adapter_model.safetensors"]
        == (two_tasks / "tiny" / "past-tense" / "adapter_model.safetensors").read_bytes()
    )
    card = files["past-tense/README.md"].decode()
    assert 'from_pretrained(base, "ada/tiny", subfolder="past-tense")' in card and "your-name" not in card
    here = [path.read_bytes() for path in (two_tasks / "tiny").rglob("*") if path.is_file()]
    assert len(here) > 20 and not [
        content for content in (*here, *files.values()) if WRITER.encode() in content
    ]
