"""The fixtures of this room; a module of its own, whose name mypy tells from other rooms."""

from training_fixtures import runner, writer

__all__ = ["runner", "writer"]
