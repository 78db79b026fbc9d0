"""From the facts of a suite to the text of its cards."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import replace

from huggingface_hub import ModelCard
from jinja2 import Environment, StrictUndefined, Template

from hf_mtl.export.cards import prose, tables
from hf_mtl.export.cards.escaping import Verbatim, code, escaped, fenced
from hf_mtl.export.cards.facts import Setting, SuiteFacts, TaskFacts
from hf_mtl.export.cards.metadata import suite_metadata, task_metadata
from hf_mtl.export.cards.phrases import what_it_does
from hf_mtl.export.cards.places import Places
from hf_mtl.export.cards.snippets import Snippet, snippets_of, suite_snippets

__all__ = ["LOSS_CURVE_FILE", "suite_card", "task_card"]

LOSS_CURVE_FILE = "loss_curve.png"  # beside the card; the template names it

_TEMPLATE = "card.md.jinja"


def task_card(facts: SuiteFacts, task: TaskFacts, places: Places) -> str:
    """The card of one adapter.

    Args:
        facts: The suite.
        task: One of its tasks.
        places: Where things are on the Hub, as far as it is known.
    """
    others = [own for own in facts.tasks if own.name != task.name]
    text = _template().render(
        facts=facts,
        task=task,
        does=what_it_does(task),
        method=prose.method(task),
        parameters=None if task.parameters is None else f"{task.parameters:,}",
        base_link=prose.base_link(facts.base),
        summary=prose.summary(task),
        snippets=_blocks(snippets_of(facts, task, places)),
        prompt_block=_prompt_block(task.template),
        sources=[prose.source(rows) for rows in task.rows],
        data=tables.data_table(task),
        labels=tables.label_counts(task),
        samples=tables.samples_table(task),
        effort=prose.effort(task),
        settings=_settings_table(_settings_of(facts, task)),
        losses=prose.losses(task),
        results=tables.results_table(task) if task.figures else None,
        results_caption=prose.results_caption([task]),
        sisters=[_sister(task, other, places) for other in others],
        suite_link=_suite_link(facts, places),
        environment=_environment(facts),
        limits=prose.limits(facts, [task]),
        licence=prose.licence(facts, [task]),
    )
    return _whole(f"---\n{task_metadata(facts, task).to_yaml()}\n---\n\n{text}")


def suite_card(facts: SuiteFacts, places: Places) -> str:
    """The card of the whole suite."""
    text = _template().render(
        facts=facts,
        task=None,
        base_link=prose.base_link(facts.base),
        suite_results=tables.suite_results_table(facts, [_from_suite(task, places) for task in facts.tasks]),
        results_caption=prose.results_caption(
            [replace(task, figures=task.figures[:1]) for task in facts.tasks]
        ),
        snippets=_blocks(suite_snippets(facts, places)),
        settings=_settings_table(facts.settings),
        losses=any(len(task.losses) > 1 for task in facts.tasks),
        environment=_environment(facts),
        limits=prose.limits(facts, facts.tasks),
        licence=prose.licence(facts, facts.tasks),
    )
    return _whole(f"---\n{suite_metadata(facts).to_yaml()}\n---\n\n{text}")


def _template() -> Template:
    source = importlib.resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=False,  # for HTML; this is markdown, which `finalize` escapes
        finalize=lambda value: value if isinstance(value, Verbatim) else escaped(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(source)


def _whole(text: str) -> str:
    """The card as the Hub's own client reads and writes it, with single blank lines outside of code."""
    return str(ModelCard(_squeezed(text)))


def _squeezed(text: str) -> str:
    lines: list[str] = []
    fence = ""
    for line in text.rstrip().splitlines():
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line[: len(line) - len(line.lstrip("`"))]
        elif not line.strip() and lines and not lines[-1]:
            continue
        lines.append(line if fence else line.rstrip())
    return "\n".join(lines) + "\n"


def _blocks(snippets: Sequence[Snippet]) -> list[dict[str, str]]:
    return [{"title": own.title, "block": fenced(own.code, own.language)} for own in snippets]


def _prompt_block(template: Mapping[str, object] | None) -> Verbatim | None:
    if not template or "prompt" not in template:
        return None
    return fenced(f"{template['prompt']}⟦{template['completion']}⟧")


def _settings_of(facts: SuiteFacts, task: TaskFacts) -> list[Setting]:
    """An adapter's settings, its task's, and those of all tasks that it does not make itself."""
    own = {setting.name for setting in task.settings}
    own |= {"per_device_train_batch_size"} if "batch_size" in own else set()
    return [
        *task.adapter,
        *task.settings,
        *(setting for setting in facts.settings if setting.name not in own),
    ]


def _settings_table(settings: Sequence[Setting]) -> Verbatim | None:
    return tables.settings_table(settings) if settings else None


def _environment(facts: SuiteFacts) -> Verbatim | None:
    told = [f"{escaped(name)} {code(value)}" for name, value in facts.environment.items()]
    return Verbatim(f"{', '.join(told)}.") if told else None


def _sister(task: TaskFacts, other: TaskFacts, places: Places) -> Verbatim:
    told = escaped(other.about) if other.about else what_it_does(other).removeprefix("It ")
    return Verbatim(f"{_link_to(other, places, up='../' if task.folder else '')}: {told}")


def _from_suite(task: TaskFacts, places: Places) -> Verbatim:
    return _link_to(task, places, up="")


def _link_to(task: TaskFacts, places: Places, *, up: str) -> Verbatim:
    """A task's name, which leads to its card."""
    if task.name in places.tasks:
        return Verbatim(f"[{escaped(task.name)}](https://huggingface.co/{places.tasks[task.name]})")
    if task.folder is None:
        return escaped(task.name)
    if places.suite is not None and places.tasks:
        return Verbatim(
            f"[{escaped(task.name)}](https://huggingface.co/{places.suite}/tree/main/{task.folder})"
        )
    return Verbatim(f"[{escaped(task.name)}]({up}{task.folder}/README.md)")


def _suite_link(facts: SuiteFacts, places: Places) -> Verbatim:
    if places.suite is not None:
        return Verbatim(f"[{escaped(facts.name)}](https://huggingface.co/{places.suite})")
    return Verbatim(f"[{escaped(facts.name)}](../README.md)")
