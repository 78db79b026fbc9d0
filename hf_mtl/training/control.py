"""What steers a run from outside its rounds: its end, its place in the epoch, and signals that ask it to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from hf_mtl.training.rounds import RoundLoader

__all__ = ["RunControl", "StopSignal"]

logger = logging.getLogger(__name__)


class StopSignal:
    """SIGTERM and SIGINT as a wish: the round at hand is finished, a checkpoint written, and then the signal obeyed.

    A second signal is obeyed at once.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        logger.warning(
            "%s: finishing the round, then saving a checkpoint. Send it again to stop at once.",
            signal.Signals(number).name,
        )
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Note signals inside the `with` block. Outside the main thread Python allows no handlers, so none is noted."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.number = None
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def obey(self) -> None:
        """End as the signal would have ended the process.

        Raises:
            KeyboardInterrupt: After SIGINT.
            SystemExit: After SIGTERM, with the exit status 143.
        """
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.number == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)


class RunControl(TrainerCallback):
    """Tells the stock loop where the run stands.

    Args:
        loader: The rounds.

    Attributes:
        stopping: Whether a process was asked to stop; set by the trainer after each round.
    """

    def __init__(self, loader: RoundLoader) -> None:
        self.loader = loader
        self.stopping = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> TrainerControl:
        """Set the epoch (a resumed loop would count from its own start), and end the run when no task is left."""
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
        """Where a callback ended the epoch, leave out the rest of it, as the stock loop leaves out its batches."""
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
