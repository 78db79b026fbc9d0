"""The progress display: a bar in a terminal, plain lines elsewhere, no complaint about other logs."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pytest
from rich.cells import cell_len
from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from hf_mtl.training.loss_board import wrap
from hf_mtl.training.progress import ProgressDisplay

# What a terminal is told: to hide and show the cursor, and to erase a line.
HIDE, SHOW, ERASE = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"

THREE = ["sentiment", "word sense", "past/tense_[x]"]
THIRTY = [f"task {number}" for number in range(30)]


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A training run as the callback sees it, without a trainer."""

    def __init__(self, tasks: list[str], *, terminal: bool, width: int = 80, height: int = 24) -> None:
        self.out = io.StringIO()
        console = Console(
            file=self.out, force_terminal=terminal, width=width, height=height, color_system=None
        )
        self.clock = Clock()
        self.tasks = tasks
        self.console = console
        self.display = ProgressDisplay(tasks, console, clock=self.clock)
        self.args = TrainingArguments(output_dir="unused", report_to="none", use_cpu=True)
        self.state = TrainerState(max_steps=120)
        self.control = TrainerControl()

    def begin(self) -> None:
        self.display.on_train_begin(self.args, self.state, self.control)

    def step(self, to: int, seconds: float) -> None:
        self.state.global_step = to
        self.clock.now += seconds
        self.display.on_step_end(self.args, self.state, self.control)

    def log(self, logs: dict[str, float]) -> None:
        self.display.on_log(self.args, self.state, self.control, logs=logs)

    def log_losses(self, loss: float = 0.5) -> None:
        losses = {f"{task}/loss": loss for task in self.tasks}
        self.log({"loss": loss, "tokens_per_second": 3512.4, **losses})

    def end(self) -> str:
        self.display.on_train_end(self.args, self.state, self.control)
        return self.out.getvalue()

    def last_picture(self) -> list[str]:
        """End the run and return the lines that stay on the screen."""
        return self.end().split(ERASE)[-1].replace(HIDE, "").replace(SHOW, "").splitlines()


@pytest.fixture
def plain() -> Run:
    return Run(THREE, terminal=False)


@pytest.fixture
def terminal() -> Iterator[Run]:
    run = Run(THREE, terminal=True)
    yield run
    run.display.close()


def test_plain_line(plain: Run) -> None:
    plain.begin()
    plain.step(10, seconds=20)
    plain.log_losses(1.25)
    assert plain.end().splitlines() == [
        "round 10/120  loss=1.2500  3,512 tokens/s  eta 0:03:40  sentiment=1.2500",
        "    word sense=1.2500  past/tense_[x]=1.2500",
    ]


def test_plain_lines_have_no_escapes_and_fit() -> None:
    run = Run(THIRTY, terminal=False)
    run.begin()
    run.step(1, seconds=1)
    run.log_losses()
    text = run.end()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"{task}=0.5000" in text for task in THIRTY)


def test_plain_shows_only_the_tasks_of_this_log(plain: Run) -> None:
    plain.begin()
    plain.log({"loss": 1.0, "sentiment/loss": 1.0, "sentiment/learning_rate": 0.1})
    assert plain.end() == "round 0/120  loss=1.0000  – tokens/s  eta –  sentiment=1.0000\n"


def test_eta_of_a_resumed_run_counts_its_own_rounds(plain: Run) -> None:
    plain.state.global_step = 100
    plain.begin()
    plain.step(110, seconds=10)
    plain.log({"loss": 1.0})
    assert "eta 0:00:10" in plain.end()


@pytest.mark.parametrize(
    "logs", [{}, {"eval_sentiment/loss": 1.0}, {"train_loss": 1.0, "train_runtime": 2.0}]
)
@pytest.mark.parametrize("kind", [False, True])
def test_other_logs_pass_by(logs: dict[str, float], kind: bool) -> None:
    run = Run(THREE, terminal=kind)
    run.begin()
    run.log(logs)
    assert "loss=" not in run.end()


def test_logs_before_and_without_training(plain: Run) -> None:
    plain.log({"eval_sentiment/loss": 1.0})
    plain.display.on_log(plain.args, plain.state, plain.control)
    assert plain.end() == ""


def test_other_ranks_are_silent(plain: Run) -> None:
    plain.state.is_world_process_zero = False
    plain.begin()
    plain.log_losses()
    assert plain.end() == ""


