"""What each route of a model answers to: its task's form where that is known, else what its head says."""

from __future__ import annotations

from collections.abc import Mapping

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.head_shapes import HeadShape
from hf_mtl.models import RoutedModel, base_problems
from hf_mtl.tasks import (
    CausalLM,
    Declared,
    ImageClassification,
    Kind,
    QuestionAnswering,
    Regression,
    Seq2SeqLM,
    TaskForm,
    TextClassification,
    TokenClassification,
)

__all__ = ["forms_of", "inferred_form"]


def forms_of(model: RoutedModel, known: Mapping[str, TaskForm]) -> dict[str, TaskForm]:
    """The form of every route that can answer.

    Args:
        model: The routed model.
        known: The forms of those routes whose tasks are known.

    Raises:
        ConfigError: If a form is for no route, or does not fit the base or the route's head.
    """
    problems = [problem for name, form in known.items() for problem in _problems(model, name, form)]
    if problems:
        raise ConfigError(problems)
    forms = {name: known.get(name) or inferred_form(model, name) for name in model.routes}
    return {name: form for name, form in forms.items() if form is not None}


def _problems(model: RoutedModel, name: str, form: TaskForm) -> list[str]:
    if name not in model.routes:
        hint = did_you_mean(name, model.routes)
        return [
            f"there is a form for {name!r}, but no such adapter or route; the model has {listing(model.routes)}.{hint}"
        ]
    problems = base_problems(model, form.kind)
    wanted, found = form.kind.head(form.declared), model.route_head(name)
    if not problems and wanted != found:
        shown = ["the vocabulary head" if spec is None else str(spec) for spec in (wanted, found)]
        problems = [f"the kind {form.kind.name!r} needs {shown[0]}, and the adapter has {shown[1]}."]
    return [f"task {name!r}: {problem}" for problem in problems]


def inferred_form(model: RoutedModel, name: str) -> TaskForm | None:
    """What a route's head says of its task; None if nothing can answer, as without any head.

    An adapter without a head of its own answers whole prompts. Labels that are not known are `LABEL_0` and so on.
    """
    head = model.route_head(name)
    if head is None:
        if not model.writes:
            return None
        writes = Seq2SeqLM() if model.config.is_encoder_decoder else CausalLM()
        return TaskForm(writes, Declared(), has_template=False)
    if head.shape is HeadShape.SPAN:
        return TaskForm(QuestionAnswering(), Declared())
    labels = model.labels.get(name)
    if head.shape is HeadShape.SEQUENCE and head.outputs == 1 and labels is None:
        return TaskForm(Regression(), Declared())
    kind: Kind = TextClassification()
    if head.shape is HeadShape.TOKEN:
        kind = TokenClassification()
    elif model.base.main_input_name == "pixel_values":
        kind = ImageClassification()
    names = labels or tuple(map(str, range(head.outputs)))
    return TaskForm(kind, Declared(labels=names, numbers=labels is None))
