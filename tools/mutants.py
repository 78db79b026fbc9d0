"""Break the core in small ways, one at a time, and see whether a test fails: `make mutants SAMPLE=150 SEED=0`.

pytest-testmon knows which tests run the changed lines; in a copy of the tree they run until one fails. Where all pass,
a test is missing, or the mutation changes nothing that a test could see: then it belongs into `equivalent.toml`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console

FORWARD = (  # the modules of models/ that a training pass goes through
    "attention", "base_pass", "folding", "heads", "losses", "passes", "planned", "prefix_attention", "routed_adapters",
    "routed_layers", "routed_model", "routes", "virtual_inputs", "virtual_stream",
)  # fmt: skip
GLOBS = ("adapters/*.py", "data/pa[cd]*ing.py", "objectives/**/*.py", "training/**/*.py")
OTHERS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# What a test rightly does not look at: messages, and what is there for type checkers alone.
MESSAGES = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)
UNSEEN = ("annotation", "returns", "decorator_list", "type_params", "bases")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "build", "runs", "*_cache", "__pycache__")
SELECTED = ("--testmon-nocollect", "--testmon-forceselect", "-x")  # a test that hangs fails by pytest-timeout
NOTHING_TO_RUN = 5  # pytest's status
SECONDS = (
    150  # of the tests of one mutation, the fastest first; where none has failed by then, it has survived
)


@dataclass(frozen=True)
class Mutation(ast.NodeTransformer):
    """In the file `path`, whose syntax tree is `tree`, `old` becomes `new`; `line` is the text in which it stands."""

    kind: str
    path: str
    line: str
    tree: ast.Module
    old: ast.AST
    new: ast.AST

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it while other lines of the file change."""
        return self.path, self.line, f"{ast.unparse(self.old)} -> {ast.unparse(self.new)}"

    def rank(self, seed: int) -> str:
        """Its place among those of its kind, which does not move with other lines."""
        return hashlib.sha256(repr((seed, self.key)).encode()).hexdigest()

    def visit(self, node: ast.AST) -> ast.AST:
        """Put the new piece where the old one stands, or back."""
        other = {id(self.old): self.new, id(self.new): self.old}.get(id(node))
        return self.generic_visit(node) if other is None else other

    def mutated(self) -> str:
        """The file's text with the fault."""
        self.visit(self.tree)
        text = ast.unparse(self.tree)
        self.visit(self.tree)
        return text


def with_fields(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of a node with other fields."""
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


def faults_of(node: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """The kinds of fault that a node can have, with the piece that changes and what it becomes."""
    match node:
        case ast.Constant(value=bool(value)):
            yield "constant", node, ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "constant", node, ast.Constant(value + 1 if isinstance(value, int) else value * 2 or 1.0)
        case ast.Compare(ops=[op]) if type(op) in OTHERS:
            yield "comparison", node, with_fields(node, ops=[OTHERS[type(op)]()])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in OTHERS:
            yield "operator", node, with_fields(node, op=OTHERS[type(op)]())
        case ast.Return(value=ast.expr()):
            yield "return", node, ast.Return(None)
        case ast.Expr(value=ast.Call()):
            yield "dropped call", node, ast.Pass()
        case ast.If(test=old) | ast.While(test=old) | ast.IfExp(test=old) | ast.comprehension(ifs=[old, *_]):
            yield "condition", old, ast.UnaryOp(ast.Not(), old)
        case (
            ast.Call(func=ast.Attribute(value=only), args=[], keywords=[])
            | ast.Call(args=[only], keywords=[])
        ):
            yield "dropped call", node, only
        case ast.Call(args=[first, second, *others]):
            yield "swapped arguments", node, with_fields(node, args=[second, first, *others])


def pieces_of(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, without messages and types."""
    logs = isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("logger.", "warnings."))
    if not logs and not isinstance(node, MESSAGES):
        yield node
        for name, value in ast.iter_fields(node):
            for child in [] if name in UNSEEN else value if isinstance(value, list) else [value]:
                yield from pieces_of(child) if isinstance(child, ast.AST) else ()


