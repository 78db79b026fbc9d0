"""Calls of the Python API with what it cannot use: each is answered by one of the library's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bad_inputs.case import Case, api, untouched

__all__ = ["CASES"]

ROWS = [{"text": "good", "label": "positive"}, {"text": "bad", "label": "negative"}]
Values = Any  # Any: what is wrong is often the type


def task(name: str, *words: str, rows: Values = ROWS, **given: Values) -> Case:
    """A task that is declared wrongly."""

    def call(_: Path) -> object:
        from hf_mtl import PromptCompletion, Task

        fields = {"train": rows, "template": PromptCompletion("{text} is", " {label}"), **given}
        return Task("words", **{key: value for key, value in fields.items() if value is not LEFT_OUT})

    return api(name, call, "words", *words)


LEFT_OUT = object()


def adapter(name: str, *words: str, **given: Values) -> Case:
    """A task whose adapter is configured wrongly."""

    def call(_: Path) -> object:
        from peft import LoraConfig

        from hf_mtl import PromptCompletion, Task

        template = PromptCompletion("{text} is", " {label}")
        return Task("words", train=ROWS, template=template, adapter=LoraConfig(**given))

    return api(name, call, "words", *words)


def suite(name: str, make: Callable[[Values], object], *words: str) -> Case:
    """A suite of tasks that cannot be one."""

    def call(_: Path) -> object:
        from hf_mtl import PromptCompletion, Task

        return make(
            lambda own, **more: Task(
                own, train=ROWS, template=PromptCompletion("{text} is", " {label}"), **more
            )
        )

    return api(name, call, *words)


def arguments(name: str, *words: str, **given: Values) -> Case:
    """Training arguments that cannot be."""

    def call(folder: Path) -> object:
        from hf_mtl import MultiTaskTrainingArguments

        return MultiTaskTrainingArguments(**{"output_dir": str(folder / "out"), "use_cpu": True, **given})

    return api(name, call, *words)


def trainer(
    name: str,
    *words: str,
    model: Values = None,
    tasks: Values = None,
    act: Callable[[Values], object] | None = None,
    **given: Values,
) -> Case:
    """A trainer of a wrong declaration, or one that is asked for what it cannot do."""

    def call(folder: Path) -> object:
        from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task

        def make(**more: Values) -> Task:
            return Task("words", train=ROWS, template=PromptCompletion("{text} is", " {label}"), **more)

        args = MultiTaskTrainingArguments(str(folder / "out"), use_cpu=True, max_steps=1, report_to="none")
        base = folder / "base" if model is None else model
        own = tasks(make) if callable(tasks) else [make()] if tasks is None else tasks
        fields = {"args": args, "tasks": own, **given}
        built = MultiTaskTrainer(base if not isinstance(base, Path) else str(base), **fields)
        return built if act is None else act(built)

    return api(name, call, *words, needs=("base",))


def template(name: str, make: Callable[[Values], object], *words: str) -> Case:
    """A template that is made of something else than texts."""

    def call(_: Path) -> object:
        import hf_mtl

        return make(hf_mtl)

    return api(name, call, *words)


def launched(name: str, *words: str, **environment: str) -> Case:
    """Arguments in a process whose launcher says what cannot be."""

    def call(folder: Path) -> object:
        import os

        from hf_mtl import MultiTaskTrainingArguments

        os.environ.update(environment)
        return MultiTaskTrainingArguments(str(folder / "out"), use_cpu=True)

    return api(name, call, *words)


def asked(name: str, inputs: Values, *words: str, **options: Values) -> Case:
    """An input for a pipeline."""

    def call(folder: Path) -> object:
        from hf_mtl import MultiTaskPipeline

        found = MultiTaskPipeline.from_pretrained(folder / "run")(
            inputs() if callable(inputs) else inputs, **options
        )
        return list(found) if isinstance(found, Iterator) else found

    return api(name, call, *words, needs=("run",))


def opened(name: str, source: Values, *words: str, **options: Values) -> Case:
    """A pipeline of something else."""

    def call(_: Path) -> object:
        from hf_mtl import MultiTaskPipeline

        return MultiTaskPipeline.from_pretrained(source, **options)

    return api(name, call, *words, needs=("run",))


def routed(name: str, act: Callable[[Values], object], *words: str) -> Case:
    """A routed model that is asked for what it cannot do."""

    def call(folder: Path) -> object:
        from hf_mtl import RoutedModel

        return act(
            RoutedModel.from_pretrained(folder / "base", {"mine": "./plain"}, hub_id="someone/tiny-llama")
        )

    return api(name, call, *words, needs=("base", "plain"))


def read(name: str, path: Values, *words: str) -> Case:
    """A file that holds no rows of its format."""

    def call(_: Path) -> object:
        from hf_mtl import read_rows

        return read_rows(path)

    return api(name, call, *words, spoil=untouched)


def _endless() -> Iterator[Values]:
    yield ("words", {"text": "a"})
    yield ("words", 5)


def _rows_with(value: Values) -> Values:
    return [*ROWS, {"text": value, "label": "positive"}]


TASKS = (
    task("name is empty", rows=[], template=LEFT_OUT),
    task("train is a text", "train", rows="words"),
    task("train is a number", "train", rows=5),
    task("train is no list of rows", "train", rows=[1, 2]),
    task("train is empty", "train", rows=[]),
    task("train is a mapping of lists of other lengths", "train", rows={"text": ["a"], "label": []}),
    task("no rows at all", "train", rows=None),
    task("rows with other columns", "'text'", rows=[{"lemma": "a"}]),
    task("rows whose texts are objects", "text", rows=_rows_with(object())),
    task("eval is a function", "eval", eval=len),
    task("kind unknown", "causal_ml", kind="causal_ml"),
    task("kind is a class", "kind", kind=dict),
    task("template is a text", "template", template="{text}"),
    task("template is a dict", "template", template={"prompt": "{text}"}),
    task("columns is a list", "columns", columns=["text"]),
    task("columns name a number", "columns", columns={"text": 3}),
    task("labels is a text", "labels", labels="positive"),
    task("labels are one", "labels", labels=["positive"]),
    task("labels are twice one", "labels", labels=["positive", "positive"]),
    task("labels are numbers", "labels", labels=[0, 1]),
    task("labels is a number below two", "labels", labels=1),
    task("adapter is a dict", "adapter", adapter={"r": 8}),
    task("adapter is a class", "adapter", adapter=dict),
    adapter("an adapter's yes is a text", "use_rslora", "True or False", use_rslora="no"),
    task("metrics is unknown", "acuracy", metrics=["acuracy"]),
    task("metrics is a text", "metrics", metrics="accuracy"),
    task("metrics is a number", "metric", metrics=[3]),
    task("max_length is a text", "max_length", max_length="64"),
    task("max_length is zero", "max_length", max_length=0),
    task("max_length is a fraction", "max_length", max_length=2.5),
    task("learning_rate is a text", "learning_rate", learning_rate="1e-3"),
    task("learning_rate is nan", "learning_rate", learning_rate=float("nan")),
    task("batch_size is true", "batch_size", batch_size=True),
    task("weight_decay is infinite", "weight_decay", weight_decay=float("inf")),
    task("on_bad_row is None", "on_bad_row", on_bad_row=None),
    suite("a name is a number", lambda make: make(5), "name"),
    suite("a name is blank", lambda make: make(" "), "name"),
    suite("a name moves the cursor", lambda make: make("a\x1b[2J"), "name"),
)

OTHERS = (
    arguments("steps of zero", "max_steps", max_steps=0),
    arguments("a rate that is a text", "learning_rate", learning_rate="fast"),
    arguments("a rate that is nan", "learning_rate", learning_rate=float("nan")),
    arguments("a batch below zero", "per_device_train_batch_size", per_device_train_batch_size=-1),
    arguments("an unknown argument", "max_stepz", "max_steps", max_stepz=3),
    arguments("a budget that is a text", "token_budget", token_budget="many"),
    arguments("a seed below zero", "seed", seed=-1),
    arguments("arguments' optimizer that there is not", "optim", "adamm", "'adamw_torch'", optim="adamm"),
    arguments(
        "arguments' schedule that there is not", "lr_scheduler_type", "'linear'", lr_scheduler_type="linaer"
    ),
    arguments(
        "a strategy that there is not", "eval_strategy", "Did you mean 'steps'?", eval_strategy="stepz"
    ),
    arguments("a level of logs that there is not", "log_level", "'warning'", log_level="loud"),
    arguments("a text for yes or no", "full_determinism", "True or False", full_determinism="no"),
    arguments("trackers that are a number", "report_to", report_to=5),
    arguments("a metric that is a number", "metric_for_best_model", metric_for_best_model=5),
    arguments("best weights without evaluations", "load_best_model_at_end", load_best_model_at_end=True),
    launched("a rank that is a word", "RANK='x'", "torchrun", RANK="x"),
    launched("a rank without the others", "LOCAL_RANK", "alone", "unset", RANK="1"),
    trainer(
        "patience without evaluations",
        "words",
        "early_stopping_patience",
        "eval_strategy",
        tasks=lambda make: [make(eval=ROWS, early_stopping_patience=2)],
    ),
    trainer("a model that is not there", "gone", model="./gone"),
    trainer("a model that is a number", "model", model=5),
    trainer("an asset that there is not", "'nothing'", model="asset:nothing"),
    trainer("an optimizer that there is not", "adamm", tasks=lambda make: [make(optim="adamm")]),
    trainer("a schedule that there is not", "linaer", tasks=lambda make: [make(lr_scheduler_type="linaer")]),
    trainer(
        "a best metric that there is not", "bleu", tasks=lambda make: [make(metric_for_best_model="bleu")]
    ),
    trainer(
        "rows to measure of no task",
        "'wrods'",
        "Did you mean 'words'?",
        act=lambda t: t.evaluate({"wrods": ROWS}),
    ),
    trainer("a task to measure that there is not", "'wrods'", act=lambda t: t.evaluate("wrods")),
    trainer(
        "a resume from a number",
        "resume_from_checkpoint",
        "5",
        act=lambda t: t.train(resume_from_checkpoint=5),
    ),
    template("a prompt that is a number", lambda new: new.PromptCompletion(5, "{label}"), "template", "5"),
    template(
        "a completion that is None", lambda new: new.PromptCompletion("{text}", None), "template", "None"
    ),
    template("a chat in a column that is a number", lambda new: new.Chat(5), "messages", "5"),
    template(
        "a chat template that is a list", lambda new: new.Chat(chat_template=["a"]), "chat_template", "['a']"
    ),
    trainer("one name twice", "words", tasks=lambda make: [make(), make()]),
    trainer("no tasks", "task", tasks=[]),
    trainer("tasks that are texts", "task", tasks=["words"]),
    trainer("arguments that are a dict", "args", args={"max_steps": 1}),
    trainer("an adapter that is a text", "peft_config", peft_config="lora"),
    trainer("adapters of no tasks", "wrods", peft_config={"wrods": None}),
    trainer("rows beside tasks", "train_dataset", train_dataset=ROWS),
    trainer("an unknown keyword", "tokenizr", tokenizr=1),
    opened("a run that is not there", "./gone", "./gone"),
    opened("a suite that is a number", 5, "5"),
    opened("a base that is not there", "run", "gone", base="./gone"),
    opened("a dtype that there is not", "run", "float23", dtype="float23"),
    opened("a quantization that there is not", "run", "3bit", quantization="3bit"),
    opened("a budget of zero", "run", "token_budget", token_budget=0),
    asked("a text alone", "words", "(task, input)"),
    asked("one text in a list", ["words"], "input 1", "(task, input"),
    asked("a task that there is not", [("wrods", "a")], "input 1", "Did you mean 'words'?"),
    asked("a task that is a number", [(5, "a")], "input 1", "5"),
    asked("an input that is a number", [("words", 5)], "input 1", "words"),
    asked("an input without the column", [("words", {"txt": "a"})], "input 1", "'text'"),
    asked("a stream with a bad second", _endless, "input 2", "words"),
    asked("an unknown option", [("words", "a", {"top_kk": 3})], "input 1", "top_kk"),
    asked("an option of another sort", [("words", "a", {"max_new_tokens": "many"})], "max_new_tokens"),
    asked("no tokens", [("words", "a", {"max_new_tokens": 0})], "max_new_tokens"),
    asked(
        "a temperature that is nan",
        [("words", "a", {"do_sample": True, "temperature": float("nan")})],
        "temperature",
    ),
    asked("half a surrogate pair", [("words", "a\ud800")], "words"),
    routed("a second adapter of one name", lambda model: model.load_adapter("mine", "./plain"), "mine"),
    routed("an adapter of no name", lambda model: model.load_adapter("", "./plain"), "name"),
    routed(
        "a route over no adapter", lambda model: model.add_route("new", {"yours": 1.0}), "yours", "'mine'"
    ),
    routed("a route of no number", lambda model: model.add_route("new", {"mine": float("nan")}), "mine"),
    routed(
        "an adapter removed twice",
        lambda model: [model.remove_adapter("mine"), model.remove_adapter("mine")],
        "mine",
    ),
    routed("an adapter whose route is used", lambda model: model.folded("yours"), "yours"),
    read("a folder", ".", "."),
    read("a file that is a number", 5, "5"),
    read("None", None, "None"),
    read("a NUL", "a\0b.jsonl", "jsonl"),
    read("an address", "https://example.org/a.jsonl", "example.org"),
)

CASES = (*TASKS, *OTHERS)
