"""The program `hf-mtl`: one verb for each thing that is done with a recipe or a run.

Each verb is one module that parses its arguments and calls the library. torch and transformers are imported when a verb
runs, so that `--help` answers at once.
"""

from hf_mtl.cli.program import app, main

__all__ = ["app", "main"]
