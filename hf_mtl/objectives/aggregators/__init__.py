"""Objectives that change the tasks' gradients where they conflict."""

from __future__ import annotations

from hf_mtl.objectives.aggregators.pcgrad import PCGrad

__all__ = ["PCGrad"]
