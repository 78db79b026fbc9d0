"""What is learned last stops generation: here, and in plain PEFT from the exported folder."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, IterableDataset
from peft import LoraConfig, PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from hf_mtl import (
    Chat,
    MultiTaskPipeline,
    MultiTaskTrainer,
    MultiTaskTrainingArguments,
    Task,
)
from hf_mtl.data import EndToken
from hf_mtl.errors import ConfigError
from hf_mtl.export import load_suite
from hf_mtl.models import generate
from hf_mtl.tasks import TaskForm

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<s>[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + ' </s>' }}{% endif %}{% endfor %}"
)
CALLS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{{ '<|call|>' if m['content'].startswith('{') else '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|call|>"]
ANSWERS = {"run": "ran", "sing": "sang"}


@dataclass(frozen=True)
class Trait:
    """How the turns of a tokenizer end.

    Args:
        eos: Its end token.
        template: Its chat template; None for prompts and completions.
        ends: What the task's completions end with.
        answers: The answers by question.
        appends: Whether it puts the end token behind every text.
    """

    eos: str
    template: str | None
    ends: tuple[str, ...]
    answers: tuple[tuple[str, str], ...] = tuple(ANSWERS.items())
    appends: bool = False


TRAITS = {
    "the end token is that of a turn": Trait("<|im_end|>", CHATML, ("<|im_end|>",)),
    "another token ends a turn": Trait("<|endoftext|>", CHATML, ("<|im_end|>",)),
    "a prompt and a completion": Trait("</s>", None, ("</s>",)),
    "the tokenizer appends the end token": Trait("</s>", None, ("</s>",), appends=True),
    "it appends the end token, and there is a chat template": Trait("</s>", LLAMA2, ("</s>",), appends=True),
    "a space before the end": Trait("</s>", LLAMA2, ("</s>",)),
    "two ends": Trait(
        "<|endoftext|>",
        CALLS,
        ("<|im_end|>", "<|call|>"),
        (("run", "ran"), ("weather", '{"call": 1}')),
    ),
}


def tokenizer_of(trait: Trait) -> PreTrainedTokenizerBase:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["assistant user INST weather call", *ANSWERS, *ANSWERS.values()], trainer)
    if trait.appends:
        number = bpe.token_to_id(trait.eos)
        bpe.post_processor = processors.TemplateProcessing(
            single=f"$A {trait.eos}",
            pair=f"$A {trait.eos} $B {trait.eos}",
            special_tokens=[(trait.eos, number)],
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=trait.eos, pad_token="<|endoftext|>", chat_template=trait.template
    )
    if trait.template == LLAMA2:
        tokenizer.bos_token = "<s>"
    return tokenizer


def end_token(tokenizer: PreTrainedTokenizerBase, text: str) -> EndToken:
    number = tokenizer.convert_tokens_to_ids(text)
    assert isinstance(number, int)
    return EndToken(number, text)


def base_of(tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rows_of(trait: Trait) -> Dataset:
    if trait.template is None:
        return Dataset.from_list([{"prompt": f"{q}:", "completion": f" {a}"} for q, a in trait.answers])
    return Dataset.from_list(
        [
            {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
            for q, a in trait.answers
        ]
    )


def task_of(trait: Trait, **changes: Any) -> Task:
    rows = rows_of(trait)
    own: dict[str, Any] = {"train": rows, "eval": rows, "metrics": ["exact_match"]} | changes
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj", "down_proj", "lm_head"])
    return Task("talk", adapter=adapter, template=None if trait.template is None else Chat(), **own)


def trainer_of(trait: Trait, folder: Path, task: Task, steps: int = 60) -> MultiTaskTrainer:
    args = MultiTaskTrainingArguments(
        str(folder / "run"),
        max_steps=steps,
        per_device_train_batch_size=2,
        learning_rate=2e-2,
        lr_scheduler_type="constant",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
    )
    base = base_of(tokenizer_of(trait), folder / "base")
    return MultiTaskTrainer(str(base), args, [task])


@pytest.mark.parametrize("trait", TRAITS.values(), ids=TRAITS)
def test_an_answer_ends_where_the_reference_does(trait: Trait, tmp_path: Path) -> None:
    trainer = trainer_of(trait, tmp_path, task_of(trait))
    trainer.train()
    assert trainer.evaluate()["eval_talk/exact_match"] == 1.0
    trainer.save_model(str(tmp_path / "suite"))
    asked = [q if trait.template else f"{q}:" for q, _ in trait.answers]
    pipe = MultiTaskPipeline.from_pretrained(tmp_path / "suite", base=str(tmp_path / "base"))
    inputs = [[{"role": "user", "content": q}] for q in asked] if trait.template else asked
    options = {"max_new_tokens": 24, "return_full_text": False}
    written = [found[0]["generated_text"] for found in pipe([("talk", each, options) for each in inputs])]
    assert [text.strip() for text in written] == [answer for _, answer in trait.answers]
    prompts = [pipe.prompt("talk", each) for each in inputs]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "suite" / "talk")
    assert generate(pipe.model, tokenizer, "talk", prompts, max_new_tokens=24) == written
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    plain = PeftModel.from_pretrained(base, str(tmp_path / "suite" / "talk")).eval()
    config = GenerationConfig.from_pretrained(tmp_path / "suite" / "talk", max_new_tokens=24, do_sample=False)
    assert set(tokenizer.convert_ids_to_tokens(config.eos_token_id)) == {*trait.ends, trait.eos}
    for prompt, text in zip(prompts, written, strict=True):
        ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        with pipe.model.route("talk") as routed:
            stock = routed.generate(ids, max_new_tokens=24, do_sample=False)  # type: ignore[operator]  # nn.Module types attributes loosely
        for output in (stock, plain.generate(input_ids=ids, generation_config=config)):
            new = output[0, ids.shape[1] :].tolist()
            assert len(new) < 24 and tokenizer.convert_ids_to_tokens(new[-1]) in trait.ends
            assert tokenizer.decode(new[:-1], skip_special_tokens=True) == text


def test_completions_that_nothing_can_stop_are_refused(tmp_path: Path) -> None:
    trait = Trait("</s>", PLAIN, ())
    with pytest.raises(ConfigError) as refused:
        trainer_of(trait, tmp_path, task_of(trait))
    text = str(refused.value)
    assert text.startswith("task 'talk': the chat template ends the assistant's turns with '\\n'")
    assert "nothing could stop generation" in text and "PromptCompletion" in text
    stream = IterableDataset.from_generator(rows_of(trait).to_list().__iter__)
    with pytest.raises(
        ConfigError, match="task 'talk': the chat template ends .* nothing could stop generation"
    ):
        trainer_of(trait, tmp_path, task_of(trait, train=stream, max_steps=2))


def test_ends_of_streamed_rows_are_found_as_they_come(tmp_path: Path) -> None:
    """The first rows end with one token, and a row behind the sample with another."""
    trait = TRAITS["two ends"]
    first, other = rows_of(trait).to_list()
    stream = IterableDataset.from_generator(lambda: iter([*[first] * 33, other, other]))
    trainer = trainer_of(trait, tmp_path, task_of(trait, train=stream, max_steps=18), steps=18)
    tokenizer = tokenizer_of(trait)
    ends = [end_token(tokenizer, text) for text in trait.ends]
    assert trainer.model.ends["talk"] == (ends[0],)
    source = trainer.sources["talk"]
    before = source.state_dict()
    for step in range(18):
        source.batch(step)
    assert trainer.model.ends["talk"] == tuple(ends)
    resumed = trainer_of(trait, tmp_path, task_of(trait, train=stream, max_steps=18), steps=18)
    resumed.sources["talk"].load_state_dict(before | {"ends": source.state_dict()["ends"]})
    assert resumed.model.ends["talk"] == tuple(ends)


def test_the_manifest_keeps_the_ends_and_another_tokenizer_is_refused(tmp_path: Path) -> None:
    trait = TRAITS["another token ends a turn"]
    trainer = trainer_of(trait, tmp_path, task_of(trait), steps=1)
    trainer.save_model(str(tmp_path / "suite"))
    tokenizer = tokenizer_of(trait)
    number = end_token(tokenizer, "<|im_end|>").id
    manifest = json.loads((tmp_path / "suite" / "hf_mtl.json").read_text())
    assert manifest["forms"]["talk"]["ends"] == [{"id": number, "text": "<|im_end|>"}]
    model = load_suite(tmp_path / "suite", base=str(tmp_path / "base"))
    assert model.ends == {"talk": (EndToken(number, "<|im_end|>"),)}
    written = json.loads((tmp_path / "suite" / "talk" / "generation_config.json").read_text())
    assert written["eos_token_id"] == [number, tokenizer.eos_token_id]
    assert written["pad_token_id"] == tokenizer.pad_token_id
    other = tokenizer_of(Trait("</s>", CHATML, ()))
    shifted = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(
            other.backend_tokenizer.to_str().replace("<|im_end|>", "<|turn|>")
        ),
        eos_token="</s>",
    )
    with pytest.raises(
        ConfigError, match=r"the token 4, '<\|im_end\|>', and the tokenizer has '<\|turn\|>' there"
    ):
        MultiTaskPipeline(model, shifted, model.forms)
    with pytest.raises(ConfigError, match="Use the tokenizer that was saved beside the adapter"):
        generate(model, shifted, "talk", ["run"], max_new_tokens=2)


def test_a_route_leaves_the_generation_config_as_it_was(tmp_path: Path) -> None:
    trait = TRAITS["another token ends a turn"]
    model = trainer_of(trait, tmp_path, task_of(trait), steps=1).model
    config = model.base.generation_config
    own = config.eos_token_id
    with model.route("talk") as base:
        assert base.generation_config.eos_token_id == [own, model.ends["talk"][0].id]
        with model.route(None):
            pass
    assert model.base.generation_config is config and config.eos_token_id == own


def test_a_form_brings_its_ends_into_a_pipeline(tmp_path: Path) -> None:
    """An adapter of which the model knows nothing, and a form that was passed by hand."""
    trait = TRAITS["another token ends a turn"]
    trainer = trainer_of(trait, tmp_path, task_of(trait))
    trainer.train()
    model, ends = trainer.model, trainer.model.ends.pop("talk")
    form = TaskForm.of(trainer.suite["talk"], ends=ends)
    asked = [
        ("talk", [{"role": "user", "content": "run"}], {"max_new_tokens": 24, "return_full_text": False})
    ]
    tokenizer = tokenizer_of(trait)
    assert MultiTaskPipeline(model, tokenizer, {"talk": form})(asked)[0][0]["generated_text"] == "ran"
    bare = MultiTaskPipeline(model, tokenizer, {"talk": trainer.suite["talk"]})(asked)[0][0]["generated_text"]
    assert bare.startswith("ran") and bare != "ran"  # what the issue has seen: it goes on to the limit


def test_a_generated_sample_shows_what_one_pass_cannot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trait = TRAITS["another token ends a turn"]
    trainer = trainer_of(trait, tmp_path, task_of(trait))
    trainer.train()
    checked = trainer.check_generation()["talk"]
    assert (checked.rows, checked.teacher_forced, checked.generated, checked.problem) == (2, 1.0, 1.0, None)
    trainer.model.ends["talk"] = ()  # as if they had not been found
    with caplog.at_level(logging.WARNING):
        checked = trainer.check_generation()["talk"]
    assert (checked.teacher_forced, checked.generated, checked.running_on) == (1.0, 0.0, 2)
    assert (
        "task 'talk': of 2 rows, 1.00 are exact by one forward pass (teacher-forced) and 0.00" in caplog.text
    )
    assert "because nothing stopped the answer at its end" in caplog.text


def test_answers_that_lost_their_end_are_not_written_for_the_check(tmp_path: Path) -> None:
    trait = TRAITS["another token ends a turn"]
    trainer = trainer_of(trait, tmp_path, task_of(trait))
    lengths = [positions[-1] + 1 for positions in trainer.splits()["talk"]["eval"].rows["label_positions"]]
    cut = trainer_of(trait, tmp_path / "cut", task_of(trait, max_length=min(lengths)))
    assert all(cut.splits()["talk"]["eval"].rows["truncated"])
    assert cut.check_generation() == {}


def test_of_a_chat_the_last_answer_is_what_is_compared(tmp_path: Path) -> None:
    """Exactness is that of the last turn; likelihoods and tokens are those of all turns."""
    trait = TRAITS["another token ends a turn"]
    turns = [
        {"role": "user", "content": "run"},
        {"role": "assistant", "content": "zzz"},
        {"role": "user", "content": "sing"},
        {"role": "assistant", "content": "sang"},
    ]
    rows = Dataset.from_list([{"messages": turns}])
    learned = rows_of(trait)
    task = task_of(trait, train=learned, eval=rows, metrics=["exact_match", "token_accuracy", "perplexity"])
    trainer = trainer_of(trait, tmp_path, task)
    trainer.train()
    figures = trainer.evaluate()
    [encoded] = trainer.splits()["talk"]["eval"].rows
    with torch.no_grad(), trainer.model.route("talk") as base:
        logits = base(torch.tensor([encoded["input_ids"]])).logits[0, encoded["label_positions"]]
    labels = torch.tensor(encoded["label_ids"])
    right = (logits.argmax(dim=-1) == labels).double().mean().item()
    assert figures["eval_talk/token_accuracy"] == pytest.approx(right) and 0 < right < 1
    loss = torch.nn.functional.cross_entropy(logits.double(), labels)
    assert figures["eval_talk/perplexity"] == pytest.approx(loss.exp().item(), rel=1e-4)
    predicted = trainer.predict({"talk": rows})
    references: Any = predicted.label_ids  # by task
    assert list(references["talk"]) == ["sang"]
