"""The fixtures of this room; a module of its own, whose name mypy tells from other rooms."""

from loading_fixtures import base, plain_lora

__all__ = ["base", "plain_lora"]
