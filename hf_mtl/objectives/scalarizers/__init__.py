"""Objectives that weigh the tasks' losses."""

from __future__ import annotations

from hf_mtl.objectives.scalarizers.dwa import DynamicWeightAverage
from hf_mtl.objectives.scalarizers.equal import Equal
from hf_mtl.objectives.scalarizers.geometric_mean import GeometricMean
from hf_mtl.objectives.scalarizers.gradient_norm import GradientNorm
from hf_mtl.objectives.scalarizers.gradnorm import GradNorm
from hf_mtl.objectives.scalarizers.random import RandomWeights
from hf_mtl.objectives.scalarizers.relation_product import RelationProduct
from hf_mtl.objectives.scalarizers.static import Static
from hf_mtl.objectives.scalarizers.uncertainty import Uncertainty

__all__ = [
    "DynamicWeightAverage",
    "Equal",
    "GeometricMean",
    "GradNorm",
    "GradientNorm",
    "RandomWeights",
    "RelationProduct",
    "Static",
    "Uncertainty",
]
