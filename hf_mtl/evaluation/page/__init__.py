"""A run as one page that a person reads in a minute, its pictures, and the same data as JSON.

    from hf_mtl.evaluation.page import collect_story, write_page

    write_page(collect_story("runs/quickstart"), "runs/quickstart/report")

What a run has not is left out; the page's end says what would bring it.

    >>> story = RunStory("mine", ("sentiment",), losses={"sentiment": ((1, 0.7), (2, 0.4))})
    >>> story.has("losses"), story.has("transfer")
    (True, False)
    >>> verdict(story)
    ('1 task; no figures from before and after training.', '2 rounds.')
"""

from hf_mtl.evaluation.page.collecting import collect_story
from hf_mtl.evaluation.page.comparison import Change, changes_of, delta_p
from hf_mtl.evaluation.page.records import (
    COSINES_FILE,
    INCIDENTS,
    LOG,
    MIXTURE,
    RELATIONS_FILE,
    REPORT_FILE,
    SINGLE,
    STATE_FILE,
    TRANSFER,
    Incident,
    RecordFile,
    Share,
    numbers_of,
)
from hf_mtl.evaluation.page.rendering import PAGE_FILE, STORY_FILE, write_page
from hf_mtl.evaluation.page.story import RunStory, main_score
from hf_mtl.evaluation.page.verdict import verdict

__all__ = [
    "COSINES_FILE",
    "INCIDENTS",
    "LOG",
    "MIXTURE",
    "PAGE_FILE",
    "RELATIONS_FILE",
    "REPORT_FILE",
    "SINGLE",
    "STATE_FILE",
    "STORY_FILE",
    "TRANSFER",
    "Change",
    "Incident",
    "RecordFile",
    "RunStory",
    "Share",
    "changes_of",
    "collect_story",
    "delta_p",
    "main_score",
    "numbers_of",
    "verdict",
    "write_page",
]
