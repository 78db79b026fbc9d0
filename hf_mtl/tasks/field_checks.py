"""Whether the fields of a task are of the sorts that they may be, before anything is made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set

from hf_mtl.data import Chat, PromptCompletion

__all__ = ["sort_problems"]


def sort_problems(fields: Mapping[str, object]) -> Iterator[str]:
    """What is of another sort than its field takes.

    Args:
        fields: Those of a task, by name.
    """
    columns = fields["columns"]
    if not isinstance(columns, Mapping) or not all(isinstance(own, str) for own in columns.values()):
        yield f"columns must be a mapping of parts and names of columns, found {columns!r:.80}."
    template = fields["template"]
    if not (template is None or isinstance(template, PromptCompletion | Chat) or callable(template)):
        yield (
            f"template must be PromptCompletion(prompt, completion), Chat(column) or a function of a row, found "
            f"{template!r:.80}."
        )
    labels = fields["labels"]
    if not (labels is None or isinstance(labels, int | float) or _is_list_of_texts(labels)):
        yield f"labels must be a list of names, or their number, found {labels!r:.80}."
    metrics = fields["metrics"]
    if metrics is not None and (isinstance(metrics, str | Mapping) or not isinstance(metrics, Sequence)):
        yield f"metrics must be a list, such as ['accuracy'], found {metrics!r:.80}."
    metric, greater = fields["metric_for_best_model"], fields["greater_is_better"]
    if not (metric is None or isinstance(metric, str)):
        yield f"metric_for_best_model must be the name of a figure, such as 'accuracy', found {metric!r:.80}."
    if not (greater is None or isinstance(greater, bool)):
        yield f"greater_is_better must be True or False, found {greater!r:.80}."
    yield from _adapter_problems(fields["adapter"])


def _is_list_of_texts(value: object) -> bool:
    return (
        isinstance(value, Collection)
        and not isinstance(value, str | bytes | Mapping | Set)
        and all(isinstance(own, str) for own in value)
    )


def _adapter_problems(adapter: object) -> Iterator[str]:
    if adapter is None:
        return
    from peft import PeftConfig

    if not isinstance(adapter, PeftConfig):
        yield f"adapter must be a config object of peft, such as LoraConfig(r=8), found {adapter!r:.80}."
