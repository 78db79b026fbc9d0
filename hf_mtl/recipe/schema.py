"""What a recipe may say: the keys, their types and their defaults. Nothing heavy is imported here.

Every key has a default, also those that a recipe must give: what is missing is reported by `checks`, together with
everything else that is wrong.

    >>> recipe = Recipe(model=ModelSpec(id="HuggingFaceTB/SmolLM2-135M-Instruct"), output_dir="runs/quickstart")
    >>> recipe.model.dtype
    'auto'
"""

from __future__ import annotations

import copy
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from hf_mtl.bounds import COUNT, SEED, SHARE, Bounds, plain
from hf_mtl.setting_bounds import LABELS, OF_TASK

__all__ = [
    "ASSET_PREFIX",
    "CardSpec",
    "ModelSpec",
    "Recipe",
    "RowsSpec",
    "TaskSpec",
    "TemplateSpec",
    "merged_task",
]

ASSET_PREFIX = "asset:"


def _within(bounds: Bounds) -> BeforeValidator:
    """Refuse what is no number within the bounds, in the words that all settings have in common."""

    def check(value: object) -> object:
        if (expected := bounds.missed(value)) is not None:
            raise PydanticCustomError("number", "expected {expected}", {"expected": expected})
        return plain(value)

    return BeforeValidator(check)


