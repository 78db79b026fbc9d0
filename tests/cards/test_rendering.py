"""What a card shows, and that no text from outside can change its form."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData, metadata_load
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from markdown_it import MarkdownIt

from hf_mtl.errors import CheckpointError
from hf_mtl.export.cards import FACTS_FILE, Places, SuiteFacts, TaskFacts, suite_card, task_card, write_cards
from hf_mtl.export.cards.escaping import one_line
from hf_mtl.versions import PLAIN_PREFIX_NOTE

EVIL = (
    "</script><script>alert(1)</script>",
    "---",
    "---\nlicense: mit\n---",
    "{{ 7 * 7 }} {% raw %}",
    "a | b || c \\| d",
    "`tick` ``` ~~~",
    "# no heading\n## none",
    "- no list",
    "1. none",
    "![picture](https://example.org/x.png) [link](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "https://example.org www.example.org someone@example.org",
    "&lt;b&gt; &#60;",
    "*bold* _it_ ~~gone~~ $x$ \\",
    "key: value # comment",
    "!!python/object/apply:os.system ['ls']",
    "\u202eturned\u200b",
    "'single' \"double\" '''three'''",
    "x" * 500,
    "\x1b[31mred\x07\x00 \ud800 \x85 \u2028",
)


class Page(HTMLParser):
    """The elements of a page, the texts of its cells and the cells of each row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.rows: list[int] = []
        self.heads: list[str] = []
        self._into: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th", "h1", "h2"):
            self._into = self.heads if tag.startswith("h") and tag != "th" else self.cells
            self._into.append("")
            if self._into is self.cells:
                self.rows[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "h1", "h2"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


def page(card: str) -> Page:
    """A card's text as a browser gets it, with raw HTML let through, as the Hub does before it cleans it."""
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return Page(markdown.render(ModelCard(card).text))


def all_cards(facts: SuiteFacts) -> Iterator[str]:
    yield suite_card(facts, Places())
    for task in facts.tasks:
        yield task_card(facts, task, Places())


def spoiled(facts: SuiteFacts, evil: str) -> SuiteFacts:
    """The same suite with a text from outside wherever there can be one."""

    def own(task: TaskFacts) -> TaskFacts:
        return dataclasses.replace(
            task,
            name=f"{one_line(evil)} {task.kind}",
            about=evil,
            labels=(evil, "good"),
            template=None if task.template is None else {**task.template, "prompt": f"{evil} {{text}}"},
            samples=({"text": evil, evil: "x"},),
            licence=evil,
            languages=(evil,),
            adapter=tuple(dataclasses.replace(each, name=evil, value=evil) for each in task.adapter),
            figures=tuple(
                dataclasses.replace(each, metric=f"{evil} {each.metric}", over_seeds={evil: evil})
                for each in task.figures
            ),
            rows=tuple(
                dataclasses.replace(
                    rows, source=evil, note=evil, drawn=evil, hub_id=evil, config=evil, licence=evil, revision=evil,
                    nearest=evil, hub_split=evil, skipped={evil: 2},
                    numbers=dataclasses.replace(rows.numbers, labels={evil: 3}) if rows.numbers else None,
                )
                for rows in task.rows
            ),
        )  # fmt: skip

    return dataclasses.replace(
        facts,
        name=evil,
        base=dataclasses.replace(facts.base, hub_id=evil, note=evil, licence=evil),
        settings=tuple(
            dataclasses.replace(each, name=evil, value=evil, default=evil) for each in facts.settings
        ),
        objective=evil,
        isolation=evil,
        tasks=tuple(own(task) for task in facts.tasks),
        sharing=evil,
        environment={evil: evil},
    )


def test_facts_come_back_from_their_file(made_up: SuiteFacts, tmp_path: Path) -> None:
    made_up.save(tmp_path / FACTS_FILE)
    assert SuiteFacts.load(tmp_path / FACTS_FILE) == made_up
    first = (tmp_path / FACTS_FILE).read_bytes()
    SuiteFacts.load(tmp_path / FACTS_FILE).save(tmp_path / FACTS_FILE)
    assert (tmp_path / FACTS_FILE).read_bytes() == first


def test_a_card_shows_all_its_parts(made_up: SuiteFacts) -> None:
    for task in made_up.tasks:
        shown = page(task_card(made_up, task, Places()))
        assert shown.heads == [
            task.name, "How to use it", "Training data", "Training", "Results", "Adapters of the same suite",
            "Environment", "Limits", "Licence",
        ]  # fmt: skip
        for cell in (
            "a joy",
            "0.900",
            "0.850 to 0.950",
            "0.890",
            "0.880",
            "0.510",
            "0.9 ± 0.01",
            "6,000",
            "5e-05",
        ):
            assert cell in shown.cells
        assert [attributes["src"] for tag, attributes in shown.tags if tag == "img"] == ["loss_curve.png"]
        vllm = "--lora-modules causal-lm=" in task_card(made_up, task, Places())
        assert vllm == task.served_by_vllm


def _data(card: ModelCard) -> Any:
    """Its metadata; most of their fields are set by name."""
    return card.data


def test_metadata_are_what_the_hub_knows(made_up: SuiteFacts, tmp_path: Path) -> None:
    tags = {
        "causal-lm": "text-generation", "label-scoring": "text-generation", "seq2seq-lm": "text-generation",
        "regression": "text-classification",
    }  # fmt: skip
    for task in made_up.tasks:
        path = tmp_path / "README.md"
        path.write_text(task_card(made_up, task, Places()), encoding="utf-8")
        found = metadata_load(path)
        assert found is not None
        index = found.pop("model-index")
        pipeline = tags.get(task.kind, task.kind)
        assert found == {
            "base_model": "someone/base",
            "base_model_relation": "adapter",
            "datasets": ["someone/rows"],
            "language": ["en"],
            "library_name": "peft",
            "license": "mit",
            "metrics": ["accuracy"],
            "pipeline_tag": pipeline,
            "tags": ["hf_mtl", "multi-task", "lora"],
        }
        name, results = model_index_to_eval_results(index)
        assert name == task.name and eval_results_to_model_index(name, results) == index
        assert [(r.task_type, r.dataset_type, r.dataset_split, r.metric_value) for r in results] == [
            (pipeline, "someone/rows", "test", 0.9)
        ]
        again: Any = ModelCardData(**(metadata_load(path) or {}))
        assert again.to_dict() == _data(ModelCard.load(path)).to_dict()
        assert str(ModelCard.load(path)) == path.read_text(encoding="utf-8")


def test_no_result_of_a_suite_hides_another(made_up: SuiteFacts) -> None:
    results = _data(ModelCard(suite_card(made_up, Places()))).eval_results
    assert results is not None
    assert len(results) == len(made_up.tasks)
    assert len({result.unique_identifier for result in results}) == len(made_up.tasks)


@pytest.mark.parametrize("evil", EVIL)
def test_text_from_outside_changes_no_form(made_up: SuiteFacts, evil: str) -> None:
    marked = spoiled(made_up, evil)
    for card, plain in zip(all_cards(marked), all_cards(spoiled(made_up, "harmless")), strict=True):
        keys = _data(ModelCard(card)).to_dict().keys()
        assert keys <= {*_data(ModelCard(plain)).to_dict().keys(), "license_name"}
        shown, expected = page(card), page(plain)
        # A text that is no id of a repository gives no link where "harmless" gave one.
        kinds = [tag for tag, _ in shown.tags if tag not in ("a", "code")]
        assert kinds == [tag for tag, _ in expected.tags if tag not in ("a", "code")]
        assert shown.rows == expected.rows
        assert shown.heads[1:] == expected.heads[1:]
        links = [attributes["href"] or "" for tag, attributes in shown.tags if tag == "a"]
        assert all(re.match(r"https://huggingface\.co/|\.\./|[a-z0-9-]+/README\.md$", link) for link in links)
    for task in marked.tasks:
        assert one_line(evil) in page(task_card(marked, task, Places())).cells


def test_a_fence_is_longer_than_those_in_its_code(made_up: SuiteFacts) -> None:
    facts = spoiled(made_up, "```\n# out")
    card = task_card(facts, facts.tasks[0], Places())
    assert "out" not in page(card).heads
    assert "\n````\n" in card


@pytest.mark.parametrize(
    ("kind", "told"), [("PREFIX_TUNING", True), ("PROMPT_TUNING", True), ("LORA", False), ("IA3", False)]
)
def test_code_for_plain_peft_names_the_versions_that_read_virtual_tokens(
    made_up: SuiteFacts, kind: str, told: bool
) -> None:
    task = dataclasses.replace(made_up.tasks[0], peft_type=kind)
    facts = dataclasses.replace(made_up, tasks=(task, *made_up.tasks[1:]))
    assert (PLAIN_PREFIX_NOTE in task_card(facts, task, Places())) == told


def test_a_figure_that_is_no_number_is_left_out_of_the_index(made_up: SuiteFacts) -> None:
    first = made_up.tasks[0]
    figures = (dataclasses.replace(first.figures[0], value=float("nan")), *first.figures[1:])
    card = task_card(made_up, dataclasses.replace(first, figures=figures), Places())
    results = _data(ModelCard(card)).eval_results
    assert results is not None and [result.metric_type for result in results] == ["loss"]
    assert "no number" in page(card).cells


def test_a_licence_that_the_hub_does_not_know_is_named(made_up: SuiteFacts) -> None:
    own = dataclasses.replace(made_up.tasks[0], licence="my-own-licence")
    data = _data(ModelCard(task_card(made_up, own, Places())))
    assert (data.license, data.license_name) == ("other", "my-own-licence")
    unsaid = ModelCard(task_card(made_up, dataclasses.replace(own, licence=None), Places()))
    assert _data(unsaid).license is None and "has not stated a licence" in unsaid.text


def test_where_the_adapters_are(made_up: SuiteFacts) -> None:
    first = made_up.tasks[0]
    folders = task_card(made_up, first, Places("me/suite"))
    assert 'from_pretrained(base, "me/suite", subfolder="causal-lm")' in folders
    assert "hf download me/suite --include 'causal-lm/*'" in folders
    alone = task_card(made_up, first, Places("me/suite", {"causal-lm": "me/suite-lm"}))
    assert 'from_pretrained(base, "me/suite-lm")' in alone and "--lora-modules causal-lm=me/suite-lm" in alone
    assert "hf download" not in alone
    assert "https://huggingface.co/me/suite-lm" in suite_card(
        made_up, Places("me/suite", {"causal-lm": "me/suite-lm"})
    )
    assert '"your-name/made-up"' in task_card(made_up, first, Places())


def test_a_folder_without_facts_or_with_wrong_ones_is_refused(made_up: SuiteFacts, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="holds no cards.json; expected a folder that `hf-mtl train` wrote"
    ):
        write_cards(tmp_path)
    outside = dataclasses.replace(made_up.tasks[0], folder="../../elsewhere")
    dataclasses.replace(made_up, tasks=(outside,)).save(tmp_path / FACTS_FILE)
    with pytest.raises(CheckpointError, match="names folders outside its own: .*elsewhere"):
        write_cards(tmp_path)
    (tmp_path / FACTS_FILE).write_text('{"format_version": 99}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="newer hf_mtl"):
        write_cards(tmp_path)
    (tmp_path / FACTS_FILE).write_text('{"format_version": 1, "name": "x"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not hold the facts"):
        write_cards(tmp_path)
