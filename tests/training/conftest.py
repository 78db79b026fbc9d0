"""The fixtures of this room; a module of its own, whose name mypy tells from other rooms."""

from training_fixtures import ordinary_algorithms_afterwards, runner, second_runner, writer

__all__ = ["ordinary_algorithms_afterwards", "runner", "second_runner", "writer"]
