"""Arguments of the program that cannot be used."""

from __future__ import annotations

from bad_inputs.case import Case, cli, written

__all__ = ["CASES"]


def of_run(name: str, arguments: str, *words: str, stdin: bytes = b"", code: int = 2) -> Case:
    """A verb on a copy of the finished run."""
    return cli(name, arguments, *words, needs=("run",), stdin=stdin, code=code)


def setting(name: str, change: str, *words: str, verb: str = "preview recipe.yaml") -> Case:
    """A `--set` that cannot be made."""
    return cli(name, f"{verb} --set '{change}'", *words)


VERBS = (
    cli("unknown verb", "trian recipe.yaml", "trian", "train"),
    cli("unknown flag", "train recipe.yaml --outputdir x", "--outputdir", "--output-dir"),
    cli("flag of another verb", "validate recipe.yaml --smoke", "--smoke"),
    cli("no recipe", "train", "RECIPE"),
    cli("no file for init", "init", "FILE"),
    cli("two recipes for train", "train recipe.yaml recipe.yaml", "recipe.yaml"),
    cli("set without a value", "train recipe.yaml --set", "--set"),
    cli("rows below one", "preview recipe.yaml --rows 0", "--rows"),
    cli("rows as a text", "preview recipe.yaml --rows many", "--rows"),
    cli("a task that there is not", "preview recipe.yaml --task wrods", "wrods", "Did you mean 'words'?"),
    cli("a page onto a folder", "preview recipe.yaml --html run", "run", needs=("run",)),
    cli("rounds of zero", "verify recipe.yaml --rounds 0", "--rounds"),
    cli("seed as a text", "compare recipe.yaml --seed one", "--seed"),
    cli("seed below zero", "compare recipe.yaml --smoke --seed -1", "seed", "-1"),
    cli("no variants to compare", "compare recipe.yaml --smoke --output-dir recipe.yaml", "recipe.yaml"),
    cli("resume from nowhere", "train recipe.yaml --resume gone", "gone"),
    cli("resume from a recipe", "train recipe.yaml --resume recipe.yaml", "recipe.yaml"),
    cli("resume from the last of none", "train recipe.yaml --resume last --output-dir new", "new"),
    cli(
        "resume from an empty folder",
        "train recipe.yaml --resume empty",
        "empty",
        spoil=written("empty/x", ""),
    ),
    cli("resume from a run", "train recipe.yaml --resume run", "run", "checkpoint", needs=("run",)),
    cli("resume from nowhere, checked", "validate recipe.yaml --resume gone", "gone", "checkpoint"),
    cli(
        "resume from a recipe, checked",
        "validate recipe.yaml --resume recipe.yaml",
        "recipe.yaml",
        "found a file",
    ),
    cli(
        "resume from the last of none, checked", "validate recipe.yaml --resume last", "runs/tiny", "--resume"
    ),
    cli(
        "resume from a run, checked",
        "validate recipe.yaml --resume run",
        "a run's folder",
        "checkpoint-2",
        needs=("run",),
    ),
    cli("output onto a file", "train recipe.yaml --output-dir words.csv", "words.csv"),
    cli("output under a file", "train recipe.yaml --output-dir words.csv/run", "words.csv"),
    cli("output of a name too long", "train recipe.yaml --output-dir " + "x" * 300, "xxx"),
    cli("a resume from a name too long", "train recipe.yaml --resume " + "x" * 300, "xxx", "too long"),
    cli(
        "predict from a name too long", "predict " + "x" * 300 + " --task words --prompt a", "xxx", "too long"
    ),
    cli("report of a name too long", "report no/" + "x" * 5000, "xxx"),
    cli("init of a name too long", "init " + "x" * 300 + ".csv", "xxx"),
    cli("copy to a name too long", "recipes copy quickstart " + "x" * 300, "xxx"),
    cli("output with a NUL", "train recipe.yaml --output-dir ''", "output_dir"),
    cli("init of nothing that is there", "init gone.csv", "gone.csv"),
    cli("init of an unknown format", "init recipe.yaml", "recipe.yaml"),
    cli("init of an empty folder", "init empty", "empty", spoil=written("empty/x.md", "")),
    cli("init over a recipe", "init words.csv", "recipe.yaml", "--force"),
    cli(
        "init of rows that cannot be learned",
        "init one.csv --output new.yaml",
        "new.yaml",
        "labels",
        spoil=written("one.csv", "text,label\na,b\n"),
    ),
    cli("init into no folder", "init words.csv --output no/such/r.yaml", "no/such"),
    cli("init of one file twice", "init words.csv words.csv --output new.yaml", "words.csv"),
    cli("init of two files of one task", "init words.csv words.json --output new.yaml", "words"),
    cli("init with a base that is no id", "init words.csv --output new.yaml --base 'a b'", "a b"),
    cli(
        "init with a base that is a file", "init words.csv --output new.yaml --base words.json", "words.json"
    ),
    cli("copy of no recipe", "recipes copy quickstrat new", "Did you mean 'quickstart'?"),
    cli("copy over a folder", "recipes copy quickstart run", "run", needs=("run",)),
    cli("copy under a file", "recipes copy quickstart words.csv/new", "words.csv"),
    cli("fetch of no recipe", "recipes fetch quickstrat", "Did you mean 'quickstart'?"),
    cli("fetch of a missing file", "recipes fetch gone.yaml", "gone.yaml"),
    cli("validate of one good, one missing", "validate recipe.yaml gone.yaml", "gone.yaml"),
    cli("the option before the verb", "--tracebck train recipe.yaml", "--tracebck"),
    cli("a path with control characters", "validate 'a\x1b[2Jb.yaml'", "yaml"),
)

