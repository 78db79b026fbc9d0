"""The picture in the design notes, held by reading the source: who may import whom, and what a file may hold.

The layers, each importing only from lower ones (rooms on one line are independent of each other):

    cli
    recipe
    training
    inference · export · evaluation
    models
    tasks
    data · adapters · heads · metrics · objectives · relations
    files
    errors and other modules at the top level
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "hf_mtl"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

LAYERS = (
    {"files"},
    {"data", "adapters", "heads", "metrics", "objectives", "relations"},
    {"tasks"},
    {"models"},
    {"inference", "export", "evaluation"},
    {"training"},
    {"recipe"},
    {"cli"},
)
GROUND = 0
HEIGHT = {room: height for height, rooms in enumerate(LAYERS, start=1) for room in rooms}

# The package's door offers names of all layers, and `python -m hf_mtl` is the command line.
DOORS = {PACKAGE, f"{PACKAGE}.__main__"}
FROM_DOOR = {"__version__"}  # what other modules may take from it

YAML_ROOMS = {"recipe", "cli"}
TRAINER_NAMES = ("Trainer", "TrainingArguments", "Callback", "Seq2SeqTrain")
TRAINER_MODULES = ("transformers.trainer", "transformers.training_args")

MAX_FILE, MAX_FILE_OF = 300, {f"{PACKAGE}.training.trainer": 400}
MAX_FUNCTION = 60


@dataclass(frozen=True)
class Import:
    """`from module import name`, or `import module` with an empty name."""

    module: str
    name: str
    line: int


@dataclass(frozen=True)
class Module:
    """One source file of the package."""

    name: str
    path: Path

    @property
    def room(self) -> str:
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(self._imports())

    def _imports(self) -> Iterator[Import]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, "", node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (Import(self._source(node), alias.name, node.lineno) for alias in node.names)

    def _source(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.path.name == "__init__.py" else self.name.split(".")[:-1]
        base = package[: len(package) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT.parent)}:{line}"


def modules() -> Iterator[Module]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
        yield Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path)


MODULES = list(modules())
NAMES = {module.name for module in MODULES}


def target(item: Import) -> str | None:
    """Return the module of the package that an import means, or None for other packages."""
    if item.module.split(".")[0] != PACKAGE:
        return None
    longer = f"{item.module}.{item.name}"
    return longer if longer in NAMES else item.module


def height(name: str) -> int:
    parts = name.split(".")
    return HEIGHT.get(parts[1], GROUND) if len(parts) > 1 else GROUND


def wrong_direction(module: Module) -> Iterator[str]:
    if module.name in DOORS:
        return
    for item in module.imports:
        name = target(item)
        if name is None:
            continue
        where = module.at(item.line)
        if name == PACKAGE:
            if item.name not in FROM_DOOR:
                yield f"{where} imports {item.name or PACKAGE!r} from the package's door; name its room"
            continue
        room = name.split(".")[1]
        if room == module.room:
            continue
        if height(name) > height(module.name):
            yield f"{where} imports {name}, which is above {module.room}; move the shared part down"
        elif height(name) == height(module.name) != GROUND:
            yield f"{where} imports {name}, a neighbour of {module.room}; join the two in a higher layer"


def foreign_yaml(module: Module) -> Iterator[str]:
    if module.room in YAML_ROOMS:
        return
    for item in module.imports:
        if item.module.split(".")[0] == "yaml":
            yield f"{module.at(item.line)} imports yaml; only recipe/ and cli/ do, pass plain values instead"


def foreign_trainer(module: Module) -> Iterator[str]:
    if module.room == "training":
        return
    message = "only training/ touches the Trainer of transformers, use what hf_mtl.training offers"
    for item in module.imports:
        if item.module.startswith(TRAINER_MODULES) or (
            item.module == "transformers" and any(word in item.name for word in TRAINER_NAMES)
        ):
            yield f"{module.at(item.line)} imports {item.name or item.module}; {message}"
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or ast.unparse(node.value) != "transformers":
            continue
        if any(word in node.attr for word in TRAINER_NAMES):
            yield f"{module.at(node.lineno)} uses transformers.{node.attr}; {message}"


def too_long(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    limit = MAX_FILE_OF.get(module.name, MAX_FILE)
    if lines > limit:
        yield f"{module.at(1)} has {lines} lines, {limit} are allowed; one concept per file, so take one out"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION:
                where = module.at(node.lineno)
                yield f"{where} {node.name} has {length} lines, {MAX_FUNCTION} are allowed; name its steps"


def probing(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) > 2):
            where = module.at(node.lineno)
            yield f"{where} probes with {node.func.id}; ask the type (isinstance) or declare the attribute"


def broad_except(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
            continue
        caught = (
            [""]
            if node.type is None
            else [part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)]
        )
        if {"", "Exception", "BaseException"}.intersection(caught):
            where = module.at(node.lineno)
            yield f"{where} swallows every error; name those that you expect, or end with raise"


def postponed(module: Module) -> Iterator[str]:
    for number, line in enumerate(module.text.splitlines(), start=1):
        if any(word in line for word in ("TODO", "FIXME", "XXX")):
            yield f"{module.at(number)} postpones something; do it, or file an issue and delete the line"


RULES = (wrong_direction, foreign_yaml, foreign_trainer, too_long, probing, broad_except, postponed)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps(rule: Callable[[Module], Iterator[str]]) -> None:
    problems = [problem for module in MODULES for problem in rule(module)]
    assert not problems, "\n" + "\n".join(problems)


def test_every_room_has_a_layer() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    strangers = sorted(rooms - set(HEIGHT))
    assert not strangers, f"{strangers}: give each new room its place in LAYERS, and in the picture above it"


def test_every_room_is_a_package() -> None:
    folders = {path.parent for path in ROOT.rglob("*.py")}
    missing = sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists())
    assert not missing, f"add __init__.py to {missing}"


def test_no_import_cycles() -> None:
    graph = {
        module.name: {target(item) or "" for item in module.imports} & NAMES - {module.name}
        for module in MODULES
        if module.name not in DOORS
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other, move what they share into one below: {error.args[1]}")


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (wrong_direction, "data.rows", "from hf_mtl.tasks import Task"),
        (wrong_direction, "data.rows", "from hf_mtl import tasks"),
        (wrong_direction, "data.rows", "def f():\n    import hf_mtl.models.routed"),
        (
            wrong_direction,
            "data.rows",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli import x",
        ),
        (wrong_direction, "data.rows", "from hf_mtl.adapters import routing"),
        (wrong_direction, "export.folder", "from hf_mtl.evaluation import report"),
        (wrong_direction, "errors", "import hf_mtl.data"),
        (wrong_direction, "cli.train", "from hf_mtl import Task"),
        (foreign_yaml, "tasks.task", "import yaml"),
        (foreign_trainer, "models.routed", "from transformers import AutoModel, TrainerCallback"),
        (foreign_trainer, "models.routed", "from transformers.trainer_utils import x"),
        (foreign_trainer, "models.routed", "import transformers\ntransformers.TrainingArguments()"),
        (too_long, "data.rows", "\n" * 301),
        (too_long, "data.rows", "def f():\n" + "    x = 1\n" * 60),
        (probing, "data.rows", "hasattr(x, 'y')"),
        (probing, "data.rows", "getattr(x, 'y', None)"),
        (broad_except, "data.rows", "try:\n    f()\nexcept:\n    pass"),
        (broad_except, "data.rows", "try:\n    f()\nexcept (ValueError, Exception):\n    pass"),
        (postponed, "data.rows", "x = 1  # TO" + "DO later"),
    ],
)
def test_rules_catch(rule: Callable[[Module], Iterator[str]], name: str, source: str) -> None:
    assert len(list(rule(invented(name, source)))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cli.train", "import yaml\nfrom hf_mtl.recipe import load\nfrom hf_mtl import __version__"),
        (
            "training.trainer",
            "from transformers import Trainer\nfrom hf_mtl.models import routed" + "\n" * 390,
        ),
        ("tasks.task", "from hf_mtl.errors import ConfigError\nfrom . import suite\nfrom ..data import rows"),
        ("models.base", "from transformers import AutoModelForCausalLM\ngetattr(x, name)"),
        ("data.rows", "try:\n    f()\nexcept BaseException:\n    clean()\n    raise"),
    ],
)
def test_rules_allow(name: str, source: str) -> None:
    assert not [problem for rule in RULES for problem in rule(invented(name, source))]


def invented(name: str, source: str) -> Module:
    """Return a module that exists only in this test, already parsed."""
    module = Module(f"{PACKAGE}.{name}", ROOT / (name.replace(".", "/") + ".py"))
    vars(module)["text"] = source
    return module
