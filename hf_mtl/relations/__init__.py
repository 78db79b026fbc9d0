"""How much tasks have in common: given, measured or learned, and the groups that come of it.

    >>> table = {"mood": {"stars": 0.9, "topic": 0.1}, "stars": {"topic": 0.2}}
    >>> near = Relations.given(table, ["mood", "stars", "topic"])
    >>> near.of("stars", "mood")
    0.9
    >>> groups_of(near, threshold=0.5)
    {'group-1': ('mood', 'stars'), 'group-2': ('topic',)}

Relations are made by hand (`Relations.given`), from the gradients of a run (`CosineMeter`), from results of single-task
runs (`pearson`) or from vectors that describe the tasks (`LearnedRelations`).
"""

from hf_mtl.relations.cosines import CosineMeter
from hf_mtl.relations.groups import groups_of
from hf_mtl.relations.learned import LearnedRelations
from hf_mtl.relations.pearson import pearson
from hf_mtl.relations.relations import Relations, Source

__all__ = ["CosineMeter", "LearnedRelations", "Relations", "Source", "groups_of", "pearson"]
