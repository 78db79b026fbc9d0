"""The sentences of a card that depend on a run."""

from __future__ import annotations

from collections.abc import Iterable

from hf_mtl.data import count_reasons
from hf_mtl.export.cards.escaping import Verbatim, code, escaped
from hf_mtl.export.cards.facts import BaseFacts, RowsFacts, SuiteFacts, TaskFacts
from hf_mtl.export.cards.phrases import metric_name
from hf_mtl.export.cards.tables import interval, number
from hf_mtl.repo_ids import is_repo_id

__all__ = [
    "base_link",
    "effort",
    "hub_link",
    "licence",
    "limits",
    "losses",
    "method",
    "results_caption",
    "source",
    "summary",
]

_METHODS = {
    "LORA": "LoRA",
    "IA3": "(IA)³",
    "PREFIX_TUNING": "prefix-tuning",
    "PROMPT_TUNING": "prompt-tuning",
}
_FEW_ROWS = 300


def hub_link(repository: str, *, kind: str = "") -> Verbatim:
    """A link to the Hub; plain code where the text is no id.

    Args:
        repository: The id.
        kind: `datasets/` for a data set.
    """
    if not is_repo_id(repository):
        return code(repository)
    return Verbatim(f"[{escaped(repository)}](https://huggingface.co/{kind}{repository})")


def base_link(base: BaseFacts) -> Verbatim:
    """The base."""
    if base.hub_id is not None:
        return hub_link(base.hub_id)
    if base.asset is not None:
        return Verbatim(f"the base {code(base.asset)}")
    if base.folder is not None:
        return Verbatim(f"the base in the folder {code(base.folder)}, which is not on the Hub")
    return Verbatim("a base that is not on the Hub")


def method(task: TaskFacts) -> str:
    """The kind of adapter and its size."""
    named = _METHODS.get(task.peft_type, task.peft_type.lower().replace("_", " "))
    return f"A {named} adapter" + (f" of rank {task.rank}" if task.rank else "")


def summary(task: TaskFacts) -> Verbatim | None:
    """The main result in a sentence."""
    main = next((figure for figure in task.figures if figure.value is not None), None)
    if main is None:
        return None
    span = "" if main.low is None else f" (95 % interval {interval(main)})"
    rows = "" if task.evaluated_rows is None else f" on {task.evaluated_rows:,} held-out rows"
    before = "" if main.before is None else f"; before training {number(main.before)}"
    constant = "" if main.constant is None else f", the best constant answer {number(main.constant)}"
    return Verbatim(
        f"{escaped(metric_name(main.metric))}{rows}: **{number(main.value)}**{span}{before}{constant}."
    )


def source(rows: RowsFacts) -> Verbatim:
    """Where the rows of a split come from."""
    parts = [f"**{escaped(rows.split)}**:"]
    if rows.hub_id is not None:
        parts.append(hub_link(rows.hub_id, kind="datasets/"))
        parts += [f"from {escaped(rows.source)}"] if rows.source != rows.hub_id else []
    else:
        parts.append(escaped(rows.source))
    told = [("configuration", rows.config), ("split", rows.hub_split), ("revision", rows.revision)]
    details = [f"{name} {code(value)}" for name, value in told if value]
    details += [str(escaped(rows.drawn))] if rows.drawn else []
    details += [f"licence: {escaped(rows.licence)}"] if rows.licence else ["licence not stated"]
    if rows.nearest is not None:
        details.append(f"nearest on the Hub: {hub_link(rows.nearest, kind='datasets/')}")
    note = f" {escaped(rows.note[:1].upper() + rows.note[1:])}." if rows.note else ""
    skipped = ""
    if rows.skipped:
        skipped = f" Rows that could not be used were left out: {escaped(count_reasons(rows.skipped))}."
    return Verbatim(f"{' '.join(parts)} ({'; '.join(details)}).{note}{skipped}")


def effort(task: TaskFacts) -> str | None:
    """Steps, rows, tokens and time."""
    parts = [
        (task.steps, "{:,} optimizer steps"),
        (task.examples, "{:,} rows with repetitions"),
        (task.tokens, "{:,} tokens"),
        (task.seconds, "{:,.0f} seconds of the run's training time, by its share of the tokens"),
    ]
    told = [form.format(count) for count, form in parts if count is not None]
    return f"{', '.join(told)}." if told else None


def losses(task: TaskFacts) -> str | None:
    """Where the training loss came from and where it went; None for less than two points."""
    if len(task.losses) < 2:
        return None
    (first, start), (last, end) = task.losses[0], task.losses[-1]
    return f"Training loss: {number(start)} in round {first}, {number(end)} in round {last}."


def results_caption(tasks: Iterable[TaskFacts]) -> str:
    """How the figures are to be read."""
    tasks = list(tasks)
    keys = {figure.metric for task in tasks for figure in task.figures}
    heads = any(task.outputs is not None for task in tasks)
    before = "the base with a head of random weights" if heads else "the base without the adapter"
    told = [f"Before training: {before}."]
    if any(figure.low is not None for task in tasks for figure in task.figures):
        told.append("Interval: by bootstrap over the rows, of the figure after training.")
    if "exact_match" in keys and any(task.outputs is None for task in tasks):
        told.append(
            "Exact match asks for the whole answer and nothing behind it, so before training it mostly measures that "
            "the base does not know the format."
        )
    if "accuracy" in keys and any(task.outputs is None for task in tasks):
        told.append("Accuracy ranks the labels by likelihood.")
    if any(figure.alone is not None for task in tasks for figure in task.figures):
        told.append("Trained alone: the same task with the same settings and no other task.")
    return " ".join(told)


def limits(facts: SuiteFacts, tasks: Iterable[TaskFacts]) -> list[str]:
    """What a user must not expect."""
    tasks = list(tasks)
    told = [
        "It was measured on held-out rows of its own data only. On other texts, languages or formats expect less.",
        "What the base has learned, its errors and prejudices with it, is still there; nobody has looked into harmful "
        "answers.",
    ]
    if any(task.outputs is None and task.template for task in tasks):
        told.append(
            "The prompt's wording belongs to the task: with another one the answers are not those measured here."
        )
    if any(task.evaluated_rows is not None and task.evaluated_rows < _FEW_ROWS for task in tasks):
        told.append("The figures come from few rows; see the width of their intervals.")
    if any(task.chosen_by for task in tasks):
        told.append("The same rows chose the best weights, so the figures flatter a little.")
    if facts.base.quantization:
        told.append(
            f"It was trained on a base in {facts.base.quantization}; on a base in full precision figures differ."
        )
    if any(rows.numbers and rows.numbers.truncated for task in tasks for rows in task.rows):
        told.append("Some rows were longer than what the adapter read in one piece.")
    if facts.isolation is not None:
        told.append(
            f"On this base the tasks of a run are not isolated, so that another suite beside it would have given other "
            f"weights ({facts.isolation})."
        )
    return told


def licence(facts: SuiteFacts, tasks: Iterable[TaskFacts]) -> Verbatim:
    """The licences of adapter, base and data."""
    own = list(dict.fromkeys(task.licence for task in tasks))
    if own == [None]:
        adapter = "Its author has not stated a licence for the adapter's weights."
    else:
        named = ", ".join(str(escaped(each or "not stated")) for each in own)
        adapter = f"Adapter: {named}."
    base = facts.base.licence
    told = f"Base: {escaped(base)}." if base else "The base has a licence of its own; see its page."
    return Verbatim(f"{adapter} {told} The data have licences of their own, named with them.")
