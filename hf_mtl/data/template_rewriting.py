"""Jinja's syntax tree with calls of `hf_mtl.data.template_guards` in the place of what can grow values or repeat.

A template that is rewritten gives the same text as before, or ends with `TemplateLimitError`. It is compiled and run by
Jinja; nothing of it is computed while it is compiled, where no limit would hold.
"""

from __future__ import annotations

from typing import Final, cast

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from hf_mtl.data import template_guards
from hf_mtl.data.template_budget import STEP
from hf_mtl.data.template_costs import FREE_FILTERS, FREE_TESTS

__all__ = ["rewritten"]

_FILTERED: Final = "_filtered"  # holds the text of a block until its filters are applied
_SHORT: Final = 1_000  # characters of a constant that a comparison may read unpaid
_MEMBERSHIP: Final = ("in", "notin")


def rewritten(
    tree: nodes.Template, *, written: str = f"{template_guards.__name__}.written"
) -> nodes.Template:
    """Rewrite a template, in place.

    Args:
        tree: What `Environment.parse` gave.
        written: The function that each value passes before it is written into the text.
    """
    changed: nodes.Template = _Rewriting(written).visit(tree)
    return changed


def _call(guard: str, *args: nodes.Expr) -> nodes.Call:
    name = guard if "." in guard else f"{template_guards.__name__}.{guard}"
    return nodes.Call(nodes.ImportedName(name), list(args), [], None, None)


def _cost(body: list[nodes.Node]) -> int:
    """The units of evaluating a part of a template once."""
    count = text = 0
    for each in body:
        for node in [each, *each.find_all(nodes.Node)]:
            count += 1
            text += len(node.data) if isinstance(node, nodes.TemplateData) else 0
    return STEP * (count + 1) + text


def _payment(cost: int) -> nodes.ExprStmt:
    return nodes.ExprStmt(_call("charged", nodes.Const(cost)))


class _Rewriting(NodeTransformer):
    def __init__(self, written: str) -> None:
        self._written = written

    def visit_For(self, node: nodes.For) -> nodes.Node:
        cost = _cost(node.body)
        self.generic_visit(node)
        node.iter = _call("loop_items", cast("nodes.Expr", node.iter), nodes.Const(cost))
        if node.recursive:  # where the loop is called, it goes over something else
            node.body.insert(0, _payment(cost))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        cost = _cost(node.body)
        self.generic_visit(node)
        node.body.insert(0, _payment(cost))
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        cost = _cost(node.body)
        self.generic_visit(node)
        node.body.insert(0, _payment(cost))
        return node

    def visit_FilterBlock(self, node: nodes.FilterBlock) -> nodes.Node:
        output = nodes.Output([_of_block(node.filter)])
        block = nodes.AssignBlock(nodes.Name(_FILTERED, "store"), None, node.body)
        scope = nodes.Scope([block, output]).set_lineno(node.lineno, override=True)
        return self.generic_visit(scope)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node | list[nodes.Node]:
        if node.filter is None:
            return self.generic_visit(node)
        block = nodes.AssignBlock(nodes.Name(_FILTERED, "store"), None, node.body)
        assign = nodes.Assign(node.target, _of_block(node.filter))
        return [self.generic_visit(each.set_lineno(node.lineno, override=True)) for each in (block, assign)]

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        node.nodes = [
            child if isinstance(child, nodes.TemplateData) else self._writing(child) for child in node.nodes
        ]
        return node

    def _writing(self, child: nodes.Expr) -> nodes.Call:
        value: nodes.Expr = self.visit(child)
        return _call(self._written, value)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        if not isinstance(node.node, nodes.ExtensionAttribute):  # of a tag, which a template cannot change
            node.args = [nodes.ContextReference(), node.node, *node.args]
            node.node = nodes.ImportedName(f"{template_guards.__name__}.called")
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        self.generic_visit(node)
        return node if node.name in FREE_FILTERS else _named("filtered", node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        self.generic_visit(node)
        return node if node.name in FREE_TESTS else _named("tested", node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        if not _is_short(node):
            node.expr = _sized(node.expr)
            for operand in node.ops:
                operand.expr = _sized(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _call("cut", node)
        node.arg = _sized(node.arg)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        node.key = _sized(node.key)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("joined", *node.nodes)

    def visit_Add(self, node: nodes.Add) -> nodes.Node:
        """`a + b + c` is one call, as it is evaluated from left to right."""
        parts: list[nodes.Expr] = []
        left: nodes.Expr = node
        while isinstance(left, nodes.Add):
            parts.append(self.visit(left.right))
            left = left.left
        return _call("added", self.visit(left), *reversed(parts))

    def visit_Mul(self, node: nodes.Mul) -> nodes.Node:
        self.generic_visit(node)
        return _call("multiplied", node.left, node.right)

    def visit_Pow(self, node: nodes.Pow) -> nodes.Node:
        self.generic_visit(node)
        return _call("powered", node.left, node.right)

    def visit_Mod(self, node: nodes.Mod) -> nodes.Node:
        self.generic_visit(node)
        return _call("remainder", node.left, node.right)


def _of_block(chain: nodes.Filter) -> nodes.Filter:
    """The filters of a block, on the text that was set aside."""
    innermost = chain
    while isinstance(innermost.node, nodes.Filter):
        innermost = innermost.node
    innermost.node = nodes.Name(_FILTERED, "load")
    return chain


def _named(guard: str, node: nodes.Filter | nodes.Test) -> nodes.Call:
    """A filter or test as a call that holds its name."""
    assert node.node is not None, "blocks set their text aside"
    function = nodes.ImportedName(f"{template_guards.__name__}.{guard}")
    args = [nodes.ContextReference(), nodes.Const(node.name), node.node, *node.args]
    return nodes.Call(function, args, node.kwargs, node.dyn_args, node.dyn_kwargs)


def _sized(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _call("sized", node)


def _is_short(node: nodes.Compare) -> bool:
    """Whether a comparison reads no more than its constants are long."""
    if len(node.ops) > 1:
        return False
    [operand] = node.ops
    if operand.op in _MEMBERSHIP:
        return _is_constant(operand.expr)
    return _is_constant(node.expr) or _is_constant(operand.expr)


def _is_constant(node: nodes.Expr) -> bool:
    if isinstance(node, nodes.List | nodes.Tuple):
        return all(isinstance(item, nodes.Const) and _is_constant(item) for item in node.items)
    return isinstance(node, nodes.Const) and (not isinstance(node.value, str) or len(node.value) <= _SHORT)
