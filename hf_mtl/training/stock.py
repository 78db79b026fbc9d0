"""Without tasks, the trainer is the stock one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from transformers import Trainer

__all__ = ["stock_without_tasks"]

AnyTrainer = TypeVar("AnyTrainer", bound=type[Trainer])


def stock_without_tasks(cls: AnyTrainer) -> AnyTrainer:
    """Let a class replace methods of the stock Trainer only where it has tasks (`self.suite` is not empty).

    Without tasks the next class in the method resolution order answers, so that mixins over `Trainer` keep working. The
    constructor, which finds out, and methods that the stock Trainer does not have are left as they are.
    """
    stock = vars(Trainer)
    for name, method in list(vars(cls).items()):
        if name != "__init__" and callable(method) and name in stock and not name.startswith("__"):
            setattr(cls, name, _chosen(cls, name, method))
    return cls


def _chosen(cls: type[Trainer], name: str, ours: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(ours)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:  # Any: as the two methods have it
        if self.suite:
            return ours(self, *args, **kwargs)
        return getattr(super(cls, self), name)(*args, **kwargs)

    return method
