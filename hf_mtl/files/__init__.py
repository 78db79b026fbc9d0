"""What names files and folders have.

>>> from hf_mtl.files import folder_names
>>> folder_names(["q&a", "Report"])
{'q&a': 'q-a', 'Report': 'task-Report'}
"""

from hf_mtl.files.names import folder_names, repo_name, repo_names

__all__ = ["folder_names", "repo_name", "repo_names"]
