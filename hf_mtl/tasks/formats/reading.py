"""One way to read a task's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_mtl.data import Chat, PromptCompletion

__all__ = ["Reading"]


@dataclass(frozen=True)
class Reading:
    """One way to read a task's rows: a kind, and what its parts are.

    Args:
        kind: The name of the kind.
        form: The columns by what they are, as in `text + label`.
        used: The columns that are read.
        columns: By role, the column; for kinds with a private head.
        template: How a row becomes text; for kinds that the vocabulary head serves.
        options: Options of the kind.
    """

    kind: str
    form: str
    used: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    template: PromptCompletion | Chat | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def spec(self) -> str | dict[str, object]:
        """The kind as a recipe writes it."""
        return {"name": self.kind, **self.options} if self.options else self.kind

    @property
    def how(self) -> str:
        """How to choose this reading, in the words of a recipe."""
        if self.template is None:
            columns = ", ".join(f"{role}: {column}" for role, column in self.columns.items())
            return f"kind: {self.kind} with columns: {{{columns}}}"
        if isinstance(self.template, PromptCompletion):
            engine = "" if self.template.engine == "format" else f", engine: {self.template.engine}"
            texts = f"prompt: {self.template.prompt!r}, completion: {self.template.completion!r}"
            return f"template: {{{texts}{engine}}}"
        return f"template: {{messages: {self.used[0]}}}"
