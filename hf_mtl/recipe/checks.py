"""What a schema cannot see of a recipe: that names are known and parts fit.

The libraries that know the valid names (datasets, peft, transformers) are imported when a recipe is checked, not with
this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hf_mtl.data.read_once import reading_once
from hf_mtl.errors import CheckpointError, ConfigError, did_you_mean, listing
from hf_mtl.packages import BITSANDBYTES
from hf_mtl.paths import expanded, is_file, is_folder
from hf_mtl.recipe.document import Document
from hf_mtl.recipe.plain_settings import is_plain_training
from hf_mtl.recipe.recognised import is_encoder_decoder
from hf_mtl.recipe.schema import ASSET_PREFIX, Recipe, TaskSpec, merged_task
from hf_mtl.recipe.task_checks import TaskChecks
from hf_mtl.repo_ids import is_repo_id
from hf_mtl.setting_names import name_problems

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["Checked", "check"]

MANIFEST_FILE = "hf_mtl.json"  # as hf_mtl.export has it, whose import takes seconds


class Checked(NamedTuple):
    """What is wrong with a recipe, and its tasks with their defaults and with what was recognised in their rows."""

    problems: list[str]
    tasks: dict[str, TaskSpec]


def check(recipe: Recipe, document: Document) -> Checked:
    """Find everything that is wrong with a recipe of the right form.

    Args:
        recipe: The recipe, its defaults not merged yet.
        document: Where it was read from; its folder is what paths are relative to.
    """
    tasks: dict[str, TaskSpec] = {}
    encoder_decoder = is_encoder_decoder(recipe.model, document.path.parent)
    problems = [
        *_model_problems(recipe, document),
        *_training_problems(recipe, document),
        *_length_problems(recipe, document),
        *_sharing_problems(recipe, document),
        *_package_problems(recipe, document),
    ]
    if not recipe.output_dir.strip() and document.value(("output_dir",)) in (None, recipe.output_dir):
        problems.append(
            document.problem((), "output_dir is missing: the folder to write to, such as runs/my-tasks.")
        )
    if not document.value(("tasks",)):
        problems.append(
            document.problem((), "tasks is missing: name at least one task, with train and template.")
        )
    with reading_once():
        for name, task in recipe.tasks.items():
            checks = TaskChecks(name, task, recipe, document, encoder_decoder=encoder_decoder)
            problems += checks.problems()
            tasks[name] = checks.merged
    return Checked(problems, tasks)


def _model_problems(recipe: Recipe, document: Document) -> list[str]:
    model, problems = recipe.model, []
    folder = document.path.parent
    if not document.value(("model", "id")) and not document.value(("model", "source")):
        text = "id is missing: the base model's Hub id, such as HuggingFaceTB/SmolLM2-135M-Instruct, or its folder."
        problems.append(document.problem(("model",), text))
    elif model.id and not is_repo_id(model.id):
        text = f"expected a Hub id (owner/name), found {model.id!r}. For a folder: `model: ./folder`, or model.source."
        problems.append(document.problem(("model", "id"), text))
    if model.adapters is not None and not is_file(Path(model.adapters, MANIFEST_FILE)):
        text = (
            f"{model.adapters!r} is no folder of a finished run (it holds no {MANIFEST_FILE}); run the recipe that "
            f"makes it first, or name another."
        )
        problems.append(document.problem(("model", "adapters"), text))
    if model.source is not None and (text := _source_problem(model.source, model.id, folder)):
        problems.append(document.problem(("model", "source"), text))
    elif model.source is not None and not model.source.startswith(ASSET_PREFIX):
        problems += _weight_problems(folder / expanded(model.source), recipe, document)
    return problems


def _weight_problems(folder: Path, recipe: Recipe, document: Document) -> list[str]:
    """What `load_base` would refuse of a folder by the names of its files."""
    from hf_mtl.models.base_files import BaseFiles

    try:
        files = BaseFiles.of_folder(folder, where=recipe.model.source or str(folder))
        files.check(allow_pickle=recipe.model.allow_pickle)
    except ConfigError as error:
        return [document.problem(("model", "source"), text) for text in error.problems]
    return []


def _source_problem(source: str, hub_id: str, folder: Path) -> str:
    from hf_mtl.data.assets import ASSETS
    from hf_mtl.models.base_settings import settings_problems

    name = source.removeprefix(ASSET_PREFIX)
    if name == source:
        place = folder / expanded(source)
        if not is_folder(place):
            return f"there is no folder {str(place)!r:.500}."
        if not is_file(place / "config.json"):
            return f"{str(place)!r} holds no model: config.json is missing."
        found = "; ".join(settings_problems(place))
        return found and f"{str(place)!r}: {found}. Download or save the model again, or mend the file."
    models = {key: asset for key, asset in ASSETS.items() if asset.kind == "model"}
    if name not in models:
        return f"unknown asset {name!r}.{did_you_mean(name, models)} Valid: {listing(models)}."
    own = models[name].hub_id
    if own is not None and hub_id and own != hub_id:
        return f"{name!r} is a copy of {own!r}, but model.id is {hub_id!r}."
    return ""


def _training_problems(recipe: Recipe, document: Document) -> list[str]:
    tasks = _merged(recipe)
    optimizers = [task.optim for task in (recipe.defaults, *tasks.values())]
    if is_plain_training(recipe.training, optimizers):
        return []
    from hf_mtl.recipe.arguments import argument_problems

    problems: list[str] = []
    argument_problems(
        recipe.training,
        lambda path, text: problems.append(document.problem(("training", *path), text)),
        optimizers,
        [None if name_problems(vars(task)) else task.lr_scheduler_type for task in tasks.values()],
        {name: task.train.streaming for name, task in tasks.items() if task.train is not None},
    )
    return problems


def _merged(recipe: Recipe) -> dict[str, TaskSpec]:
    return {name: merged_task(task, recipe.defaults) for name, task in recipe.tasks.items()}


def _length_problems(recipe: Recipe, document: Document) -> list[str]:
    """Streams without a number of steps, and evaluations of nothing."""
    limit = recipe.training.get("max_steps")
    endless = not isinstance(limit, int) or limit <= 0
    tasks = _merged(recipe)
    problems = [
        document.problem(
            ("tasks", name),
            "its rows are a stream, whose length is not known; set its max_steps, or training.max_steps.",
        )
        for name, task in tasks.items()
        if task.train is not None and task.train.streaming and task.max_steps is None and endless
    ]
    strategy = recipe.training.get("eval_strategy", "no")
    measured = any(task.eval is not None or task.eval_fraction is not None for task in tasks.values())
    if strategy in ("steps", "epoch") and tasks and not measured:
        text = f"{strategy!r} measures tasks while they train, and none has eval rows; give them, or leave it out."
        problems.append(document.problem(("training", "eval_strategy"), text))
    return problems


def _sharing_problems(recipe: Recipe, document: Document) -> list[str]:
    usual = Recipe()
    if (recipe.sharing, recipe.objective) == (usual.sharing, usual.objective):
        return []  # they fit any tasks
    from hf_mtl.tasks import sharing_of, suite_objective

    found: list[str] = []
    try:
        sharing = sharing_of(recipe.sharing)
        sharing.shared_by(list(recipe.tasks))
        if (adapters := _adapters(recipe)) is not None:
            sharing.plan_of(adapters, tuple(adapters))
    except ConfigError as error:
        found += error.problems
    except CheckpointError as error:  # of a file of relations
        found.append(str(error))
    problems = [document.problem(("sharing",), text.removeprefix("sharing: ")) for text in found]
    try:
        wrong = suite_objective(recipe.objective).problems(list(recipe.tasks))
    except ConfigError as error:
        wrong = list(error.problems)
    except CheckpointError as error:
        wrong = [str(error)]
    return problems + [document.problem(("objective",), text) for text in wrong]


def _adapters(recipe: Recipe) -> dict[str, PeftConfig] | None:
    """The tasks' adapters; None if one of them is wrong, which is reported where it stands."""
    from hf_mtl.recipe.peft_configs import peft_config
    from hf_mtl.tasks.adapter_field import default_adapter

    try:
        return {
            name: peft_config(task.adapter) if task.adapter else default_adapter()
            for name, task in _merged(recipe).items()
        }
    except (ConfigError, TypeError, ValueError):
        return None


def _package_problems(recipe: Recipe, document: Document) -> list[str]:
    """Packages that the model and the assets need and that are not here; kinds and metrics name theirs themselves."""
    from hf_mtl.data.assets import ASSETS, asset_problem
    from hf_mtl.recipe.asset_names import assets_of

    found = [(path, asset_problem(name)) for path, name in assets_of(document) if name in ASSETS]
    if (quantization := recipe.model.quantization) is not None:
        found.append((("model", "quantization"), BITSANDBYTES.problem(f"quantization={quantization!r}")))
    return [document.problem(path, text) for path, text in found if text is not None]
