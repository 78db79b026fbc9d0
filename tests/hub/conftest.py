"""The fixtures of this room; a module of its own, whose name mypy tells from other rooms."""

from hub_fixtures import _hub, _saved, client, hub, suite

__all__ = ["_hub", "_saved", "client", "hub", "suite"]
