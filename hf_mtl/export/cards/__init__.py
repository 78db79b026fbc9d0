"""Model cards: one per adapter and one per suite, rendered from one JSON file by one template.

    write_cards("runs/quickstart")                             # before it is on the Hub
    write_cards("runs/quickstart", Places("me/quickstart"))    # one repository with a folder per task

>>> task = TaskFacts("topics", "text-classification", "AutoModelForSequenceClassification", outputs=4)
>>> facts = SuiteFacts("mine", BaseFacts("someone/base"), (task,))
>>> task_card(facts, facts.tasks[0], Places()).splitlines()[1]
'base_model: someone/base'
"""

from hf_mtl.export.cards.counting import TaskData, data_of
from hf_mtl.export.cards.facts import (
    FACTS_FILE,
    BaseFacts,
    Figure,
    RowsFacts,
    Setting,
    SplitNumbers,
    SuiteFacts,
    TaskFacts,
)
from hf_mtl.export.cards.places import Places
from hf_mtl.export.cards.rendering import LOSS_CURVE_FILE, suite_card, task_card
from hf_mtl.export.cards.saved import saved_task
from hf_mtl.export.cards.settings import differing
from hf_mtl.export.cards.writing import CARD_FILE, card_texts, refresh_cards, write_cards

__all__ = [
    "CARD_FILE",
    "FACTS_FILE",
    "LOSS_CURVE_FILE",
    "BaseFacts",
    "Figure",
    "Places",
    "RowsFacts",
    "Setting",
    "SplitNumbers",
    "SuiteFacts",
    "TaskData",
    "TaskFacts",
    "card_texts",
    "data_of",
    "differing",
    "refresh_cards",
    "saved_task",
    "suite_card",
    "task_card",
    "write_cards",
]
