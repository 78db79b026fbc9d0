"""Probes of a base: whether the rows of one task leave those of another alone, shown by running it."""

from hf_mtl.models.probes.probing import Finding, probe_isolation
from hf_mtl.models.probes.rows import Extent

__all__ = ["Extent", "Finding", "probe_isolation"]
