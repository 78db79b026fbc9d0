"""What steers a run from outside its rounds: its end, its place in the epoch, and signals that ask it to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from hf_mtl.notices import logger_of
from hf_mtl.training.rounds import RoundLoader
from hf_mtl.training.state import State

__all__ = ["LoopState", "RunControl", "StopSignal"]

logger = logger_of(__name__)

_HANGUP = signal.SIGHUP if sys.platform != "win32" else None

# What a signal does when it comes again.
_SECOND: dict[int, Callable[[int, FrameType | None], object] | signal.Handlers] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
if _HANGUP is not None:
    _SECOND[_HANGUP] = signal.SIG_IGN


class StopSignal:
    """SIGTERM, SIGINT and SIGHUP as a wish: finish the round, write a checkpoint, then obey the signal.

    A second SIGTERM or SIGINT is obeyed at once. A second SIGHUP is not: of a terminal that closes, the kernel and the
    shell may send one each. Where SIGHUP is ignored from the start (`nohup`) it stays so.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        if number == _HANGUP:
            _leave_terminal()
        again = "" if number == _HANGUP else " Send it again to stop at once."
        logger.warning(
            "%s: finishing the round, then saving a checkpoint.%s", signal.Signals(number).name, again
        )
        signal.signal(number, _SECOND[number])

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Note signals inside the `with` block. Outside the main thread Python allows no handlers, so none is noted."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.number = None
        heard = [n for n in _SECOND if n != _HANGUP or signal.getsignal(n) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def obey(self) -> None:
        """End as the signal would have ended the process.

        Raises:
            KeyboardInterrupt: After SIGINT.
            SystemExit: After SIGTERM and SIGHUP, with the exit status 143 or 129.
        """
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.number is not None:
            raise SystemExit(128 + self.number)


def _leave_terminal() -> None:
    """Write nowhere from now on, if the terminal has hung up: an error at a log entry would cost the checkpoint."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)


class RunControl(TrainerCallback):
    """Tells the stock loop where the run stands.

    Args:
        loader: The rounds.

    Attributes:
        stopping: Whether a process was asked to stop; set by the trainer after each round.
        in_epoch: Whether a round was made since the last end of an epoch.
        last_step: The gradient norm and the learning rate of the latest round.
        breaks_off: Whether the end of an epoch that the loop has come to is to be none: rounds of the epoch were broken
            off by a signal, or there were none.
    """

    def __init__(self, loader: RoundLoader) -> None:
        self.loader = loader
        self.stopping = False
        self.breaks_off = False
        self.in_epoch = False
        self.last_step: Sequence[float | None] = (None, None)

    def epoch_end_due(self) -> bool:
        """Whether the last round was the last of its epoch, and what follows at an epoch's end has not begun."""
        return self.in_epoch and (not self.loader.plan.number % len(self.loader) or self._over())

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> TrainerControl:
        """Set the epoch (a resumed loop would count from its own start), and end the run when no task is left."""
        self.in_epoch, self.breaks_off = True, False
        state.epoch = self.loader.plan.number / len(self.loader)
        if self._over() and state.global_step < state.max_steps:
            control.should_log = True
            # The end of an epoch, which follows, does the same where it is asked for by epochs.
            control.should_evaluate |= args.eval_strategy == IntervalStrategy.STEPS
            control.should_save |= args.save_strategy == SaveStrategy.STEPS
        control.should_training_stop |= self._over()
        if self.stopping:
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Where a callback ended the epoch, leave out the rest of it, as the stock loop leaves out its batches.

        After a signal there is nothing to be done at the end of the epoch: the resume does it where the epoch is over.
        """
        self.breaks_off = self.stopping or not self.in_epoch
        self.in_epoch = False
        if control.should_epoch_stop:
            self.loader.end_epoch()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> TrainerControl:
        """End the run if the last task has stopped."""
        control.should_training_stop |= self._over()
        return control

    def _over(self) -> bool:
        plan = self.loader.plan
        return not plan.active or plan.number >= plan.rounds


@dataclass(frozen=True)
class LoopState:
    """What the stock loop begins anew at a resume, as a part of a run: sums of losses, and an end of an epoch."""

    trainer: Trainer
    control: RunControl

    def state_dict(self) -> State:
        """The sums, and the end of the epoch with what it is to log."""
        return {
            "loss": self.trainer._tr_loss.item(),
            "total_loss": self.trainer._total_loss_scalar,
            "last_logged": self.trainer._globalstep_last_logged,
            "epoch_end_due": self.control.epoch_end_due(),
            "last_step": list(self.control.last_step),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on where `state_dict` was called."""
        self.trainer._tr_loss.fill_(state["loss"])
        self.trainer._total_loss_scalar = state["total_loss"]
        self.trainer._globalstep_last_logged = state["last_logged"]
        self.control.in_epoch, self.control.last_step = state["epoch_end_due"], state["last_step"]
