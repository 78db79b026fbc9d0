"""Objectives whose options name relations of tasks: these may be a file, as they may in `sharing`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hf_mtl.objectives import Objective, ObjectiveLike, objective_of
from hf_mtl.relations import Relations

__all__ = ["suite_objective"]


def suite_objective(spec: ObjectiveLike, seed: int = 0) -> Objective:
    """The objective that is meant, as `objective_of` gives it.

    Args:
        spec: As there; the option `relations` may also be `Relations`, or a file that `Relations.save` wrote.
        seed: As there.

    Raises:
        ConfigError: As there.
        CheckpointError: The file holds no relations.

    Example:
        >>> near = Relations.given([[1.0, 0.5], [0.5, 1.0]], ["mood", "stars"])
        >>> suite_objective({"name": "relation_product", "relations": near}).name
        'relation_product'
    """
    if not isinstance(spec, Mapping):
        return objective_of(spec, seed)
    relations = spec.get("relations")
    if isinstance(relations, str | Path):
        relations = Relations.load(relations)
    if isinstance(relations, Relations):
        spec = {**spec, "relations": relations.table()}
    return objective_of(spec, seed)
