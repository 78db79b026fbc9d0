"""What a saved suite is (the files of one adapter, the manifest of many), where it is found and how it is loaded."""

from hf_mtl.files import folder_names
from hf_mtl.models.saved.adapter_files import (
    CONFIG_FILE,
    GENERATION_FILE,
    PROCESSOR_FILES,
    WEIGHTS_FILE,
    restore_parameters,
)
from hf_mtl.models.saved.checks import check_base
from hf_mtl.models.saved.headers import read_header
from hf_mtl.models.saved.loading import place_adapters, read_adapter_folder, read_adapters
from hf_mtl.models.saved.manifest import MANIFEST_FILE, HeadRecord, Manifest
from hf_mtl.models.saved.sources import AdapterFiles, Source, fetch, fetch_suite, parse_source

__all__ = [
    "CONFIG_FILE",
    "GENERATION_FILE",
    "MANIFEST_FILE",
    "PROCESSOR_FILES",
    "WEIGHTS_FILE",
    "AdapterFiles",
    "HeadRecord",
    "Manifest",
    "Source",
    "check_base",
    "fetch",
    "fetch_suite",
    "folder_names",
    "parse_source",
    "place_adapters",
    "read_adapter_folder",
    "read_adapters",
    "read_header",
    "restore_parameters",
]
