"""What files and folders are called, and how they are written.

>>> from hf_mtl.files import folder_names, writing
>>> folder_names(["q&a", "Report"])
{'q&a': 'q-a', 'Report': 'task-Report'}
>>> with writing("there/is/no/such/folder/a.txt"):
...     open("there/is/no/such/folder/a.txt", "w")
Traceback (most recent call last):
hf_mtl.errors.WriteError: there/is/no/such/folder/a.txt could not be written: there is no folder ...
"""

from hf_mtl.files.faults import amount, free_bytes, is_forbidden, is_full, reason, write_error
from hf_mtl.files.names import folder_names, repo_name, repo_names
from hf_mtl.files.staging import link_or_copy, staged
from hf_mtl.files.whole import (
    SeveralWrites,
    check_folder,
    check_target,
    folder_problem,
    make_folder,
    noting,
    remove_file,
    replacing,
    scratch_folder,
    write_bytes,
    write_text,
    writing,
)

__all__ = [
    "SeveralWrites",
    "amount",
    "check_folder",
    "check_target",
    "folder_names",
    "folder_problem",
    "free_bytes",
    "is_forbidden",
    "is_full",
    "link_or_copy",
    "make_folder",
    "noting",
    "reason",
    "remove_file",
    "replacing",
    "repo_name",
    "repo_names",
    "scratch_folder",
    "staged",
    "write_bytes",
    "write_error",
    "write_text",
    "writing",
]
