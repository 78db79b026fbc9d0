"""Every verb of the program, where none of the extras is installed."""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hub_control import HubControl
from plain_install import ROOT, PlainInstall

pytestmark = [pytest.mark.slow, pytest.mark.wheel, pytest.mark.timeout(1800)]

Done = subprocess.CompletedProcess[str]
LEFT_OUT = "Pictures are left out; they need matplotlib: pip install 'hf-mtl[plots]'"
EXTRAS = (
    "matplotlib", "PIL", "bitsandbytes", "gguf", "torchjd", "sacrebleu", "rouge_score", "tensorboard", "tensorboardX",
    "wandb", "evaluate", "pytest",
)  # fmt: skip


def _must(done: Done) -> Done:
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def trained(plain: PlainInstall, folder: Path) -> tuple[Path, Done]:
    done = _must(plain.run("train", "recipe.yaml", cwd=folder))
    return folder / "runs" / "tiny", done


def test_the_extras_are_really_absent(plain: PlainInstall, tmp_path: Path) -> None:
    code = "import importlib.util as u, json, sys, hf_mtl; print(json.dumps([hf_mtl.__file__, [n for n in sys.argv[1:]"
    (tmp_path / "absent.py").write_text(f"{code} if u.find_spec(n)]]))\n", encoding="utf-8")
    home, present = json.loads(plain.script(tmp_path / "absent.py", *EXTRAS, cwd=tmp_path))
    assert present == []
    assert Path(home).is_relative_to(plain.python.parents[1])


def test_recipes_are_listed_copied_and_validated(plain: PlainInstall, tmp_path: Path) -> None:
    listed = _must(plain.run("recipes", "list", cwd=tmp_path)).stdout
    names = sorted(path.parent.name for path in (ROOT / "recipes").glob("*/recipe.yaml"))
    assert sorted(re.findall(r"^(\S+)", listed, re.MULTILINE)) == names
    _must(plain.run("recipes", "copy", "nlu", "mine", cwd=tmp_path))
    done = _must(plain.run("recipes", "validate", "mine/recipe.yaml", cwd=tmp_path))
    first = done.stdout.splitlines()[
        0
    ]  # then what could not be looked at: what is not fetched is not downloaded
    assert re.fullmatch(
        r"mine/recipe\.yaml: valid, tasks sentiment, entities, answers(, \d+ rows tokenised)?", first
    )


def test_a_copied_recipe_names_the_extra_that_it_needs(plain: PlainInstall, tmp_path: Path) -> None:
    _must(plain.run("recipes", "copy", "quickstart", "mine", cwd=tmp_path))
    for arguments in (("recipes", "validate", "mine/recipe.yaml"), ("train", "mine/recipe.yaml")):
        done = plain.run(*arguments, cwd=tmp_path)
        assert done.returncode == 2 and "pip install 'hf-mtl[quickstart]'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    done = plain.run("recipes", "fetch", "nlu", "vision", cwd=tmp_path)
    assert done.returncode == 2 and "pip install 'hf-mtl[vision]'" in done.stderr
    assert "Downloading" not in done.stderr  # of what the first recipe names


def test_train_leaves_everything_but_pictures(trained: tuple[Path, Done]) -> None:
    run, done = trained
    assert (done.stdout + done.stderr).count("matplotlib") == 1
    assert done.stdout.splitlines()[0] == LEFT_OUT  # before the work
    for name in (
        "report.json",
        "hf_mtl.json",
        "recipe.yaml",
        "log.json",
        "mixture.json",
        "data.json",
        "cards.json",
    ):
        assert (run / name).is_file(), name
    for place in (run, run / "words", run / "past-tense"):
        card = (place / "README.md").read_text(encoding="utf-8")
        assert "loss_curve" not in card and "## Limits" in card
    assert not list(run.rglob("*.png"))
    assert done.stdout.splitlines()[-1] == "  model = PeftModel.from_pretrained(base, 'runs/tiny/words')"
    assert not re.search("losses: ", done.stdout)


