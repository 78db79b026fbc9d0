"""Adapters as ordinary PEFT folders, and back.

>>> from hf_mtl.export import folder_names
>>> folder_names(["q&a", "layers"])
{'q&a': 'q-a', 'layers': 'layers'}
"""

from hf_mtl.export.adapter_folder import write_adapter_folder
from hf_mtl.export.suite_folder import save_suite
from hf_mtl.files import folder_names
from hf_mtl.models import load_suite
from hf_mtl.models.saved import (
    MANIFEST_FILE,
    Manifest,
    read_adapter_folder,
    restore_parameters,
)

__all__ = [
    "MANIFEST_FILE",
    "Manifest",
    "folder_names",
    "load_suite",
    "read_adapter_folder",
    "restore_parameters",
    "save_suite",
    "write_adapter_folder",
]
