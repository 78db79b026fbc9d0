"""A chat template, limited in time and size: what transformers compiles and renders in the place of its text.

The tree is transformers' own reading of the template with payments in it, so that `apply_chat_template` gives the same
text as for the template itself, or ends with an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes
from transformers.utils import chat_template_utils

from hf_mtl.data.template_budget import FAILURES, TemplateLimitError, limited
from hf_mtl.data.template_rewriting import rewritten
from hf_mtl.errors import ConfigError

__all__ = ["check_constants", "limited_tree"]

_MOST_CHARACTERS: Final = 200_000
_COMPUTED: Final = (nodes.BinExpr, nodes.Concat, nodes.Filter, nodes.Test, nodes.Compare)
_UNKNOWN: Final = (nodes.Name, nodes.Call)


@lru_cache(maxsize=64)
def limited_tree(source: str) -> nodes.Template:
    """A chat template as a tree that `apply_chat_template` takes in its place, inside `limited`.

    Raises:
        ConfigError: If it is too long.
        TemplateSyntaxError: If it is not a Jinja template, or nested too deeply.
    """
    try:
        return rewritten(_tree(source))
    except (RecursionError, MemoryError, ValueError, OverflowError) as error:
        raise TemplateSyntaxError(
            f"it is nested too deeply or holds too long a number ({error})", 1
        ) from error


@lru_cache(maxsize=64)
def check_constants(source: str) -> None:
    """Check what Jinja computes while it compiles a template: expressions without names.

    Raises:
        TemplateLimitError: If one of them computes too much.
    """
    environment = _environment()
    with limited():
        for node in list(_constant(_tree(source))):
            probe = nodes.Template([nodes.Output([node])])
            rewritten(probe).set_environment(environment)
            try:
                environment.from_string(probe).render()
            except TemplateLimitError:
                raise
            except FAILURES:  # as Jinja, which leaves it to the rendering
                continue


def _constant(node: nodes.Node) -> Iterator[nodes.Expr]:
    """The outermost expressions that are computed of constants."""
    for child in node.iter_child_nodes():
        is_constant = isinstance(child, _COMPUTED) and not any(child.find_all(_UNKNOWN))
        if is_constant and not (isinstance(child, nodes.Filter) and child.node is None):
            assert isinstance(child, nodes.Expr)
            yield child
        else:
            yield from _constant(child)


def _tree(source: str) -> nodes.Template:
    if len(source) > _MOST_CHARACTERS:
        raise ConfigError(
            f"The chat template has {len(source):,} characters; expected at most {_MOST_CHARACTERS:,}."
        )
    return _environment().parse(source)


def _environment() -> Environment:
    """The one of transformers, of an empty template: of another, constants would be computed while it is compiled."""
    environment: Environment = chat_template_utils._compile_jinja_template("").environment
    return environment
