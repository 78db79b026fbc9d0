"""Code that uses an adapter with plain PEFT, kind by kind."""

from __future__ import annotations

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
from hf_mtl.export.cards.places import Place
from hf_mtl.versions import PLAIN_PREFIX_NOTE

__all__ = ["NO_BASE", "plain_peft"]

_ANSWER_TOKENS = 32
NO_BASE = "path/to/the/base"


def plain_peft(facts: SuiteFacts, task: TaskFacts, place: Place) -> str:
    """Code that loads base and adapter and does what the adapter is for."""
    image = task.kind == "image-classification"
    processor = "AutoImageProcessor" if image else "AutoTokenizer"
    base = facts.base.hub_id or facts.base.folder or NO_BASE
    lines = [
        "import torch",
        "from peft import PeftModel",
        *(["from PIL import Image"] if image else []),
        f"from transformers import {', '.join(sorted((task.auto_class, processor, *_generation_config(task))))}",
        "",
        *([PLAIN_PREFIX_NOTE, ""] if task.peft_type in ("PREFIX_TUNING", "PROMPT_TUNING") else []),
        *_base_lines(facts, base),
        f"base = {task.auto_class}.from_pretrained(BASE{_outputs(task)})",
        f"model = PeftModel.from_pretrained(base, {quoted(place.repository)}{_subfolder(place)}).eval()",
        f"{'processor' if image else 'tokenizer'} = {processor}.from_pretrained(BASE)",
        "",
        *_use(task, place),
    ]  # fmt: skip
    return "\n".join(lines)


def _base_lines(facts: SuiteFacts, base: str) -> list[str]:
    if facts.base.hub_id is None and facts.base.asset is not None:
        return [
            "from hf_mtl.data import resolve_asset  # the base is not on the Hub",
            "",
            f"BASE = resolve_asset({quoted(facts.base.asset)})",
        ]
    return [f"BASE = {quoted(base)}"]


def _outputs(task: TaskFacts) -> str:
    return "" if task.outputs is None or task.kind == "question-answering" else f", num_labels={task.outputs}"


def _subfolder(place: Place) -> str:
    return "" if place.subfolder is None else f", subfolder={quoted(place.subfolder)}"


def _generation_config(task: TaskFacts) -> list[str]:
    """The class that reads what ends the task's answers, where that is known."""
    return ["GenerationConfig"] if task.ends and task.outputs is None else []


def _use(task: TaskFacts, place: Place) -> list[str]:
    """What is done with `model` and `tokenizer`."""
    if task.kind in _USES:
        return _USES[task.kind](task)
    return (
        _generate(task, place)
        if task.outputs is None
        else ["# model(...).logits are the outputs of its own head"]
    )


def _generate(task: TaskFacts, place: Place) -> list[str]:
    encoder_decoder = task.auto_class == "AutoModelForSeq2SeqLM"
    answer = "output[0]" if encoder_decoder else 'output[0, inputs["input_ids"].shape[1] :]'
    settings, config = f"max_new_tokens={_ANSWER_TOKENS}, do_sample=False", []
    if _generation_config(task):
        config = [
            "# with the tokens that end its answers",
            f"config = GenerationConfig.from_pretrained({quoted(place.repository)}{_subfolder(place)}, {settings})",
        ]
        settings = "generation_config=config"
    return [
        *_prompt_lines(task),
        *config,
        "with torch.no_grad():",
        f"    output = model.generate(**inputs, {settings})",
        f"print(tokenizer.decode({answer}, skip_special_tokens=True))",
    ]


def _prompt_lines(task: TaskFacts) -> list[str]:
    if task.template and "messages" in task.template:
        return [
            f"messages = {example_turns(task)!r}",
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
            ")",
        ]
    return [
        f"prompt = {quoted(example_prompt(task))}",
        'inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)',
    ]


def _classify(task: TaskFacts) -> list[str]:
    lines = [
        f'inputs = tokenizer({", ".join(map(quoted, example_texts(task)))}, {_cut(task)}, return_tensors="pt")',
        "with torch.no_grad():",
        "    logits = model(**inputs).logits[0]",
    ]
    return [*lines, *_named(task)]


def _named(task: TaskFacts) -> list[str]:
    """From logits to what they mean."""
    if task.kind == "regression":
        return ["print(logits.tolist())"]
    if task.multi_label:
        return [
            _labels(task),
            "print([label for label, score in zip(LABELS, logits.sigmoid().tolist()) if score > 0.5])",
        ]
    return [_labels(task), "print(LABELS[int(logits.argmax())], float(logits.softmax(-1).max()))"]


def _cut(task: TaskFacts, what: str | bool = True) -> str:
    """How a tokenizer shortens what is too long, as in training."""
    most = "" if task.max_length is None else f", max_length={task.max_length}"
    return f"truncation={quoted(what) if isinstance(what, str) else what}{most}"


def _tag(task: TaskFacts) -> list[str]:
    return [
        f"words = {quoted(example_sentence(task))}.split()",
        f'inputs = tokenizer(words, is_split_into_words=True, {_cut(task)}, return_tensors="pt")',
        "with torch.no_grad():",
        "    logits = model(**inputs).logits[0]",
        _labels(task),
        "for place, number in enumerate(inputs.word_ids(0)):",
        "    if number is not None and number not in inputs.word_ids(0)[:place]:  # a word's first token has its tag",
        "        print(words[number], LABELS[int(logits[place].argmax())])",
    ]


def _answer(task: TaskFacts) -> list[str]:
    question, context = example_question(task)
    return [
        f"question = {quoted(question)}",
        f"context = {quoted(context)}",
        f'inputs = tokenizer(question, context, {_cut(task, "only_second")}, return_tensors="pt")',
        "with torch.no_grad():",
        "    outputs = model(**inputs)",
        "start, end = int(outputs.start_logits.argmax()), int(outputs.end_logits.argmax())",
        'print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))',
    ]


def _see(task: TaskFacts) -> list[str]:
    mode, size = example_image(task)
    return [
        f"image = Image.new({quoted(mode)}, {size})  # yours: Image.open(...).convert({quoted(mode)})",
        'inputs = processor(image, return_tensors="pt")',
        "with torch.no_grad():",
        "    logits = model(**inputs).logits[0]",
        *_named(task),
    ]


_USES = {
    "text-classification": _classify,
    "regression": _classify,
    "token-classification": _tag,
    "question-answering": _answer,
    "image-classification": _see,
}


def _labels(task: TaskFacts) -> str:
    return f"LABELS = [{', '.join(quoted(label) for label in task.labels)}]"