def test_a_picture_of_an_earlier_run_does_not_stay(
    plain: PlainInstall, trained: tuple[Path, Done], folder: Path
) -> None:
    out = folder / "runs" / "again"
    for place in (out, out / "words"):
        place.mkdir(parents=True)
        (place / "loss_curve.png").write_bytes(b"of an earlier run")
    done = plain.run("train", "recipe.yaml", "--smoke", "--output-dir", out, cwd=folder)
    written = Path(f"{out}-smoke") if Path(f"{out}-smoke").exists() else out
    assert done.returncode == 0, done.stderr
    assert (written / "report.json").is_file() and not (written / "words" / "loss_curve.png").exists()


def test_report_has_the_numbers(plain: PlainInstall, trained: tuple[Path, Done], folder: Path) -> None:
    done = _must(plain.run("report", "runs/tiny", "--output", "page", cwd=folder))
    assert done.stdout == "page/index.html\n" and done.stderr == f"{LEFT_OUT}\n"
    page = ElementTree.fromstring((folder / "page" / "index.html").read_text(encoding="utf-8"))
    sections = {section.get("id"): section for section in page.iter("section")}
    assert set(sections) == {"results", "incidents", "shares"}
    assert all(list(sections[part].iter("table")) for part in ("results", "shares"))
    assert not list(page.iter("figure")) and not list(page.iter("details"))
    told = ["".join(item.itertext()) for item in page.iter("li")]
    assert "not drawn: Training loss (its numbers are in story.json)" in told
    assert json.loads((folder / "page" / "story.json").read_text())["losses"]["words"]


def test_evaluate(plain: PlainInstall, trained: tuple[Path, Done], folder: Path) -> None:
    _must(plain.run("evaluate", "runs/tiny", "--transfer", cwd=folder))
    again, first = (
        json.loads((trained[0] / name).read_text())["results"] for name in ("evaluation.json", "report.json")
    )
    for was, now in zip(first, again, strict=True):
        assert [score["after"] for score in now["scores"]] == pytest.approx(
            [score["after"] for score in was["scores"]], rel=1e-6
        )


def test_predict(plain: PlainInstall, trained: tuple[Path, Done], folder: Path) -> None:
    done = _must(plain.run("predict", "runs/tiny", "--task", "words", "--prompt", "good", cwd=folder))
    assert json.loads(done.stdout)["prompt"] == "good is"


def test_relations_and_verify(plain: PlainInstall, trained: tuple[Path, Done], folder: Path) -> None:
    _must(plain.run("relations", "runs/tiny", cwd=folder))
    done = _must(plain.run("verify", "recipe.yaml", "--rounds", "2", cwd=folder))
    assert "Isolation holds for every task." in done.stdout


def test_compare(plain: PlainInstall, trained: tuple[Path, Done], folder: Path) -> None:
    shared = ("--set", "sharing=shared+private", "--seed", "0", "--output-dir", "compared")
    done = _must(plain.run("compare", "recipe.yaml", *shared, cwd=folder))
    assert (done.stdout + done.stderr).count("matplotlib") == 1
    assert done.stdout.splitlines()[0] == LEFT_OUT
    assert (folder / "compared" / "comparison.json").is_file()
    assert len(list((folder / "compared" / "runs").glob("*/report.json"))) == 2


def test_push(plain: PlainInstall, trained: tuple[Path, Done], folder: Path, hub: HubControl) -> None:
    hub.ask("reset")
    _must(plain.run("push", "runs/tiny", "--namespace", "ada", cwd=folder))
    files = hub.files("ada/tiny")
    assert {"README.md", "hf_mtl.json", "words/adapter_model.safetensors", "past-tense/README.md"} <= set(
        files
    )
    for name in ("words/adapter_model.safetensors", "past-tense/README.md"):
        assert files[name] == (trained[0] / name).read_bytes()


def test_train_and_push_in_one(plain: PlainInstall, folder: Path, hub: HubControl) -> None:
    hub.ask("reset")
    pushing = ("--set", "training.push_to_hub=true", "--set", "training.hub_model_id=ada/out")
    _must(plain.run("train", "recipe.yaml", "--output-dir", "runs/out", *pushing, cwd=folder))
    assert {"README.md", "hf_mtl.json", "words/README.md"} <= set(hub.files("ada/out"))
