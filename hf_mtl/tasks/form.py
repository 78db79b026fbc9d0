"""What a saved adapter must know of its task to answer: its kind, its labels, how an input becomes text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hf_mtl.data import Chat, PromptCompletion
from hf_mtl.errors import ConfigError
from hf_mtl.tasks.kinds import Declared, Kind, kind_of
from hf_mtl.tasks.task import Task

if TYPE_CHECKING:
    from hf_mtl.data import EndToken

__all__ = ["TaskForm"]


@dataclass(frozen=True)
class TaskForm:
    """A task without its rows, which goes into files and comes back.

    A template that is a function is not kept: such a task answers whole prompts only, and its `template` is None.

    Args:
        kind: The kind.
        declared: What the task declares.
        has_template: Whether `declared.template` is the task's.
        ends: The tokens that end its completions, where it writes and they are known.

    Example:
        >>> form = TaskForm(kind_of("text-classification"), Declared(labels=("bad", "good")))
        >>> TaskForm.of_content(form.content()) == form
        True
    """

    kind: Kind
    declared: Declared
    has_template: bool = True
    ends: tuple[EndToken, ...] = ()

    @classmethod
    def of(cls, task: Task, *, ends: tuple[EndToken, ...] = ()) -> TaskForm:
        """The form of a task."""
        return cls(task.own_kind, task.declared, _template_content(task.declared) is not None, ends)

    def content(self) -> dict[str, Any]:  # Any: plain JSON
        """As JSON."""
        declared = self.declared
        options = {field.name: _plain(vars(self.kind)[field.name]) for field in fields(self.kind)}  # type: ignore[arg-type]  # every kind is a dataclass
        return {
            "kind": {"name": self.kind.name, **options},
            "columns": dict(declared.columns),
            "labels": None if declared.labels is None else list(declared.labels),
            "numbers": declared.numbers,
            "template": _template_content(declared) if self.has_template else None,
            "max_length": declared.max_length,
            "ends": [end._asdict() for end in self.ends],
        }

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> TaskForm:  # Any: plain JSON
        """From JSON.

        Raises:
            ConfigError: If there is no such kind, or a part is not what it must be.
            KeyError: If a part is missing.
            TypeError: If a part is of another type.
        """
        from hf_mtl.data import EndToken

        labels, template = content["labels"], content["template"]
        declared = Declared(
            columns={str(role): str(column) for role, column in dict(content["columns"]).items()},
            labels=None if labels is None else tuple(map(str, labels)),
            numbers=bool(content["numbers"]),
            max_length=None if content["max_length"] is None else int(content["max_length"]),
            **({} if template is None else {"template": _template(template)}),
        )
        ends = tuple(EndToken(int(end["id"]), str(end["text"])) for end in content.get("ends", ()))
        return cls(kind_of(dict(content["kind"])), declared, template is not None, ends)


def _plain(value: object) -> object:
    """An option of a kind as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(own) for key, own in value.items()}
    return [_plain(own) for own in value] if isinstance(value, list | tuple) else value


def _template_content(declared: Declared) -> dict[str, Any] | None:
    template = declared.template
    if isinstance(template, PromptCompletion | Chat):
        return {field.name: _plain(vars(template)[field.name]) for field in fields(template)}
    return None


def _template(content: Mapping[str, Any]) -> PromptCompletion | Chat:
    for kind in (PromptCompletion, Chat):
        names = [field.name for field in fields(kind)]
        if names[0] in content and set(content) <= set(names):
            made: PromptCompletion | Chat = kind(**content)
            return made
    raise ConfigError(f"a template has the parts of PromptCompletion or of Chat, found {sorted(content)}.")