def test_terminal(terminal: Run) -> None:
    terminal.begin()
    terminal.step(30, seconds=30)
    terminal.log_losses(math.nan)
    terminal.log_losses(0.25)
    bar, blank, table = terminal.last_picture()
    assert bar.startswith("round 30/120  ━")
    assert bar.endswith("3,512 tokens/s  eta 0:01:30")
    assert blank == ""
    assert table.split() == ["sentiment", "0.2500", "word", "sense", "0.2500", "past/tense_[x]", "0.2500"]


def test_terminal_keeps_the_loss_of_an_absent_task(terminal: Run) -> None:
    terminal.begin()
    terminal.log({"loss": 1.0, "sentiment/loss": 1.0})
    terminal.log({"loss": 2.0, "word sense/loss": 2.0})
    words = terminal.last_picture()[-1].split()
    assert words == ["sentiment", "1.0000", "word", "sense", "2.0000", "past/tense_[x]", "–"]


def test_thirty_tasks_in_columns() -> None:
    run = Run(THIRTY, terminal=True)
    run.begin()
    run.log_losses()
    lines = run.last_picture()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "\n".join(lines).count("0.5000") == 30


def test_a_low_terminal_shows_the_tasks_that_fell_least_and_counts_the_rest() -> None:
    run = Run(THIRTY, terminal=True, width=50, height=8)
    run.begin()
    run.log_losses(1.0)
    falling = {f"{task}/loss": 0.5 - number / 100 for number, task in enumerate(THIRTY)}
    run.log({"loss": 0.5, **falling, "task 7/loss": math.nan, "task 20/loss": 1.5})
    *_, title, first, _, _, rest = run.last_picture()
    assert title.split() == ["The", "6", "of", "30", "tasks", "whose", "losses", "fell", "least:"]
    assert first.split() == ["task", "7", "nan", "task", "1", "0.4900"]
    assert rest.startswith("… and 24 more, losses 0.2100 to 0.4600")


@pytest.mark.parametrize("count", [1, 4, 30, 100])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50), (60, 8), (80, 5), (40, 4)])
def test_never_higher_or_wider_than_the_terminal(count: int, width: int, height: int) -> None:
    names = [f"glue/mnli-matched-fold-{number:03}" for number in range(count - 1)] + ["情感分析/" * 30]
    run = Run(names, terminal=True, width=width, height=height)
    run.begin()
    run.log_losses()
    lines = run.last_picture()
    assert len(lines) < height
    assert max(map(cell_len, lines)) <= width
    shown = [word for line in lines[2:] for word in line.split() if "…" in word or "/" in word]
    assert len(shown) == len(set(shown))
    if count <= 30 and width >= 80 and height >= 24:
        assert "\n".join(lines).count("0.5000") == count


def test_a_plain_log_of_many_tasks_names_those_that_fell_least() -> None:
    names = [f"a task of a long name, {number}" for number in range(100)]
    run = Run(names, terminal=False)
    run.begin()
    run.log_losses(1.0)
    run.log({"loss": 0.5, **{f"{task}/loss": 0.25 for task in names}, f"{names[50]}/loss": 3.0})
    lines = run.end().splitlines()
    assert len(lines) <= 16 and max(map(len, lines)) <= 80
    assert "fell least:  a task of a long name, 50=3.0000" in "  ".join(map(str.strip, lines[-8:]))
    assert lines[-1].endswith("more of 0.2500 to 0.2500, median 0.2500")


@pytest.mark.parametrize("name", ["x" * 200, "名" * 100])
def test_long_names_lose_their_middle(name: str) -> None:
    run = Run([name], terminal=True, width=60)
    run.begin()
    run.log_losses()
    shown, _ = run.last_picture()[-1].split()
    assert shown.count("…") == 1 and shown[0] == name[0] and shown[-1] == name[-1]


def test_close_gives_the_cursor_back(terminal: Run) -> None:
    terminal.begin()
    terminal.display.close()
    terminal.display.close()
    assert terminal.out.getvalue().endswith(SHOW)


def test_wrap() -> None:
    assert wrap(["aa", "bb", "cc"], width=6) == ["aa  bb", "    cc"]
    assert wrap(["a" * 9, "b"], width=6) == ["a" * 9, "    b"]
    assert wrap([], width=6) == []