def _no_truth(value: object) -> object:
    """Refuse true, which Python takes for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "expected {expected}", {"expected": "one of '1'"})
    return value


Count = Annotated[int, _within(COUNT)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of YAML, kept as a tuple."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelSpec(_Section):
    """The base model. A text alone stands for its `source` if it is a folder or an asset, and else for its `id`.

    Args:
        id: Its Hub id. The adapters name it as their base, so it may stand beside weights that come from elsewhere.
        source: Where the weights come from instead of the Hub: a folder, relative to the recipe, or `asset:NAME` for a
            model in a package. Without an id, the adapters name the folder.
        dtype: The numbers that the base is loaded in; `auto` takes those of its files.
        quantization: Store the base in 4 or 8 bits (bitsandbytes); the adapters stay in full precision.
        adapters: The folder of a finished run, relative to the working directory: its tasks' adapters are there from
            the start. Those of them that have no `train` here stay as they are.
        allow_pickle: Read weights that are pickles (`pytorch_model.bin`) where there are no safetensors.
    """

    id: str = ""
    source: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["4bit", "8bit"] | None = None
    adapters: str | None = None
    allow_pickle: bool = False


class TemplateSpec(_Section):
    """How a row becomes a prompt and a completion: either both texts with `{field}` places, or a column of messages.

    Args:
        prompt: The text that the model sees.
        completion: The text that it learns to answer; the loss is on this part only.
        messages: The column that holds a conversation (`[{"role": ..., "content": ...}, ...]`); with `completion`, a
            second column of messages, only the assistant's turns in that one are learned.
        tools: The column of the tools' JSON schemas, read where a row has it (default `tools`).
        chat_template: A Jinja chat template in the place of the tokenizer's own.
        chat_template_kwargs: What the chat template is given besides, such as `{enable_thinking: false}`.
        engine: How prompt and completion are filled: `format` for `{field}`, `jinja` for `{{ field }}`.
    """

    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None
    tools: str | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, object] = Field(default_factory=dict)
    engine: Literal["format", "jinja"] = "format"


class RowsSpec(_Section):
    """Where rows come from. A text alone stands for its `source`.

    Args:
        source: A file (JSON, CSV, Parquet, plain text, CoNLL, ...) or a folder of `save_to_disk`, relative to the
            recipe; a Hub id; or `asset:NAME` for a data set in a package.
        split: One of its splits, or a part: `train[:1000]`.
        name: Which of the data set's configurations.
        revision: The branch, tag or commit on the Hub.
        streaming: Read row by row while training.
        sample_by: What a row of a plain text file is; default: a paragraph if blank lines stand between texts, else a
            line.
        max_examples: Use so many rows, drawn with `seed`.
        few_shot: Use so many rows of each class, drawn with `seed`.
        seed: The seed of draws.
    """

    source: str = ""
    split: str | None = None
    name: str | None = None
    revision: str | None = None
    streaming: bool = False
    sample_by: Literal["line", "paragraph", "document"] | None = None
    max_examples: Count | None = None
    few_shot: Count | None = None
    seed: Annotated[int, _within(SEED)] = 0


def _with_source(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


Rows = Annotated[RowsSpec, BeforeValidator(_with_source)]


def _form_of_labels(value: object) -> str:
    return "number" if isinstance(value, int | float) else "names"


Labels = Annotated[
    Annotated[Names, Tag("names")] | Annotated[int, _within(LABELS), Tag("number")],
    Discriminator(_form_of_labels),
]


Choice = Annotated[
    Annotated[str, Tag("name")] | Annotated[dict[str, object], Tag("options")],
    Discriminator(lambda value: "options" if isinstance(value, dict) else "name"),  # one message for all else
]


class CardSpec(_Section):
    """What a model card says that a run cannot know.

    Args:
        about: What the task is for, in a sentence.
        license: The licence of the adapter, as the Hub names it: `apache-2.0`.
        language: The codes of the rows' languages: `[en]`.
        rows_license: The licence of rows that are no asset. Only with one are some of them shown.
    """

    about: str | None = None
    license: str | None = None
    language: Names = ()
    rows_license: str | None = None


class TaskSpec(_Section):
    """One task; under the recipe's `defaults`, what the tasks have in common.

    Args:
        kind: The kind of task: its name, or a mapping of `name` and options. Where neither a kind nor a template is
            given, the format of the rows is recognised from their columns.
        train: The rows to learn from.
        eval: The rows to evaluate on, during training too.
        test: The rows to measure on once, after training.
        eval_fraction: Hold out this share of `train` as `eval`.
        columns: By the parts of the kind's rows, the columns; for texts also `{field}` patterns.
        template: For language models, how a row becomes a prompt and a completion.
        labels: The labels' names or their number; default: those that the rows' features name, else those that the
            rows of `train` hold. For language models the
            values of the completion's one field; the metric `accuracy` ranks them by likelihood.
        adapter: Fields of the task's peft configuration; `peft_type` says which (default LORA).
        metrics: What is measured: names, or mappings of `name` and options; default: what is usual for the kind.
        card: What the adapter's model card says beside what the run knows.
        max_train_rows: Use the first so many rows of `train`.
        max_eval_rows: Use the first so many rows of `eval` and of `test`.
        max_length: Most tokens of a row.
        on_bad_row: Whether a row that cannot be used ends the run (`raise`) or is left out and counted (`skip`).
        batch_size: Rows of a batch, over all processes.
        gradient_accumulation_steps: Batches of one step. As in `training`, but for this task; so are the following.
        learning_rate: Peak learning rate.
        num_train_epochs: Passes over the task's rows.
        max_steps: Steps after which the task is done.
        lr_scheduler_type: Name of the schedule.
        warmup_steps: Steps of warm-up; below 1 a share of the task's steps.
        weight_decay: AdamW's weight decay.
        max_grad_norm: Norm that the task's gradient is clipped to.
        optim: Name of the optimizer.
        adam_beta1: Decay of the gradient's running mean.
        adam_beta2: Decay of the squared gradient's running mean.
        adam_epsilon: Added to the denominator of Adam's update.
        metric_for_best_model: What decides which weights are the task's best.
        greater_is_better: Whether a larger figure of that metric is better.
        early_stopping_patience: Evaluations without a better figure after which the task stops.
    """

    kind: object = None
    train: Rows | None = None
    eval: Rows | None = None
    test: Rows | None = None
    eval_fraction: Annotated[float | None, _within(SHARE.or_none())] = None
    columns: dict[str, str] = Field(default_factory=dict)
    template: TemplateSpec | None = None
    labels: Labels | None = None
    adapter: dict[str, object] = Field(default_factory=dict)
    metrics: Annotated[tuple[object, ...], Field(strict=False)] | None = None
    card: CardSpec = Field(default_factory=CardSpec)
    max_train_rows: Count | None = None
    max_eval_rows: Count | None = None
    max_length: Annotated[int | None, _within(OF_TASK["max_length"])] = None
    on_bad_row: Literal["raise", "skip"] = "raise"
    batch_size: Annotated[int | None, _within(OF_TASK["batch_size"])] = None
    gradient_accumulation_steps: Annotated[int | None, _within(OF_TASK["gradient_accumulation_steps"])] = None
    learning_rate: Annotated[float | None, _within(OF_TASK["learning_rate"])] = None
    num_train_epochs: Annotated[float | None, _within(OF_TASK["num_train_epochs"])] = None
    max_steps: Annotated[int | None, _within(OF_TASK["max_steps"])] = None
    lr_scheduler_type: str | None = None
    warmup_steps: Annotated[float | None, _within(OF_TASK["warmup_steps"])] = None
    weight_decay: Annotated[float | None, _within(OF_TASK["weight_decay"])] = None
    max_grad_norm: Annotated[float | None, _within(OF_TASK["max_grad_norm"])] = None
    optim: str | None = None
    adam_beta1: Annotated[float | None, _within(OF_TASK["adam_beta1"])] = None
    adam_beta2: Annotated[float | None, _within(OF_TASK["adam_beta2"])] = None
    adam_epsilon: Annotated[float | None, _within(OF_TASK["adam_epsilon"])] = None
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    early_stopping_patience: Annotated[int | None, _within(OF_TASK["early_stopping_patience"])] = None


class Recipe(_Section):
    """A whole run as data.

    Args:
        format: The version of this form.
        model: The base model.
        output_dir: Where the run writes, relative to the working directory.
        defaults: What a task that does not say otherwise has; `adapter` is merged field by field.
        tasks: The tasks by name; any text is a name.
        sharing: Which adapters the tasks have in common: a structure's name, or a mapping of `name` and options.
        objective: What makes one update of the shared parameters: a name, or a mapping of `name` and options.
        training: Fields of `MultiTaskTrainingArguments`, all but those that stand here.
        variants: For `hf-mtl compare`: by name, what another way of training changes, as dotted keys and values.
    """

    format: Annotated[Literal[1], BeforeValidator(_no_truth)] = 1
    model: ModelSpec = Field(default_factory=ModelSpec)
    output_dir: str = ""
    defaults: TaskSpec = Field(default_factory=TaskSpec)
    tasks: dict[str, TaskSpec] = Field(default_factory=dict)
    sharing: Choice = "private"
    objective: Choice = "equal"
    training: dict[str, object] = Field(default_factory=dict)
    variants: dict[str, dict[str, object]] = Field(default_factory=dict)


def merged_task(task: TaskSpec, defaults: TaskSpec) -> TaskSpec:
    """Return the task with the fields that it leaves out taken from `defaults`.

    The fields of the card are merged one by one; so are those of the adapter, unless the task asks for another
    `peft_type` than the defaults do.

    >>> merged_task(TaskSpec(adapter={"r": 4}), TaskSpec(adapter={"r": 8, "lora_alpha": 16}, max_length=128)).adapter
    {'r': 4, 'lora_alpha': 16}
    """
    absent = defaults.model_fields_set - task.model_fields_set
    taken = {name: value for name, value in defaults if name in absent}
    own = task.adapter
    if "adapter" in task.model_fields_set and own.get("peft_type", peft_type(defaults)) == peft_type(
        defaults
    ):
        taken["adapter"] = {**copy.deepcopy(defaults.adapter), **own}
    if "card" in task.model_fields_set:
        left_out = defaults.card.model_fields_set - task.card.model_fields_set
        said = {name: value for name, value in defaults.card if name in left_out}
        taken["card"] = task.card.model_copy(update=said)
    return task.model_copy(update=taken)


def peft_type(task: TaskSpec) -> object:
    """Return the kind of the task's adapter, as peft names it."""
    return task.adapter.get("peft_type", "LORA")
