"""The fields of a task that hold rows: given in any form, read as a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from hf_mtl.data import RowsLike, RowTable

__all__ = ["RowsField"]

Held = TypeVar("Held")


class RowsField(Generic[Held]):
    """A field of a dataclass that is declared as `RowsLike` and read as `Held`.

    The dataclass itself makes the one of the other in `__post_init__`, where it tells all its problems at once. A
    `RowTable` stays one: tasks of such rows are for looking at them, and are never trained.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type) -> Held | None:
        # Without an instance: the default of the field.
        return None if instance is None else cast("Held | None", vars(instance)[self._name])

    def __set__(self, instance: object, value: RowsLike | RowTable | None) -> None:
        vars(instance)[self._name] = value
