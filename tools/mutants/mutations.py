"""Small faults that a line of code could have: each is one piece of a source text and what stands there instead."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OTHERS: dict[type[ast.AST], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.Is: "is not",
    ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in", ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*",
    ast.FloorDiv: "*", ast.Mod: "*", ast.Pow: "*", ast.And: "or", ast.Or: "and",
}  # fmt: skip
# What a test rightly does not look at: messages, and what is there for type checkers alone.
PASSED_OVER = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)
UNSEEN_FIELDS = ("annotation", "returns", "decorator_list", "type_params", "bases")


@dataclass(frozen=True)
class Mutation:
    """`old` in the line `line` of `path` becomes `new`; `start` and `stop` are its place in the file's bytes."""

    kind: str
    path: str
    function: str
    number: int
    line: str
    old: str
    new: str
    start: int
    stop: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it while other lines of the file change."""
        return self.path, self.line, f"{self.old} -> {self.new}"

    def rank(self, seed: int) -> bytes:
        """Its place in a sample: that of other mutations does not move with it."""
        return hashlib.sha256(repr((seed, *self.key)).encode()).digest()

    def applied(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.new.encode() + source[self.stop :]

    def is_python(self) -> bool:
        """Whether the file can still be read."""
        try:
            return bool(ast.parse(self.applied(Path(self.path).read_bytes())))
        except SyntaxError:
            return False


def mutations_of(path: Path) -> Iterator[Mutation]:
    """All mutations of a file; some leave no Python."""
    source, seen = path.read_bytes(), Counter[tuple[str, str, str]]()
    lines = source.splitlines(keepends=True)
    begins = [sum(map(len, lines[:i])) for i in range(len(lines))]
    for function, kind, piece, new in _walk(ast.parse(source), ""):
        start = begins[piece.lineno - 1] + piece.col_offset
        stop = begins[(piece.end_lineno or 0) - 1] + (piece.end_col_offset or 0)
        line, old = lines[piece.lineno - 1].decode().strip(), source[start:stop].decode()
        seen[line, old, new] += 1
        if (again := seen[line, old, new]) > 1:
            line += f"  # {again}"
        if new != old:
            yield Mutation(kind, str(path), function, piece.lineno, line, old, new, start, stop)


def _walk(node: ast.AST, function: str) -> Iterator[tuple[str, str, ast.expr | ast.stmt, str]]:
    for kind, piece, new in _faults(node):
        yield function, kind, piece, new
    for name, value in ast.iter_fields(node):
        inside = function
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda) and name == "body":
            own = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            inside = f"{function}.{own}" if function else own
        for child in [] if name in UNSEEN_FIELDS else value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_message(child):
                yield from _walk(child, inside)


def _is_message(node: ast.AST) -> bool:
    logs = isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("logger.", "warnings."))
    return logs or isinstance(node, PASSED_OVER)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _faults(node: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    text = ast.unparse
    match node:
        case ast.Constant(value=bool(value)):
            yield "constant", node, str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "constant", node, repr(value + 1 if isinstance(value, int) else value * 2 or 1.0)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OTHERS:
            yield "comparison", node, f"{text(left)} {OTHERS[type(op)]} {text(right)}"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OTHERS:
            if not _is_text(left) and not _is_text(right):
                yield "arithmetic", node, f"({text(left)}) {OTHERS[type(op)]} ({text(right)})"
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in OTHERS and not _is_text(value):
            yield "arithmetic", node, f"{text(target)} {OTHERS[type(op)]}= {text(value)}"
        case ast.BoolOp(op=op, values=values):
            yield "condition", node, f" {OTHERS[type(op)]} ".join(f"({text(value)})" for value in values)
        case ast.Return(value=ast.expr() as value) if text(value) != "None":
            yield "return", node, "return None"
        case ast.Expr(value=ast.Call()):
            yield "dropped call", node, "pass"
        case (
            ast.If(test=test)
            | ast.While(test=test)
            | ast.IfExp(test=test)
            | ast.comprehension(ifs=[test, *_])
        ):
            yield "condition", test, f"not ({text(test)})"
        case ast.Call(func=ast.Attribute(value=receiver), args=[], keywords=[]):
            yield "dropped call", node, text(receiver)
        case ast.Call(args=[only], keywords=[]) if not isinstance(only, ast.Starred | ast.GeneratorExp):
            yield "dropped call", node, f"({text(only)})"
        case ast.Call(args=[first, second, *others]) if not isinstance(first, ast.Starred):
            keywords = [f"{k.arg}={text(k.value)}" if k.arg else f"**{text(k.value)}" for k in node.keywords]
            swapped = [text(second), text(first), *map(text, others), *keywords]
            if not isinstance(second, ast.Starred):
                yield "swapped arguments", node, f"{text(node.func)}({', '.join(swapped)})"
