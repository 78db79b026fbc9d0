"""The nodes of a YAML text, no more than a recipe can need: an alias counts as all that it stands for.

Ten lines of aliases of aliases (`b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]`) stand for a billion values.
"""

from __future__ import annotations

from typing import Final

import yaml

__all__ = ["BoundedLoader", "TooMuchYaml"]

_MAX_NODES: Final = 40_000  # as written; 300 tasks have some 6,000
_MAX_VALUES: Final = 100_000  # with aliases written out
_TEXT: Final = 50  # so many characters count as a value
_MAX_DEPTH: Final = 50


class TooMuchYaml(yaml.MarkedYAMLError):
    """YAML that is well-formed as far as it was read, and too much of it."""


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader with bounds."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._depth = 0
        self._sizes: dict[int, int] = {}  # of finished nodes, with all that is in them

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Make the next node, as PyYAML does."""
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # of PyYAML's stubs
        is_alias = self.check_event(yaml.AliasEvent)
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise _refusal(f"it holds more than {_MAX_NODES:,} values", mark)
        if self._depth >= _MAX_DEPTH:
            raise _refusal(f"lists and mappings are nested more than {_MAX_DEPTH} levels deep", mark)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and not is_alias:
            text = len(node.value) // _TEXT if isinstance(node, yaml.ScalarNode) else 0
            size = 1 + text + sum(self._sizes.get(id(part), 1) for part in _parts(node))
            self._sizes[id(node)] = size
            if size > _MAX_VALUES:
                raise _refusal(
                    f"with its aliases (*name) written out, this holds more than {_MAX_VALUES:,} values", mark
                )
        return node


def _refusal(problem: str, mark: yaml.Mark) -> TooMuchYaml:
    return TooMuchYaml(None, None, problem, mark)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
