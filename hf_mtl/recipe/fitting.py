"""Whether the adapters and heads of a recipe's tasks fit its base, found without the base's weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError, listing
from hf_mtl.recipe.plain_settings import fits_any_base
from hf_mtl.recipe.schema import Recipe

if TYPE_CHECKING:
    from peft import PeftConfig

    from hf_mtl.heads import HeadSpec
    from hf_mtl.models.planning import EmptyBase
    from hf_mtl.tasks import Declared, Kind
    from hf_mtl.training.owners import Shapes

__all__ = ["Fit", "fit", "fits_for_certain"]


@dataclass(frozen=True)
class Fit:
    """How the adapters of a recipe stand on its base.

    Args:
        problems: What building the model would refuse.
        shapes: By owner, a task or `shared/<adapter>`, the shapes of its parameters as a checkpoint names them; of
            owners that fit.
        unchecked: What is seen with the base's weights, or with the network, only.
    """

    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    shapes: dict[str, Shapes] = field(default_factory=dict)


def fits_for_certain(recipe: Recipe) -> bool:
    """Whether every base that the library has as an asset takes the adapters of a recipe."""
    usual = Recipe()
    return (
        recipe.sharing == usual.sharing
        and recipe.model.adapters is None
        and all(fits_any_base(task.adapter) for task in recipe.tasks.values())
    )


def fit(recipe: Recipe, kinds: Mapping[str, tuple[Kind, Declared]]) -> Fit:
    """Plan the adapters on a base without weights; of adapters that are the same, one.

    Args:
        recipe: A recipe that `load_recipe` has checked.
        kinds: The kinds of the tasks that are looked at, and what they declare.

    Raises:
        CheckpointError: If the adapters to go on with cannot be loaded.
        ConfigError: If no adapter can be placed on such a base.
    """
    from hf_mtl.adapters.lora import NO_DORA_ON_8BIT
    from hf_mtl.models.planning import EmptyBase
    from hf_mtl.recipe.peft_configs import peft_config
    from hf_mtl.tasks import sharing_of
    from hf_mtl.tasks.adapter_field import default_adapter
    from hf_mtl.training.owners import SHARED, called_like_shared

    base, found = EmptyBase.load(recipe.model.source or recipe.model.id), Fit()
    there = _taken(found, base, recipe, kinds)
    configs: dict[str, PeftConfig] = {
        name: peft_config(task.adapter) if task.adapter else default_adapter()
        for name, task in recipe.tasks.items()
    }
    plan = sharing_of(recipe.sharing).plan_of(configs, tuple(configs))
    for adapter, config in plan.shared.items():
        if SHARED + adapter in configs:
            found.problems.append(called_like_shared(SHARED + adapter))
        if adapter not in there:
            _plan(found, base, {SHARED + adapter: adapter}, config, None)
    heads = {name: kind.head(declared) for name, (kind, declared) in kinds.items() if name not in there}
    for users, own, head in _alike({name: plan.private[name] for name in heads}, heads):
        if recipe.model.quantization == "8bit" and vars(own).get("use_dora"):
            found.problems.append(f"adapter {users[0]!r}: {NO_DORA_ON_8BIT}")
        _plan(found, base, dict(zip(users, users, strict=True)), own, head)
    return found


def _taken(
    found: Fit, base: EmptyBase, recipe: Recipe, kinds: Mapping[str, tuple[Kind, Declared]]
) -> Collection[str]:
    """The routes of the finished run that a recipe goes on from, each compared with the task of its name."""
    if recipe.model.adapters is None:
        return ()
    from hf_mtl.models.placing import check_route
    from hf_mtl.models.suites import SavedSuite

    model = base.take(SavedSuite.find(recipe.model.adapters))
    for name, (kind, declared) in kinds.items():
        if name in model.routes:
            try:
                check_route(model, name, kind, declared)
            except ConfigError as error:
                found.problems.extend(error.problems)
    return model.routes.keys()


def _alike(
    configs: Mapping[str, PeftConfig | None], heads: Mapping[str, HeadSpec | None]
) -> Iterator[tuple[list[str], PeftConfig, HeadSpec | None]]:
    """Tasks whose own adapters and heads are the same; those without an adapter of their own are left out."""
    users: dict[tuple[str, HeadSpec | None], list[str]] = {}
    for name, config in configs.items():
        if config is not None:
            users.setdefault((repr(config), heads[name]), []).append(name)
    for (_, head), names in users.items():
        config = configs[names[0]]
        assert config is not None
        yield names, config, head


def _plan(
    found: Fit, base: EmptyBase, owners: Mapping[str, str], config: PeftConfig, head: HeadSpec | None
) -> None:
    """Plan one adapter for owners, each with the name that its adapter has."""
    first = next(iter(owners.values()))
    if (tokenizer := vars(config).get("tokenizer_name_or_path")) and not Path(tokenizer).is_dir():
        found.unchecked.append(f"whether the adapter {first!r} fits the base: {tokenizer} may be on the Hub.")
        return
    try:
        planned = base.plan(first, config, head)
    except NotImplementedError:  # of torch, for what it computes with values alone
        found.unchecked.append(
            f"whether the adapter {first!r} fits the base: PEFT asks for the base's weights."
        )
        return
    except ConfigError as error:
        others = f" So it is with the adapters of {listing(list(owners)[1:])}." if len(owners) > 1 else ""
        found.problems.extend(f"{problem}{others}" for problem in error.problems)
        return
    shapes = {key: tuple(parameter.shape) for key, parameter in planned.parameters.items()}
    for owner, adapter in owners.items():
        found.shapes[owner] = {f"{adapter}:{key}": shape for key, shape in shapes.items()}
