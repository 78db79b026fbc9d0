"""The part of the trainer that puts adapters and checkpoints on the Hub, in the places where the stock Trainer does.

What is pushed while the run goes on is copied first: the next checkpoint, or the deletion of an old one, must not
change files that are on their way.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitInfo
from transformers.trainer_utils import HubStrategy, SaveStrategy

from hf_mtl.errors import HfMtlError, HubError, WriteError
from hf_mtl.export import save_suite
from hf_mtl.export.cards import CARD_FILE, FACTS_FILE, Places, refresh_cards
from hf_mtl.export.hub import (
    Hub,
    Place,
    Pushed,
    Upload,
    bring_up_to_date,
    card_files,
    check_account,
    check_places,
    folder_change,
    plan_push,
    repo_name,
    upload_plan,
)
from hf_mtl.files import link_or_copy, writing
from hf_mtl.notices import logger_of
from hf_mtl.tasks import Processor
from hf_mtl.training.checkpointing import CheckpointingTrainer
from hf_mtl.training.checkpoints import INDEX_FILE, read_checkpoint
from hf_mtl.training.stock import stock_without_tasks

__all__ = ["PushingTrainer", "remove_stages"]

logger = logger_of(__name__)

Result = TypeVar("Result")

STAGE = "_push-"  # folders in a run's folder


@stock_without_tasks
class PushingTrainer(CheckpointingTrainer):
    """Abstract: a trainer whose adapters go to one repository of the Hub, a folder per task.

    `hub_strategy` says what is pushed while the run goes on: nothing ("end"), at every checkpoint the adapters
    ("every_save"), and with them the checkpoint itself, as `last-checkpoint` ("checkpoint") or under its own name
    ("all_checkpoints"). A run resumes from such a folder.
    """

    processing_class: Processor
    hub_model_id: str | None  # type: ignore[assignment]  # the parent begins with None, and says no more
    _jobs: tuple[Future[None], ...] = ()  # pushes of checkpoints that may still be under way
    _uploads: ThreadPoolExecutor | None = None  # one worker, so that uploads keep their order

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository, once everything that could keep a push from working has been looked at.

        Args:
            token: A token that may write; default `hub_token`.
            private: Whether a repository that is made now is private; default `hub_private_repo`.

        Raises:
            ConfigError: If the token may not write there, or the name is taken by something else.
            HubError: If the Hub cannot be asked.
        """
        if not self.is_world_process_zero():
            return
        hub = self._hub(token)
        account = hub.account()
        asked = self.args.hub_model_id or repo_name(Path(self.args.output_dir or ".").absolute().name)
        repo = asked if "/" in asked else f"{account.user}/{asked}"
        place = Place(repo, self.suite.names)
        check_account(account, [place], hub)
        if check_places(hub, [place])[repo] is None:
            hub.create(repo, private=self.args.hub_private_repo if private is None else private)
        self.hub_model_id = repo

    def write_suite(self, folder: Path) -> None:
        """Write every task's adapter, and the manifest."""
        save_suite(
            self.model, folder, names=self.suite.names, processor=self.processing_class, tasks=self.suite
        )

    def push_to_hub(  # type: ignore[override]  # `create_cards` in the place of a card's arguments
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        create_cards: bool = True,
    ) -> CommitInfo | Future[CommitInfo] | None:
        """Write all adapters into `output_dir`, and put them on the Hub with the cards that lie there.

        Args:
            commit_message: Of the commit; there is none if the Hub has everything already.
            blocking: Whether to wait for the end of the upload.
            token: A token that may write; default `hub_token`.
            revision: The branch; default `hub_revision`, or the main one.
            private: Whether a repository that is made now is private; default `hub_private_repo`.
            create_cards: Whether to write the cards anew, see `create_model_card`; else those in `output_dir` go out.
                Cards that were written by hand, without `cards.json` beside them, are never touched.

        Returns:
            The commit that holds the adapters, or its `Future`; None in all processes but the first.

        Raises:
            ConfigError: If the token may not write there, or the name is taken by something else.
            HubError: If the Hub failed too often; call it again, and it goes on from there.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token, private)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self._finish_current_push()
        by_hand = (self._run_dir / CARD_FILE).is_file() and not (self._run_dir / FACTS_FILE).is_file()
        if create_cards and not by_hand:
            self.create_model_card()
        refresh_cards(self._run_dir, Places(self._repo))  # they name the repository that they are in
        hub, message = self._hub(token), commit_message or "End of training"
        branch = revision or self.args.hub_revision
        if blocking:
            return _commit_info(self._push_suite(hub, self._run_dir, message, branch), message)
        stage = self._stage()
        return self._in_background(
            stage, lambda: _commit_info(self._push_suite(hub, stage / "suite", message, branch), message)
        )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Push in the background what `hub_strategy` asks for, unless the last push is still under way."""
        args = self.args
        if not self.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
            return
        self._jobs = tuple(job for job in self._jobs if not job.done())
        if self._jobs and not args.hub_always_push:
            return
        self.callback_handler.on_push_begin(args, self.state, self.control)
        hub, message = self._hub(), self._progress_message()
        checkpoint = None
        try:
            stage = self._stage()
            if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
                checkpoint = stage / Path(checkpoint_folder).name
                with writing(checkpoint):
                    shutil.copytree(checkpoint_folder, checkpoint, copy_function=link_or_copy)
        except WriteError as error:  # the checkpoint itself is whole
            logger.warning("A push in the background was not begun, and the run goes on: %s", error)
            return

        def push() -> None:
            self._push_suite(hub, stage / "suite", message, args.hub_revision)
            if checkpoint is not None:
                self._push_checkpoint(hub, checkpoint, f"{message}, checkpoint")

        job = self._in_background(stage, push)
        job.add_done_callback(_tell_failure)
        self._jobs += (job,)

    def _finish_current_push(self) -> None:
        """Wait until what was begun is on the Hub, or has failed."""
        if not all(job.done() for job in self._jobs):
            logger.info("Waiting until the last checkpoint is on the Hub.")
            wait(self._jobs)

    def _progress_message(self) -> str:
        if self.args.save_strategy == SaveStrategy.STEPS:
            return f"Training in progress, step {self.state.global_step}"
        return f"Training in progress, epoch {int(self.state.epoch or 0)}"

    @property
    def _run_dir(self) -> Path:
        return Path(self.args.output_dir or ".")

    def _hub(self, token: str | None = None) -> Hub:
        return Hub(token if token is not None else self.args.hub_token)

    @property
    def _repo(self) -> str:
        if self.hub_model_id is None:
            raise HubError("there is no repository to push to; call init_hf_repo first.")
        return self.hub_model_id

    def _push_suite(self, hub: Hub, folder: Path, message: str, revision: str | None) -> Pushed:
        namespace, name = self._repo.split("/")
        return upload_plan(hub, plan_push(folder, namespace, name), Upload(message, revision=revision))

    def _push_checkpoint(self, hub: Hub, folder: Path, message: str) -> None:
        last = self.args.hub_strategy == HubStrategy.CHECKPOINT
        paths = [*read_checkpoint(folder).index.files, INDEX_FILE]
        target = "last-checkpoint" if last else folder.name
        bring_up_to_date(
            hub, self._repo, folder_change(folder, paths, target, message, self.args.hub_revision)
        )

    def _stage(self) -> Path:
        """A folder of its own with the adapters as they are now, and the cards that `output_dir` has for them."""
        with writing(self._run_dir), ExitStack() as undo:
            stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=self._run_dir))
            undo.callback(shutil.rmtree, stage, ignore_errors=True)
            suite = stage / "suite"
            self.write_suite(suite)
            for folder in (suite, *(path for path in suite.iterdir() if path.is_dir())):
                for card in card_files(self._run_dir / folder.relative_to(suite)):
                    shutil.copy(card, folder)
            undo.pop_all()
        return stage

    def _in_background(self, stage: Path, push: Callable[[], Result]) -> Future[Result]:
        """Push, then delete what was copied for it."""
        self._uploads = self._uploads or ThreadPoolExecutor(max_workers=1)

        def run() -> Result:
            try:
                return push()
            finally:
                shutil.rmtree(stage, ignore_errors=True)

        return self._uploads.submit(run)


def remove_stages(run_dir: Path) -> None:
    """Delete the copies that a killed run had made for a push."""
    for stage in run_dir.glob(f"{STAGE}*"):
        shutil.rmtree(stage, ignore_errors=True)


def _commit_info(pushed: Pushed, message: str) -> CommitInfo:
    suite = pushed.suite
    return CommitInfo(
        commit_url=f"{suite.url}/commit/{suite.commit}",
        commit_message=message,
        commit_description="",
        oid=suite.commit,
    )


def _tell_failure(job: Future[None]) -> None:
    """A run does not end because the Hub is away; but it is logged."""
    error = job.exception()
    if isinstance(error, HfMtlError):
        logger.warning("A push in the background failed, and the run goes on: %s", error)
    elif error is not None:
        logger.error("A push in the background failed, and the run goes on.", exc_info=error)