def sample_of(size: int, seed: int) -> list[Mutation]:
    """Mutations of all rooms, as many of each kind."""
    paths = {Path(f"hf_mtl/models/{name}.py") for name in FORWARD}.union(*map(Path("hf_mtl").glob, GLOBS))
    kinds: dict[str, list[Mutation]] = defaultdict(list)
    for path in sorted(paths):
        text = path.read_text(encoding="utf-8")
        tree, lines = ast.parse(text), text.splitlines()
        for kind, old, new in chain.from_iterable(map(faults_of, pieces_of(tree))):
            line = lines[getattr(old, "lineno", 1) - 1].strip()
            kinds[kind].append(Mutation(kind, str(path), line, tree, old, new))
    ranked = [sorted(found, key=lambda m: m.rank(seed)) for _, found in sorted(kinds.items())]
    return list(islice(filter(None, chain.from_iterable(zip_longest(*ranked))), size))


def outcome_of(trees: SimpleQueue[Path], pytest: list[str], mutation: Mutation, text: str) -> dict[str, str]:
    """Break one of the copies of the tree, run the tests that see it, and mend the copy."""
    tree = trees.get()
    (tree / mutation.path).write_text(text, encoding="utf-8")
    try:
        run = subprocess.run([*pytest, *SELECTED], cwd=tree, capture_output=True, text=True, timeout=SECONDS)
        code, lines = run.returncode, run.stdout.splitlines()
    except subprocess.TimeoutExpired:
        code, lines = 0, [f"nothing failed in {SECONDS} s"]
    shutil.copy2(mutation.path, tree / mutation.path)
    trees.put(tree)
    names = dict(zip(("path", "line", "mutation"), mutation.key, strict=True))
    outcome = "survived" if code in (0, NOTHING_TO_RUN) else "killed"
    return {
        "outcome": outcome,
        **names,
        "kind": mutation.kind,
        "tests": lines[-1] if lines else run.stderr[-500:],
    }


def main() -> int:
    """Run a sample; each result is written as it comes. 1 if a twentieth or more survived."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=150, help="how many mutations")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("build/mutants"), help="where results go")
    parser.add_argument("tests", nargs="+", help="folders and files of tests")
    args = parser.parse_args()
    pytest = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-m", "not slow and not gpu", *args.tests]
    # What testmon knows stays in the tree: the next time only what changed since then runs here.
    known = subprocess.run([*pytest, "--testmon", "--testmon-forceselect", "-n", str(args.workers)])
    if known.returncode not in (0, NOTHING_TO_RUN):
        return known.returncode
    args.out.mkdir(parents=True, exist_ok=True)
    listed = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))
    equivalent = {(entry["path"], entry["line"], entry["mutation"]) for entry in listed["equivalent"]}
    console = Console(markup=False, highlight=False, soft_wrap=True)
    counts: Counter[tuple[str, str]] = Counter()
    sample = sample_of(args.sample, args.seed)
    texts = [mutation.mutated() for mutation in sample]  # before threads read the trees
    with (
        tempfile.TemporaryDirectory() as parent,
        (args.out / f"results-{args.sample}-{args.seed}.jsonl").open("w", encoding="utf-8") as file,
        ThreadPoolExecutor(args.workers) as pool,
    ):
        trees: SimpleQueue[Path] = SimpleQueue()
        for worker in range(args.workers):
            shutil.copytree(".", tree := Path(parent, f"tree-{worker}"), ignore=LEFT_OUT)
            trees.put(tree)
        for result in pool.map(partial(outcome_of, trees, pytest), sample, texts):
            if (result["path"], result["line"], result["mutation"]) in equivalent:
                result["outcome"] = result["outcome"].replace("survived", "equivalent")
            counts[result["path"].split("/")[1], result["outcome"]] += 1
            file.write(json.dumps(result) + "\n")
            file.flush()
            if result["outcome"] == "survived":
                console.print(*result.values(), sep="\n    ")
    for (room, outcome), count in sorted(counts.items()):
        console.print(f"{room:12} {outcome:12} {count:4}")
    survived = sum(count for (_, outcome), count in counts.items() if outcome == "survived")
    console.print(f"{survived} of {args.sample} survived")
    return int(survived >= 0.05 * args.sample)


if __name__ == "__main__":
    sys.exit(main())
