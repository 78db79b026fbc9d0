"""The fixtures of this room; a module of its own, whose name mypy tells from other rooms."""

from card_fixtures import made_up

__all__ = ["made_up"]
