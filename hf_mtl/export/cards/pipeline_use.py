"""Code that uses adapters with `hf_mtl.MultiTaskPipeline`: one line for each task."""

from __future__ import annotations

from collections.abc import Sequence

from hf_mtl.export.cards.examples import (
    example_image,
    example_prompt,
    example_question,
    example_sentence,
    example_texts,
    example_turns,
    quoted,
)
from hf_mtl.export.cards.facts import SuiteFacts, TaskFacts
from hf_mtl.export.cards.plain_use import NO_BASE

__all__ = ["pipeline_use"]


def pipeline_use(facts: SuiteFacts, tasks: Sequence[TaskFacts], source: str) -> str:
    """Code that opens a source and asks each of its tasks.

    Args:
        facts: The suite.
        tasks: The tasks that the source holds.
        source: What `MultiTaskPipeline.from_pretrained` takes.
    """
    images = any(task.kind == "image-classification" for task in tasks)
    return "\n".join(
        [
            *(["from PIL import Image", ""] if images else []),
            "from hf_mtl import MultiTaskPipeline",
            "",
            f"pipe = MultiTaskPipeline.from_pretrained({quoted(source)}{_base(facts)})",
            "inputs = [",
            *(f"    ({quoted(task.name)}, {_example(task)})," for task in tasks),
            "]",
            "for answer in pipe(inputs):",
            "    print(answer)",
        ]
    )  # fmt: skip


def _base(facts: SuiteFacts) -> str:
    """The very weights that the adapters were trained on, where the suite's manifest does not lead there."""
    if facts.base.asset:
        return f", base={quoted(f'asset:{facts.base.asset}')}"
    return "" if facts.base.hub_id or facts.base.folder else f", base={quoted(NO_BASE)}"


def _example(task: TaskFacts) -> str:
    """An input of the task, and options where the result is easier to read with them."""
    if task.kind == "image-classification":
        mode, size = example_image(task)
        return f"Image.new({quoted(mode)}, {size})"
    if task.kind == "question-answering":
        question, context = map(quoted, example_question(task))
        return f'{{"question": {question}, "context": {context}}}'
    if task.kind == "token-classification":
        return f'{quoted(example_sentence(task))}, {{"aggregation_strategy": "simple"}}'
    if task.outputs is None:
        chat = task.template and "messages" in task.template
        return repr(example_turns(task)) if chat else quoted(example_prompt(task))
    texts = [quoted(text) for text in example_texts(task)]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
