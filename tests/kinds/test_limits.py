"""What a base has no token or position for, on every path: refused with task, row and the way out, before a pass."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from kind_bases import BASES, picture
from kind_cases import KINDS, ours, processor_for, task_of
from tiny_bases import CASES
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, ViTImageProcessor

from hf_mtl import MultiTaskPipeline, MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel, Task
from hf_mtl.data import PaddedBatch, PromptCompletion
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.models import (
    ConfiguredBase,
    Decoder,
    GenerationRequest,
    GenerationSettings,
    context_of,
    generate,
    load_base,
    load_processor,
    place_task,
)
from hf_mtl.models.base import facts_of, load_config
from hf_mtl.tasks import RowEncoder

NEW = "<new>"
TOKEN = rf"the (text|prompt) has the token \d+ \('{NEW}'\), and the base's vocabulary ends at \d+\. .*resize_token_emb"
COLUMN = {"single-label": "text", "pair": "second", "regression": "text", "causal-lm": "prompt",
          "seq2seq-lm": "completion", "label-scoring": "text", "spans": "context"}  # fmt: skip


@pytest.fixture(scope="module")
def grown(bases: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a base whose tokenizer has got a token that the base was not resized for."""
    root = tmp_path_factory.mktemp("grown")

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            shutil.copytree(bases(name), root / name)
            tokenizer = AutoTokenizer.from_pretrained(root / name)
            tokenizer.add_tokens([NEW])
            tokenizer.save_pretrained(root / name)
        return root / name

    return folder


def _grown_rows(name: str) -> list[dict[str, Any]]:
    """The rows of a kind; the new token is in the second one."""
    rows = [dict(row) for row in KINDS[name].rows]
    if name == "tags":
        rows[1]["tokens"] = [NEW, *rows[1]["tokens"][1:]]
    elif name == "chat":
        rows[1] = {"messages": [{"role": "user", "content": NEW}, rows[1]["messages"][1]]}
    else:
        rows[1][COLUMN[name]] += f" {NEW}"
    return rows


def _task(name: str, **changes: Any) -> Task:
    return Task(name, **({"kind": KINDS[name].kind, "metrics": [], **KINDS[name].task} | changes))


ADDED = [
    (name, base)
    for name in (*COLUMN, "tags", "chat")
    for base in ("bert", "llama", "t5")
    if base in KINDS[name].bases
]


@pytest.mark.parametrize(("name", "base"), ADDED)
def test_a_token_that_was_added_to_the_tokenizer_alone(
    grown: Callable[[str], Path], name: str, base: str
) -> None:
    folder, rows = grown(base), Dataset.from_list(_grown_rows(name))
    ours(folder, _task(name, eval=rows.select([0, 2])), dtype="float32")  # the others can be read
    with pytest.raises(DataError, match=f"^task '{name}', eval, row 1: {TOKEN}"):
        ours(folder, _task(name, eval=rows), dtype="float32")
    task = _task(name, train=rows.to_iterable_dataset())
    # What `validate` and `preview` know of the base.
    context = ConfiguredBase(facts_of(load_config(folder)), processor_for(folder)).context(task.declared)
    model = RoutedModel(load_base(folder)[0])
    place_task(model, task, seed=0)
    assert context_of(model, task, context.processor) == context
    with pytest.raises(DataError, match=f"^{TOKEN}"):
        RowEncoder(task, context).examples(rows[1])


def test_training_and_evaluation(grown: Callable[[str], Path], tmp_path: Path) -> None:
    rows = Dataset.from_list(_grown_rows("causal-lm"))
    for split in ("train", "eval"):
        with pytest.raises(DataError, match=f"^task 'causal-lm', {split}, row 1: {TOKEN}"):
            MultiTaskTrainer(
                str(grown("llama")),
                MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, report_to="none"),
                [_task("causal-lm", **{"train": rows.select([0]), split: rows})],
            ).evaluate()


