"""An encoder-decoder through the trainer: prompts to the encoder, completions from the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from torch import Tensor
from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration
from two_tasks import VERBS, WORDS

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.inference import MultiTaskPipeline
from hf_mtl.models import load_base


def _agreement(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    return {"agreement": sum(a == r for a, r in zip(answers, references, strict=True)) / len(answers)}


@pytest.fixture(scope="module")
def tiny_t5(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer T5 and the tokenizer of the tiny Llama."""
    folder = tmp_path_factory.mktemp("models") / "tiny-t5"
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    end = tokenizer.eos_token_id
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dropout_rate=0.0,
        pad_token_id=end, eos_token_id=end, initializer_factor=1.0,
    )  # fmt: skip
    config.decoder_start_token_id = end  # its constructor takes it without naming it
    torch.manual_seed(0)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tasks(*names: str) -> list[Task]:
    verbs = Dataset.from_list([{"lemma": lemma, "past": past} for lemma, past in VERBS.items()])
    words = Dataset.from_list([{"text": text * 3, "label": label} for text, label in WORDS.items()])
    tasks = [
        Task(
            "verbs", kind="seq2seq-lm", train=verbs, eval=verbs, template=PromptCompletion("{lemma}:", " {past}"),
            adapter=LoraConfig(r=4, target_modules="all-linear"), metrics=("exact_match", _agreement),
        ),
        Task(
            "words", kind="seq2seq-lm", train=words, eval=words, template=PromptCompletion("{text} is", " {label}"),
            labels=("positive", "negative"), metrics=("accuracy",),
            adapter=LoraConfig(r=8, lora_dropout=0.2, target_modules=["q", "v", "wo"]),
        ),
    ]  # fmt: skip
    return [task for task in tasks if task.name in names]


def _trainer(
    folder: Path, out: Path, tasks: list[Task], *, steps: int, dtype: torch.dtype
) -> MultiTaskTrainer:
    base, identity = load_base(folder, dtype=dtype)
    model = RoutedModel(base, identity=identity)
    for task in tasks:
        model.add_adapter(task.name, task.adapter)  # type: ignore[arg-type]
    for parameter in (p for task in tasks for p in model.adapter_parameters(task.name).values()):
        parameter.data = parameter.data.to(dtype)
    args = MultiTaskTrainingArguments(
        str(out), max_steps=steps, per_device_train_batch_size=6, learning_rate=0.03, report_to="none",
        disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    return MultiTaskTrainer(model, args, tasks, processing_class=AutoTokenizer.from_pretrained(folder))


def _weights(trainer: MultiTaskTrainer, name: str) -> dict[str, Tensor]:
    return {key: p.detach().clone() for key, p in trainer.model.adapter_parameters(name).items()}


def test_together_is_alone(tiny_t5: Path, tmp_path: Path) -> None:
    options = {"steps": 6, "dtype": torch.float64}
    together = _trainer(tiny_t5, tmp_path, _tasks("verbs", "words"), **options)  # type: ignore[arg-type]
    start = {name: _weights(together, name) for name in ("verbs", "words")}
    together.train()
    for name in start:
        alone = _trainer(tiny_t5, tmp_path, _tasks(name), **options)  # type: ignore[arg-type]
        alone.train()
        ends = _weights(together, name), _weights(alone, name)
        assert all((ends[0][key] - start[name][key]).norm() > 1e-3 for key in start[name])
        for key, weight in ends[1].items():
            assert (ends[0][key] - weight).norm() <= 1e-10 * weight.norm(), key


def test_training_measuring_answering_and_export_fit_together(tiny_t5: Path, tmp_path: Path) -> None:
    tasks = _tasks("verbs", "words")
    trainer = _trainer(tiny_t5, tmp_path, tasks, steps=60, dtype=torch.float32)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_verbs/loss"] < 0.5 * before["eval_verbs/loss"]
    assert after["eval_verbs/exact_match"] == after["eval_verbs/agreement"] > 0.5
    assert after["eval_words/accuracy"] > before["eval_words/accuracy"]
    trainer.save_model(str(tmp_path / "saved"))
    base = T5ForConditionalGeneration.from_pretrained(tiny_t5)
    plain = PeftModel.from_pretrained(base, tmp_path / "saved" / "verbs").eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_t5)
    pipe = MultiTaskPipeline(trainer.model, tokenizer, {task.name: task for task in tasks})
    answers = pipe([("verbs", {"lemma": lemma}, {"max_new_tokens": 8}) for lemma in VERBS])
    for lemma, [answer] in zip(VERBS, answers, strict=True):
        ids = [*tokenizer(f"{lemma}:")["input_ids"], tokenizer.eos_token_id]
        output = plain.generate(input_ids=torch.tensor([ids]), max_new_tokens=8, do_sample=False)
        assert tokenizer.decode(output[0, 1:], skip_special_tokens=True) == answer["generated_text"]
    assert plain.peft_config["default"].task_type == "SEQ_2_SEQ_LM"
