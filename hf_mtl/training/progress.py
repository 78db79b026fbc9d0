"""What a person sees while a run trains: round, speed, time left, and every task's loss.

In a terminal a bar with a compact table under it, redrawn in place, which is never higher than the terminal: of very
many tasks it shows those whose losses fell least. Elsewhere (a file, a CI log) some plain lines per logging step.

    trainer = MultiTaskTrainer(model, args, tasks, callbacks=[ProgressDisplay(suite.names, console)])

The trainer adds one by itself, unless `disable_tqdm=True` asks for plain log entries instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_mtl.printable import printable
from hf_mtl.terminal import Terminal
from hf_mtl.training.loss_board import LossBoard

__all__ = ["ProgressDisplay"]

BAR_LINES = 3  # the bar, the blank line under it, and the line that the cursor waits on


class ProgressDisplay(TrainerCallback):
    """Shows a run's progress with the loss of every task.

    Args:
        tasks: The tasks' names, in the order in which they are shown.
        console: Where to show; None is the standard output.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        console: Console | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = tuple(tasks)
        self._console = console or Terminal()
        self._clock = clock
        self._live: Live | None = None
        self._started = clock()
        self._first_round = 0
        self._round = 0
        self._rounds = 0
        self._tokens_per_second: float | None = None
        self._board = LossBoard(self._tasks)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Start the clock, and in a terminal the bar."""
        self.close()
        self._started = self._clock()
        self._first_round = self._round = state.global_step
        self._rounds = state.max_steps
        if self._console.is_terminal and state.is_world_process_zero:
            self._live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=4)
            self._live.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Move the bar."""
        self._round = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Show the losses of a training log; the logs of an evaluation, which have no `loss`, pass by."""
        if logs is None or "loss" not in logs or not state.is_world_process_zero:
            return
        self._round, self._rounds = state.global_step, state.max_steps
        self._tokens_per_second = logs.get("tokens_per_second")
        current = {task: logs[f"{task}/loss"] for task in self._tasks if f"{task}/loss" in logs}
        self._board.update(current)
        if self._live is None:
            self._print_plain(logs["loss"], current)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Leave the last picture standing."""
        self.close()

    def close(self) -> None:
        """Stop redrawing and give the cursor back; also for a training that ends by an exception."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _eta(self) -> str:
        done = self._round - self._first_round
        if done <= 0:
            return "–"
        left = (self._clock() - self._started) / done * (self._rounds - self._round)
        return str(timedelta(seconds=round(max(0.0, left))))

    def _speed(self) -> str:
        return "– tokens/s" if self._tokens_per_second is None else f"{self._tokens_per_second:,.0f} tokens/s"

    def _print_plain(self, loss: float, losses: Mapping[str, float]) -> None:
        facts = [
            f"round {self._round}/{self._rounds}",
            f"loss={loss:.4f}",
            self._speed(),
            f"eta {self._eta()}",
        ]
        for line in self._board.plain(facts, losses, self._console.width):
            self._console.out(printable(line), highlight=False)

    def _picture(self) -> Group:
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True, justify="right")
        head.add_row(
            Text(f"round {self._round}/{self._rounds}", style="bold"),
            ProgressBar(total=max(1, self._rounds), completed=self._round),
            Text(f"{self._speed()}  eta {self._eta()}"),
        )
        width, height = self._console.size
        return Group(head, Text(), *self._board.lines(width, height - BAR_LINES))
