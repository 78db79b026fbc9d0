"""What came of a run, in some sentences of numbers."""

from __future__ import annotations

from collections.abc import Iterable

from hf_mtl.evaluation.page.comparison import delta_p, task_changes
from hf_mtl.evaluation.page.story import RunStory, main_score
from hf_mtl.evaluation.report import Score

__all__ = ["verdict"]

MOST_NAMES = 8  # of tasks in a sentence


def verdict(story: RunStory) -> tuple[str, ...]:
    """Return the sentences, the most important one first; each speaks of a task's first metric.

    Example:
        >>> from hf_mtl.evaluation import Score, TaskResult
        >>> done = TaskResult("a", scores=(Score("accuracy", constant=0.5, before=0.4, after=0.9, low=0.8, high=1.0),))
        >>> for sentence in verdict(RunStory("run", ("a",), results=(done,))):
        ...     print(sentence)
        1 of 1 task got better by training.
        1 of 1 task lies above the best constant answer with its whole 95 % interval.
    """
    return (*_results(story), *_generated(story), *_changes(story), *_incidents(story), *_speed(story))


def _results(story: RunStory) -> Iterable[str]:
    scores = [score for result in story.results if (score := main_score(result)) is not None]
    moved = [score for score in scores if score.before is not None and score.after is not None]
    if moved:
        better, worse = (sum(score.improved is wanted for score in moved) for wanted in (True, False))
        lost = f", {worse} got worse" if worse else ""
        same = len(moved) - better - worse
        stayed = f", {same} stayed the same" if same else ""
        yield f"{better} of {_tasks(len(moved))} got better by training{lost}{stayed}."
    elif story.tasks:
        yield f"{_tasks(len(story.tasks))}; no figures from before and after training."
    sure = [score for score in scores if None not in (score.constant, score.low, score.high) and score.metric]
    if sure:
        above = sum(_beats_constant(score) for score in sure)
        verb = "lies" if above == 1 else "lie"
        yield f"{above} of {_tasks(len(sure))} {verb} above the best constant answer with its whole 95 % interval."


def _generated(story: RunStory) -> Iterable[str]:
    """Where answers that were written do not bear out the figures of one forward pass."""
    for result in story.results:
        if result.generated is not None and result.generated.problem is not None:
            yield f"Generation does not bear out the exact matches of {result.task}: {result.generated.problem}"


def _beats_constant(score: Score) -> bool:
    if score.constant is None or score.low is None or score.high is None:
        return False
    return score.low > score.constant if score.greater_is_better else score.high < score.constant


def _changes(story: RunStory) -> Iterable[str]:
    means, mean = task_changes(story.changes), delta_p(story.changes)
    if mean is not None:
        gained = sum(change > 0 for change in means.values())
        yield (
            f"Against training alone, {gained} of {_tasks(len(means))} gained; the mean relative change is "
            f"{100 * mean:+.1f} %."
        )


def _incidents(story: RunStory) -> Iterable[str]:
    if story.incidents is None:
        return
    out = dict.fromkeys(incident.task for incident in story.incidents if incident.quarantined)
    count = len(story.incidents)
    told = "No incident" if not count else "1 incident" if count == 1 else f"{count} incidents"
    names = [*out][: MOST_NAMES if len(out) > MOST_NAMES + 1 else None]
    more = f" and {len(out) - len(names)} more" if len(out) > len(names) else ""
    yield f"{told}; in quarantine: {', '.join(names)}{more}." if out else f"{told}."


def _speed(story: RunStory) -> Iterable[str]:
    rounds = max((points[-1][0] for points in story.losses.values() if points), default=0)
    seconds = sum(result.seconds or 0.0 for result in story.results)
    if rounds:
        time = f" in {_duration(seconds)} of training" if seconds else ""
        yield f"{rounds:,} rounds{time}."


def _duration(seconds: float) -> str:
    """The time in its largest unit.

    >>> _duration(12.3), _duration(150.0), _duration(9000.0)
    ('12.3 s', '2.5 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