SETTINGS = (
    setting("a change without a value", "training.max_steps", "key=value", "training.max_steps"),
    setting("a change of nothing", "=5", "key=value"),
    setting("a change of no section", "trainin.max_steps=5", "Did you mean 'training'?"),
    setting("a change that is no YAML", "training.max_steps=[", "--set training.max_steps"),
    setting("a change of a task that is not there", "tasks.verbs.max_length=5", "verbs", "'past tense'"),
    setting("a change inside a number", "defaults.max_length.x=5", "defaults.max_length"),
    setting("a change with a dot too much", "training..max_steps=5", "training."),
    setting("a change into a list", "tasks.words.labels[5]=x", "labels"),
    setting("a change by an alias", "training.max_steps=*x", "--set training.max_steps"),
    setting(
        "a change by a Python object",
        "training.max_steps=!!python/name:os.system",
        "--set training.max_steps",
    ),
    setting(
        "a change of ten thousand levels", "training.max_steps=" + "[" * 10_000, "--set training.max_steps"
    ),
    setting("a change of everything", "tasks=3", "--set tasks"),
    setting("a change to nothing", "model=", "--set model"),
    setting("a change of the version", "format=9", "--set format"),
    setting("a change that moves the cursor", "training.max_steps=\x1b[2J", "--set training.max_steps"),
    setting("a change of 100,000 letters", "training." + "x" * 100_000 + "=1", "--set training."),
)

