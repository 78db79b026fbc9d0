"""Where the weights of a base are loaded from: one folder or one commit, and pickles only where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from transformers import PreTrainedConfig

from hf_mtl.models.base_files import BaseFiles
from hf_mtl.models.hub_files import download, files_of

__all__ = ["BaseWeights"]

# What transformers reads of a model whose weights are pickles.
_PICKLED_MODEL = (
    "config.json",
    "generation_config.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class BaseWeights:
    """What `from_pretrained` of transformers is called with.

    Args:
        source: A folder, or a Hub id.
        options: Its revision, and whether it may read a pickle.
    """

    source: str
    options: Mapping[str, str | bool]

    @classmethod
    def find(
        cls,
        located: str,
        config: PreTrainedConfig,
        *,
        where: str,
        revision: str,
        token: str | None,
        allow_pickle: bool,
    ) -> BaseWeights:
        """Look at the files of a base, and say how its weights are loaded.

        Args:
            located: Its folder or Hub id.
            config: Its configuration, which was loaded from there at `revision`.
            where: What messages call the base.
            revision: Of a Hub id, the branch, tag or commit.
            token: For a private repository.
            allow_pickle: Whether pickles are taken where there are no safetensors.

        Raises:
            ConfigError: If they are in pickles that are not allowed, see `BaseFiles.check`.
        """
        named = config.to_dict().get("transformers_weights")
        named = named if isinstance(named, str) else None
        if Path(located).is_dir():
            files = BaseFiles.of_folder(Path(located), where=where)
            files.check(named=named, allow_pickle=allow_pickle)
            return cls(located, {} if files.are_pickles else {"use_safetensors": True})
        # The commit that the configuration is of: a push in between must not mix two of them.
        folder = _commit_folder(located, revision, token)
        files = _files_on_hub(located, folder, where=where, token=token)
        files.check(named=named, allow_pickle=allow_pickle)
        if not files.are_pickles:
            return cls(located, {"revision": folder.name, "use_safetensors": True})
        # Were they fetched by transformers itself, it would ask a converter on another host for safetensors, with the
        # user's token in the request (transformers/safetensors_conversion.py).
        return cls(str(download(located, folder.name, _PICKLED_MODEL, token=token)), {})


def _commit_folder(repo: str, revision: str, token: str | None) -> Path:
    """The folder in the Hub's cache of the commit that a configuration was loaded from a moment ago."""
    cached = try_to_load_from_cache(repo, "config.json", revision=revision)
    if isinstance(cached, str):
        return Path(cached).parent
    return Path(hf_hub_download(repo, "config.json", revision=revision, token=token)).parent


def _files_on_hub(repo: str, folder: Path, *, where: str, token: str | None) -> BaseFiles:
    """The files of one commit; those in the cache where the Hub cannot be asked, for then no others can be read."""
    commit = folder.name
    listed = [name for name in files_of(repo, commit, token=token) if "/" not in name]
    names = listed or [path.name for path in folder.iterdir()]

    def read(name: str) -> bytes:
        return Path(hf_hub_download(repo, name, revision=commit, token=token)).read_bytes()

    return BaseFiles(where, tuple(sorted(names)), read, here=False)
