"""Which bases keep tasks apart, found out by training: `python -m tools.bases` writes the table of docs/bases.md."""