RUNS = (
    cli("predict from no run", "predict gone --task words --prompt a", "gone"),
    cli("predict from a folder of rows", "predict . --task words --prompt a", "hf_mtl.json"),
    of_run("predict without an input", "predict run --task words", "--input", "--prompt"),
    of_run("predict with both inputs", "predict run --task words --input words.jsonl --prompt a", "--input", "--prompt"),
    of_run("predict without a task", "predict run --prompt a", "--task"),
    of_run("predict raw rows", "predict run --task words --raw --input words.jsonl", "--raw"),
    of_run("predict for no task", "predict run --task wrods --prompt a", "Did you mean 'words'?"),
    of_run("predict for a task that turns the line around", "predict run --task 'w\u202esdro' --prompt a", "w\\u202esdro"),
    of_run("predict from no file", "predict run --task words --input gone.jsonl", "gone.jsonl"),
    of_run("predict from a folder", "predict run --task words --input run", "run"),
    of_run("predict from a CSV file", "predict run --task words --input words.csv", "words.csv", "line 1"),
    of_run("predict from nothing", "predict run --task words --input -", "stdin", "no rows"),
    of_run("predict from binary", "predict run --task words --input -", "stdin", stdin=bytes(range(256))),
    of_run("predict from a list", "predict run --task words --input -", "stdin, line 1", stdin=b"[1]\n"),
    of_run("predict from a cut line", "predict run --task words --input -", "stdin, line 2", stdin=b'{"text": "a"}\n{"te'),
    of_run("predict from a line without an end", "predict run --task words --input /dev/zero", "/dev/zero, line 1", "longer than 8,388,608 bytes"),
    of_run("predict from a pipe of one long line", "predict run --task words --input -", "stdin, line 2", "longer than", stdin=b'{"text": "a"}\n' + b" " * 9_000_000),
    of_run("predict from deep JSON", "predict run --task words --input -", "stdin, line 1", stdin=b'{"a":' + b"[" * 100_000),
    of_run("predict from a huge number", "predict run --task words --input -", "stdin, line 1", stdin=b'{"text": ' + b"1" * 5000 + b"}"),
    of_run("predict from half a pair", "predict run --task words --input -", "stdin, line 1", stdin=b'{"text": "a\\ud800"}\n'),
    of_run("predict rows without the column", "predict run --task words --input -", "'text'", stdin=b'{"txt": "a"}\n'),
    of_run("predict rows of numbers", "predict run --task words --input -", "words", stdin=b'{"text": [1, 2]}\n'),
    of_run("predict rows that name no task", "predict run --input -", "line 1", "task", stdin=b'{"input": "a"}\n'),
    of_run("predict rows that name another task", "predict run --input -", "wrods", "'words'", stdin=b'{"task": "wrods", "input": "a"}\n'),
    of_run("predict rows with a task that is a list", "predict run --input -", "task", stdin=b'{"task": ["words"], "input": "a"}\n'),
    of_run("predict rows with unknown keys", "predict run --input -", "temperature", stdin=b'{"task": "words", "input": "a", "temperature": 1}\n'),
    of_run("predict an empty prompt", "predict run --task words --raw --prompt ''", "words"),
    of_run("predict into no folder", "predict run --task words --prompt a --output no/such/file", "no/such"),
    of_run("predict onto a folder", "predict run --task words --prompt a --output run", "run"),
    of_run("predict no tokens", "predict run --task words --prompt a --max-new-tokens 0", "--max-new-tokens"),
    of_run("predict more tokens than positions", "predict run --task words --prompt a --max-new-tokens 100000", "words", "100000"),
    of_run("relations by nothing known", "relations run --by likeness", "likeness", "adapters"),
    of_run("relations of what was not kept", "relations run --by cosines", "run", "cosines"),
    of_run("relations of one evaluation", "relations run --by results", "run"),
    of_run("relations with tau of zero", "relations run --tau 0", "tau", "0"),
    of_run("relations with tau that is no number", "relations run --tau nan", "tau", "nan"),
    of_run("relations into no folder", "relations run --output no/such.json", "no/such.json"),
    cli("relations of no run", "relations gone", "gone"),
    cli("report of no run", "report gone", "gone"),
    cli("report of a recipe", "report recipe.yaml", "recipe.yaml"),
    of_run("report onto a file", "report run --output words.csv", "words.csv"),
    cli("evaluate of no run", "evaluate gone", "gone"),
    cli("evaluate of a recipe that was not run", "evaluate recipe.yaml", "runs/tiny"),
    of_run("push without a name", "push run", "--namespace"),
    of_run("push to two parts", "push run --namespace a/b --dry-run", "a/b"),
    of_run("push to a name with spaces", "push run --namespace 'a b' --dry-run", "a b"),
    of_run("push in no layout", "push run --namespace me --layout flat", "flat", "folders"),
    cli("push of no run", "push gone --namespace me", "gone"),
    cli("push of a recipe", "push recipe.yaml --namespace me", "recipe.yaml"),
    of_run("push offline", "push run --namespace me", "Hub"),
)  # fmt: skip

CASES = (*VERBS, *SETTINGS, *RUNS)
