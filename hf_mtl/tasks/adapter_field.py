"""The field of a task that holds its adapter: the default is built when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["AdapterField", "default_adapter"]


def default_adapter() -> PeftConfig:
    """The adapter of a task that declares none."""
    from peft import LoraConfig

    return LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")


class AdapterField:
    """A field of a dataclass that is None where the default stands, and read as that default.

    peft brings torch with it, and a task whose rows are only looked at needs neither.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type) -> PeftConfig | None:
        if instance is None:
            return None  # the default of the field
        if vars(instance)[self._name] is None:
            vars(instance)[self._name] = default_adapter()
        config: PeftConfig = vars(instance)[self._name]
        return config

    def __set__(self, instance: object, value: PeftConfig | None) -> None:
        vars(instance)[self._name] = value