def test_inputs_and_requests(grown: Callable[[str], Path]) -> None:
    names = ("single-label", "causal-lm", "label-scoring")
    own = ours(grown("llama"), *(task_of(name, KINDS[name]) for name in names), dtype="float32")
    pipe = MultiTaskPipeline(
        own.model, own.processor, {name: own.splits[name].encoder.task for name in names}
    )
    for name in names:
        with pytest.raises(DataError, match=f"^task '{name}', input 1: {TOKEN}"):
            pipe([(name, f"a {NEW}")])
    with pytest.raises(
        DataError, match=r"the route 'causal-lm' has the token \d+ \('<new>'\), and the base's"
    ):
        generate(own.model, pipe.processor, "causal-lm", [f"a {NEW}"], max_new_tokens=2)  # type: ignore[arg-type]  # a tokenizer


def test_a_type_of_token_that_the_base_has_no_embedding_for(
    bases: Callable[[str], Path], tmp_path: Path
) -> None:
    """A BERT's tokenizer marks a pair's second text, which an embedding of one type does not know."""
    folder = shutil.copytree(bases("bert"), tmp_path / "one-type")
    config = AutoConfig.from_pretrained(folder)
    config.type_vocab_size = 1
    AutoModel.from_config(config).save_pretrained(folder)
    ours(
        folder, _task("single-label", eval=KINDS["single-label"].rows), dtype="float32"
    )  # one text can be read
    message = r"^task 'pair', eval, row 0: the tokenizer gives the text 2 types of token, and the base has .* for 1\."
    with pytest.raises(DataError, match=message):
        ours(folder, _task("pair", eval=KINDS["pair"].rows), dtype="float32")
    context = ConfiguredBase(facts_of(load_config(folder)), processor_for(folder)).context
    task = _task("pair", eval=KINDS["pair"].rows)
    with pytest.raises(DataError, match=r"^the tokenizer gives the text 2 types"):
        RowEncoder(task, context(task.declared)).examples(KINDS["pair"].rows[0])


def test_labels(grown: Callable[[str], Path]) -> None:
    rows = [{"text": "a", "label": "b"}]
    task = _task("label-scoring", eval=rows, labels=["b", NEW])
    with pytest.raises(ConfigError, match=rf"^task 'label-scoring': the label '{NEW}' has the token \d+"):
        ours(grown("llama"), task, dtype="float32")


def test_tokens_that_fill_rows_up() -> None:
    case = CASES["T5ForConditionalGeneration"]
    base = case.base(torch.float32)
    base.config.pad_token_id = 97
    with pytest.raises(
        ConfigError, match=r"config.pad_token_id is 97: it has the token 97, and .* ends at 96"
    ):
        RoutedModel(base)


def _stock_reads(base: PreTrainedModel, tokens: int) -> bool:
    try:
        base(input_ids=torch.full((1, tokens), 5))
    except IndexError:
        return False
    return True


def test_positions_of_a_decoder(bases: Callable[[str], Path]) -> None:
    """As many as the stock model takes, and not one more."""
    base, _ = load_base(bases("gpt2"))
    assert _stock_reads(base, 64) and not _stock_reads(base, 65)

    def row(tokens: int) -> dict[str, str]:
        return {"prompt": "." * (tokens - 2), "completion": "!"}  # and an end token

    fits = ours(bases("gpt2"), _task("causal-lm", eval=[row(64)]), dtype="float32")
    assert len(fits.sequences("causal-lm")[0].input_ids) == 64
    fits.run("causal-lm")
    with pytest.raises(
        DataError,
        match=r"^task 'causal-lm', eval, row 1: the prompt with its completion has 65 tokens, and the base has "
        r"positions for 64. Shorten it, cut rows at their end with max_length=64 or less",
    ):
        ours(bases("gpt2"), _task("causal-lm", eval=[row(64), row(65)]), dtype="float32")
    long = {"prompt": "a", "completion": "!" * 80}
    ours(bases("gpt2"), _task("causal-lm", eval=[long], max_length=64), dtype="float32").run("causal-lm")


