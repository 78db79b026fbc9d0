"""What a saved suite is: the files of one adapter, and the manifest of many."""

from hf_mtl.models.saved.adapter_files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    read_adapter_folder,
    restore_parameters,
)
from hf_mtl.models.saved.manifest import MANIFEST_FILE, HeadRecord, Manifest, folder_names

__all__ = [
    "CONFIG_FILE",
    "MANIFEST_FILE",
    "WEIGHTS_FILE",
    "HeadRecord",
    "Manifest",
    "folder_names",
    "read_adapter_folder",
    "restore_parameters",
]
