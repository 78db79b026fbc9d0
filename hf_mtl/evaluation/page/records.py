"""What a run leaves in its folder for its page, beside `report.json`: small JSON files with a format version.

    {"format_version": 1, "content": ...}

`SINGLE.write(folder, {"sentiment": {"accuracy": 0.81}})` writes one, `SINGLE.read(folder)` gives it back, or None where
there is no such file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hf_mtl.errors import DataError
from hf_mtl.files import replacing, write_text
from hf_mtl.files.records import checked_record, read_record
from hf_mtl.printable import json_text, printable_json

__all__ = [
    "COSINES_FILE",
    "INCIDENTS",
    "LOG",
    "MIXTURE",
    "RELATIONS_FILE",
    "REPORT_FILE",
    "SINGLE",
    "STATE_FILE",
    "TRANSFER",
    "Figures",
    "Incident",
    "Log",
    "RecordFile",
    "Share",
    "numbers_of",
]

REPORT_FILE = "report.json"  # a Report
STATE_FILE = "trainer_state.json"  # in a checkpoint, as transformers.Trainer writes it, with its log so far
COSINES_FILE = "cosines.json"  # Relations
RELATIONS_FILE = "relations.json"  # Relations

FORMAT_VERSION = 1

Figures = Mapping[str, Mapping[str, float]]
"""By task and metric."""

Log = Sequence[Mapping[str, float]]
"""The numbers of `trainer.state.log_history`, as `numbers_of` gives them."""

_FILE_RULES = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Share:
    """What one task had of a run: its counts, and its shares of all tasks in [0, 1]; None where not known."""

    __pydantic_config__: ClassVar[ConfigDict] = _FILE_RULES

    tokens: int
    tokens_share: float
    steps: int | None = None
    examples: int | None = None
    examples_share: float | None = None
    planned_examples_share: float | None = None
    planned_tokens_share: float | None = None


@dataclass(frozen=True)
class Incident:
    """Something that went wrong in one task.

    Args:
        task: Its name.
        round: The round.
        problem: What was seen.
        rows: The numbers of the rows it was seen in.
        quarantined: Whether the task left the run.
        outcome: What became of the task's weights, where they were put back.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FILE_RULES

    task: str
    round: int
    problem: str
    rows: tuple[int, ...] = ()
    quarantined: bool = False
    outcome: str = ""


Content = TypeVar("Content")


@final
class RecordFile(Generic[Content]):
    """One of the files.

    Args:
        name: The file's name in the run's folder.
        adapter: Reads and writes its content.
        item: Of a long list, writes one item. Such a file has an item per line, and its text is never whole in memory.
    """

    def __init__(
        self,
        name: str,
        adapter: TypeAdapter[Content],
        *,
        item: TypeAdapter[Any] | None = None,  # Any: an item of the content
    ) -> None:
        self.name = name
        self._adapter = adapter
        self._item = item

    def write(self, folder: str | Path, content: object) -> None:
        """Write the file.

        Args:
            folder: The run's folder.
            content: Objects of the content's type, or the plain dictionaries and lists that spell it; of a file with an
                item per line any iterable.

        Raises:
            DataError: It is not of that form.
        """
        try:
            if self._item is not None and isinstance(content, Iterable):
                return self._write_items(Path(folder), self._item, content)
            checked = self._adapter.validate_python(content)
        except ValidationError as error:
            raise DataError(f"{self.name} cannot hold this: {error}") from error
        plain = json.loads(self._adapter.dump_json(checked))
        text = json_text({"format_version": FORMAT_VERSION, "content": plain}, indent=2)
        write_text(Path(folder) / self.name, text + "\n")

    def _write_items(
        self, folder: Path, item: TypeAdapter[Any], content: Iterable[object]
    ) -> None:  # Any: as above
        with replacing(folder / self.name) as new, new.open("wb") as file:
            file.write(b'{"format_version": %d, "content": [' % FORMAT_VERSION)
            for number, one in enumerate(content):
                file.write(b",\n" if number else b"\n")
                file.write(printable_json(item.dump_json(item.validate_python(one)).decode()).encode())
            file.write(b"\n]}\n")

    def read(self, folder: str | Path) -> Content | None:
        """Read the file; None if there is none.

        Raises:
            CheckpointError: It is of another form, or was written by a newer version of hf_mtl.
        """
        path = Path(folder) / self.name
        if not path.is_file():
            return None
        what = f"{{'format_version': {FORMAT_VERSION}, 'content': ...}}"
        _, found = read_record(path, what, newest=FORMAT_VERSION)
        return checked_record(path, what, self._adapter, found.get("content"))


# JSON has no NaN, and a figure that became NaN must survive the file.
_FLOATS = ConfigDict(ser_json_inf_nan="strings")

SINGLE: RecordFile[Figures] = RecordFile("single.json", TypeAdapter(Figures, config=_FLOATS))
"""What training each task alone gave: by task and metric."""

TRANSFER: RecordFile[Mapping[str, Figures]] = RecordFile(
    "transfer.json", TypeAdapter(Mapping[str, Figures], config=_FLOATS)
)
"""What the adapter of a task gives on the rows of another: by trained task, measured task and metric."""

MIXTURE: RecordFile[Mapping[str, Share]] = RecordFile("mixture.json", TypeAdapter(Mapping[str, Share]))
"""What each task had of the run, as `MixtureLog.summary()["tasks"]` says it."""

INCIDENTS: RecordFile[tuple[Incident, ...]] = RecordFile("incidents.json", TypeAdapter(tuple[Incident, ...]))
"""What went wrong, as `Containment.incidents` says it; an empty list where nothing did."""

LOG: RecordFile[Log] = RecordFile(
    "log.json", TypeAdapter(Log, config=_FLOATS), item=TypeAdapter(Mapping[str, float], config=_FLOATS)
)
"""The log of a finished run."""


def numbers_of(log_history: Iterable[Mapping[str, object]]) -> Log:
    """Return the entries without what is no number, which a callback or a metric of somebody's own may have logged.

    >>> numbers_of([{"step": 1, "loss": 0.5, "note": "text"}])
    [{'step': 1.0, 'loss': 0.5}]
    """
    return [
        {key: float(value) for key, value in entry.items() if isinstance(value, Real)}
        for entry in log_history
    ]
