"""A text from the command line as the input of a task: what its template reads, or a whole prompt."""

from __future__ import annotations

from hf_mtl.data import Chat, PromptCompletion, pattern_fields
from hf_mtl.errors import ConfigError, listing
from hf_mtl.tasks import TaskForm

__all__ = ["input_of_text"]


def input_of_text(task: str, form: TaskForm, text: str, *, raw: bool = False) -> object:
    """Return what a task is asked for a text.

    Args:
        task: The task's name, for messages.
        form: Its form.
        text: The one field of the prompt, the user's message in a chat, or what a kind with a private head reads.
        raw: The text is the whole prompt, to be continued as it is.

    Raises:
        ConfigError: If the template reads not exactly one field, or is not known, or `raw` has no meaning for the kind.

    Example:
        >>> from hf_mtl.tasks import CausalLM, Declared
        >>> form = TaskForm(CausalLM(), Declared(template=PromptCompletion("{lemma}:", " {past}")))
        >>> input_of_text("past tense", form, "walk")
        {'lemma': 'walk'}
        >>> input_of_text("past tense", form, "walk:", raw=True)
        'walk:'
    """
    if form.kind.shape is not None:
        if raw:
            raise ConfigError(
                f"task {task!r}: --raw is for tasks with a template; the kind {form.kind.name!r} reads the text as it "
                f"is. Leave --raw out."
            )
        return text
    if raw:
        return text
    template = form.declared.template
    if form.has_template and isinstance(template, Chat):
        return [{"role": "user", "content": text}]
    if form.has_template and isinstance(template, PromptCompletion):
        return {_field(task, template): text}
    raise ConfigError(
        f"task {task!r}: its template is not saved with the adapter, so it cannot be applied here. Write the whole "
        f"prompt and add --raw."
    )


def _field(task: str, template: PromptCompletion) -> str:
    fields = pattern_fields(template.prompt, template.engine)
    if len(fields) == 1:
        return fields[0]
    found = f"has the fields {listing(fields)}" if fields else "has no field"
    way = "with a column for each" if fields else "with any column"
    raise ConfigError(
        f"task {task!r}: the prompt {template.prompt!r} {found}, and --prompt fills one. Give rows with --input FILE "
        f"({way}), or the whole prompt with --raw."
    )