def test_positions_of_the_longest_label(bases: Callable[[str], Path]) -> None:
    """Every label is run behind a row's prompt, also one that is longer than the row's."""

    def task(dots: int) -> Task:
        rows = [{"text": "." * dots, "label": "!"}]
        template = PromptCompletion("{text}", "{label}")
        return _task("label-scoring", eval=rows, labels=["!", "?!?!?!"], template=template)

    fits = ours(bases("gpt2"), task(57), dtype="float32")
    fits.run("label-scoring")
    [own] = fits.sequences("label-scoring")
    split = fits.splits["label-scoring"].encoder
    asked = split.task.own_kind.questions(own, split.context)
    fits.model.by_route(fits.model.layout.lay_out(fits.model.layout.cut(asked, 0)))
    with pytest.raises(DataError, match="row 0: the prompt with its completion has 65 tokens"):
        ours(bases("gpt2"), task(58), dtype="float32")


@pytest.fixture(scope="module")
def bart(bases: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART of 64 learned positions in each half, with a T5's tokenizer."""
    folder = tmp_path_factory.mktemp("bart")
    case = CASES["BartForConditionalGeneration"]
    tokenizer = AutoTokenizer.from_pretrained(bases("t5"))
    base = case.base(torch.float32)
    base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    base.config.pad_token_id, base.config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    base.config.decoder_start_token_id = tokenizer.pad_token_id
    base.generation_config.update(pad_token_id=0, bos_token_id=0, eos_token_id=1, decoder_start_token_id=0)
    base.generation_config.forced_eos_token_id = None
    base.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "a" * 63, "completion": "b"}, "the prompt with its end token"),
        ({"prompt": "a", "completion": "b" * 63}, "the completion"),
    ],
)
def test_positions_of_an_encoder_decoder(bart: Path, row: dict[str, str], told: str) -> None:
    """Each half has its own. The tokenizer puts one token before every word."""
    fits = {name: text[: max(1, len(text) - 1)] for name, text in row.items()}
    own = ours(bart, _task("seq2seq-lm", eval=[fits]), dtype="float32")
    batch = own.model.layout.lay_out(own.model.layout.cut(own.sequences("seq2seq-lm"), 0))
    assert isinstance(batch, PaddedBatch)
    assert max(batch.inputs[name].shape[1] for name in ("input_ids", "decoder_input_ids")) == 64
    own.run("seq2seq-lm")
    with pytest.raises(
        DataError, match=f"eval, row 0: {told} has 65 tokens, and the base has positions for 64"
    ):
        ours(bart, _task("seq2seq-lm", eval=[row]), dtype="float32")


def test_answers_of_an_encoder_decoder(bart: Path) -> None:
    base, _ = load_base(bart)
    model, tokenizer = RoutedModel(base), load_processor(bart)
    task = _task("seq2seq-lm", train=KINDS["seq2seq-lm"].rows)
    place_task(model, task, seed=0)
    decoder = Decoder(model, tokenizer)  # type: ignore[arg-type]  # a tokenizer
    request = GenerationRequest("seq2seq-lm", tuple(range(3, 59)), GenerationSettings(max_new_tokens=200))
    decoder._end_ids = set()
    [answer] = decoder.generate([request])
    assert (len(answer.token_ids), answer.finish) == (64, "length")
    pipe = MultiTaskPipeline(model, tokenizer, {"seq2seq-lm": task})
    with pytest.raises(
        DataError, match="input 1: the prompt has 4 tokens, and 65 more are to follow, but the base"
    ):
        pipe([("seq2seq-lm", "a b", {"max_new_tokens": 65})])


@pytest.mark.parametrize("path", ["rows", "inputs"])
def test_images_of_another_size(bases: Callable[[str], Path], path: str) -> None:
    base, _ = load_base(bases("vit"))
    model, task = RoutedModel(base), task_of("images", KINDS["images"])
    place_task(model, task, seed=0)
    large = ViTImageProcessor(size={"height": 16, "width": 16})
    told = r"makes an image of 3 x 16 x 16 \(channels x height x width\), and the base reads 3 x 12 x 12. Use the base"
    if path == "rows":
        with pytest.raises(DataError, match=told):
            RowEncoder(task, context_of(model, task, large)).examples({"image": picture(0), "label": 0})
    else:
        with pytest.raises(DataError, match=rf"^task 'images', input 1: the image processor {told}"):
            MultiTaskPipeline(model, large, {"images": task})([("images", picture(0))])


def test_the_bases_that_are_tried() -> None:
    assert {base for _, base in ADDED} | {"vit", "gpt2"} <= set(BASES)
