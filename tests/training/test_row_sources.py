"""What is known of a task's rows beforehand is the same whether they are stored or streamed."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset
from peft import LoraConfig

from hf_mtl import Task
from runs import trainer_of


def test_the_mean_length_of_a_streams_rows_is_that_of_stored_ones(tiny_llama: Path, tmp_path: Path) -> None:
    stored = Dataset.from_list([{"text": text, "label": 0.5} for text in ("a", "b", "good good")])
    tasks = {
        name: Task(name, kind="regression", train=rows, adapter=LoraConfig(r=2), batch_size=2)
        for name, rows in (("stored", stored), ("streamed", stored.to_iterable_dataset()))
    }
    trainer = trainer_of(tiny_llama, tmp_path, tasks)
    lengths = [len(trainer.processing_class(text)["input_ids"]) for text in stored["text"]]
    assert min(lengths) == 1
    assert trainer.sources["stored"].tokens_per_row == sum(lengths) / 3
    assert trainer.sources["streamed"].tokens_per_row == sum(lengths) / 3
    first = [trainer.sources[name].batch(0) for name in tasks]
    assert [len(batch) for batch in first] == [2, 2]
