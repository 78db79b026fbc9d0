"""What a recipe's task declares, as the objects that tasks are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError, listing
from hf_mtl.recipe.schema import TaskSpec, TemplateSpec

if TYPE_CHECKING:
    from hf_mtl.data import Chat, PromptCompletion
    from hf_mtl.metrics import MetricLike
    from hf_mtl.tasks import Kind

_CHAT = ("tools", "chat_template", "chat_template_kwargs")

__all__ = ["kind_of_spec", "label_column", "metrics_of", "template_of"]


def kind_of_spec(spec: TaskSpec) -> Kind:
    """The kind of a task; of one that says none, that of its template.

    Raises:
        ConfigError: If there is none of that name, or it has no such option.
    """
    from hf_mtl.tasks import kind_of

    if spec.kind is None:
        return kind_of("causal-lm")
    if not isinstance(spec.kind, str | Mapping):
        raise ConfigError(
            f"expected the name of a kind, or a mapping of name and options, found {spec.kind!r}."
        )
    return kind_of(spec.kind)


def label_column(spec: TaskSpec) -> str | None:
    """The column of a task's labels; None if its kind has none."""
    kind = kind_of_spec(spec)
    role = kind.label_role
    return None if role is None else spec.columns.get(role, kind.roles[role].column)


def metrics_of(spec: TaskSpec) -> tuple[MetricLike, ...] | None:
    """The metrics of a task; None for what is usual for its kind.

    Raises:
        ConfigError: If one is neither a name nor a mapping.
    """
    if spec.metrics is None:
        return None
    metrics: list[MetricLike] = []
    for metric in spec.metrics:
        if not isinstance(metric, str | dict):
            raise ConfigError(
                f"expected the name of a metric, or a mapping of name and options, found {metric!r}."
            )
        metrics.append(metric)
    return tuple(metrics)


def template_of(template: TemplateSpec) -> PromptCompletion | Chat:
    """Return the template that a recipe describes.

    Raises:
        ConfigError: It is neither prompt and completion nor a column of messages, or a text is no format string.
    """
    from hf_mtl.data import Chat, PromptCompletion

    chat = [name for name in _CHAT if name in template.model_fields_set]
    if template.messages is not None and template.prompt is None:
        if template.engine != "format":
            raise ConfigError("engine is for prompt and completion; a chat is rendered by its chat template.")
        options = {name: value for name, value in template if name in chat}
        return Chat(template.messages, template.completion, **options)
    if template.messages is None and template.prompt is not None and template.completion is not None:
        if chat:
            raise ConfigError(f"{listing(chat)} is for chats: give messages, the column of the conversation.")
        return PromptCompletion(template.prompt, template.completion, engine=template.engine)
    given = [name for name, value in template if value and name != "engine"]
    raise ConfigError(
        "expected either prompt and completion, or messages (the column of a chat), "
        f"found {listing(given) or 'nothing'}."
    )
