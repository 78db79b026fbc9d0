"""The files that hold a base's weights, looked at by name before any of them is opened or downloaded.

transformers takes safetensors where there are some, and else a pickle. A pickle is a program: reading it can run any
code of its author's. So one is taken only where the user asks for it, and then read as tensors and nothing else.

>>> chosen_weights(["config.json", "model.safetensors", "pytorch_model.bin"])
'model.safetensors'
>>> pickles_among(["pytorch_model.bin", "training_args.bin", "optimizer.pt"])
['pytorch_model.bin']
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hf_mtl.errors import ConfigError, listing

__all__ = ["PICKLES", "BaseFiles", "chosen_weights", "pickles_among"]

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Endings of files that torch or Python write as pickles."""

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SAFE = ".safetensors"
_ADAPTER = "adapter_config.json"
# What a Trainer leaves beside the weights of a checkpoint; nothing here ever opens these.
_STATE = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state)[._\d]*\.(bin|pt|pth)")


def chosen_weights(names: Iterable[str]) -> str | None:
    """Which of a model's files transformers reads, or the index that names them; None if none is in safetensors."""
    there = set(names)
    return next((name for name in (_WEIGHTS, _INDEX) if name in there), None)


def pickles_among(names: Iterable[str]) -> list[str]:
    """Those that are pickles of weights, by their names; the state of a Trainer is left out."""
    return sorted(name for name in names if name.endswith(PICKLES) and not _STATE.fullmatch(name))


@dataclass(frozen=True)
class BaseFiles:
    """The files of a base, as they are listed: of a folder, or of one commit of a repository.

    Args:
        where: What messages call the base.
        names: The names of all files at its root.
        read: Gives the bytes of one of them.
        here: Whether they are on this machine; else nothing but what `read` gives has been downloaded.
    """

    where: str
    names: tuple[str, ...]
    read: Callable[[str], bytes]
    here: bool = True

    @classmethod
    def of_folder(cls, folder: Path, *, where: str) -> BaseFiles:
        """The files of a folder."""
        names = tuple(sorted(path.name for path in folder.iterdir()))
        return cls(where, names, lambda name: (folder / name).read_bytes())

    @property
    def are_pickles(self) -> bool:
        """Whether there are no safetensors that transformers would read."""
        return chosen_weights(self.names) is None and bool(pickles_among(self.names))

    def check(self, *, named: str | None = None, allow_pickle: bool = False) -> None:
        """Check that the weights are in safetensors, if a pickle is not allowed.

        Args:
            named: The file that the configuration names for the weights (`transformers_weights`), if it does.
            allow_pickle: Whether a pickle is taken where there are no safetensors.

        Raises:
            ConfigError: If they are in pickles, an index names something else than files beside it, or the folder is
                an adapter's too.
        """
        if _ADAPTER in self.names:
            raise ConfigError(
                f"The base {self.where!r} holds an {_ADAPTER!r}: transformers would put that adapter on, and might "
                f"take the weights of another base, which the file names. Give the base by itself, and load the "
                f"adapter with load_adapter or RoutedModel.from_pretrained."
            )
        chosen = named or chosen_weights(self.names)
        pickles = pickles_among(self.names if chosen is None else [chosen])
        if chosen is not None and chosen.endswith(".index.json"):
            pickles = self._not_safe(chosen)
        if pickles and not allow_pickle:
            raise ConfigError(self._refusal(pickles))

    def _not_safe(self, index: str) -> list[str]:
        """The files that an index names and that are not safetensors.

        Raises:
            ConfigError: If the index cannot be read, or names a file that does not lie beside it.
        """
        try:
            names = {str(name) for name in json.loads(self.read(index))["weight_map"].values()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"The index {index!r} of the base {self.where!r} cannot be read ({type(error).__name__}); expected "
                f"JSON with a 'weight_map' from tensors to files. Fetch or save the model again."
            ) from error
        outside = sorted(name for name in names if PurePosixPath(name).name != name or "\\" in name)
        if outside:
            raise ConfigError(
                f"The index {index!r} of the base {self.where!r} names {listing(outside[:5])}; expected files that "
                f"lie beside it. It is refused."
            )
        return sorted(name for name in names if not name.endswith(_SAFE))

    def _refusal(self, pickles: list[str]) -> str:
        shown = listing(pickles[:5]) + (f" and {len(pickles) - 5} more" if len(pickles) > 5 else "")
        return (
            f"The weights of the base {self.where!r} are in {shown} and not in safetensors. Reading a pickle can run "
            f"any code that its author put into it, so it is refused; none was "
            f"{'opened' if self.here else 'downloaded'}. Take a copy in safetensors, or, if you trust the author, "
            f"convert it: AutoModelForCausalLM.from_pretrained(SOURCE).save_pretrained(FOLDER) writes safetensors. Or "
            f"ask for it: allow_pickle=True in Python, `model: {{allow_pickle: true}}` in a recipe; then torch reads "
            f"it with weights_only=True, which makes tensors and nothing else."
        )
