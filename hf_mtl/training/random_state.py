"""The process's random streams as plain data, and back, bit for bit.

>>> tensors, document = capture_random_state()
>>> first = torch.rand(2), np.random.rand(), random.random()
>>> restore_random_state(tensors, document)
>>> torch.equal(torch.rand(2), first[0]), np.random.rand() == first[1], random.random() == first[2]
(True, True, True)
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from hf_mtl.errors import CheckpointError
from hf_mtl.notices import logger_of
from hf_mtl.training.processes import gathered
from hf_mtl.training.state import State

__all__ = ["RandomStreams", "capture_random_state", "restore_random_state"]

logger = logger_of(__name__)

_NUMPY_GENERATOR = "MT19937"  # of numpy's global stream, unless somebody sets another


class RandomStreams:
    """The random streams of all processes, as a part of a run in the process `rank`."""

    def __init__(self, rank: int) -> None:
        self._rank = str(rank)

    def state_dict(self) -> State:
        """The streams by process; all processes must ask for them."""
        streams = enumerate(gathered(capture_random_state()))
        return {str(rank): {"streams": tensors, "rest": rest} for rank, (tensors, rest) in streams}

    def load_state_dict(self, state: State) -> None:
        """Set this process's streams, unless there were fewer processes."""
        if self._rank in state:
            restore_random_state(state[self._rank]["streams"], state[self._rank]["rest"])


def capture_random_state() -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the state of torch's streams (CPU, every CUDA device), of numpy's global one and of `random`.

    Returns:
        Tensors of integers: `torch.cpu` and `torch.cuda.<device>` (bytes), `numpy` `[624]`, `python` `[625]`; and
        the rest of the states as JSON values.

    Raises:
        CheckpointError: If numpy's global stream is not of its usual kind.
    """
    tensors = {"torch.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"torch.cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    numpy_state = np.random.get_state(legacy=False)
    if numpy_state["bit_generator"] != _NUMPY_GENERATOR:
        raise CheckpointError(
            f"numpy's global random stream: expected the generator {_NUMPY_GENERATOR}, found "
            f"{numpy_state['bit_generator']}. Do not call numpy.random.set_bit_generator; use a generator of your own."
        )
    inner = numpy_state["state"]
    tensors["numpy"] = torch.from_numpy(inner["key"].astype(np.int64))
    version, words, gauss = random.getstate()
    tensors["python"] = torch.tensor(words, dtype=torch.int64)
    document: dict[str, object] = {
        "numpy": {
            "bit_generator": _NUMPY_GENERATOR,
            "pos": int(inner["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "python": {"version": version, "gauss": gauss},
    }
    return tensors, document


def restore_random_state(tensors: Mapping[str, Tensor], document: object) -> None:
    """Set all streams to a captured state.

    CUDA devices are set by their number. Devices that the state does not know keep their streams, and a state of
    devices that are not here is left out; either is logged, as the run then does not go on to the same bits there.

    Raises:
        CheckpointError: If the state is not one that `capture_random_state` returns; then nothing has been changed.
    """
    before = capture_random_state()
    try:
        _set_all(tensors, document)
    except (LookupError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
        _set_all(*before)
        raise CheckpointError(
            f"The random streams cannot be restored: expected what capture_random_state returns, found tensors "
            f"{sorted(tensors)} ({error!r}). Use an earlier checkpoint."
        ) from error
    _tell_of_other_devices(tensors)


def _set_all(tensors: Mapping[str, Tensor], document: object) -> None:
    if not isinstance(document, dict):
        raise TypeError(f"the rest of the state is a {type(document).__name__}, not a dictionary")
    numpy_rest, python_rest = document["numpy"], document["python"]
    words = tuple(tensors["python"].tolist())
    random.setstate((python_rest["version"], words, python_rest["gauss"]))
    key = tensors["numpy"].cpu().numpy().astype(np.uint32)
    np.random.set_state(
        {
            "bit_generator": numpy_rest["bit_generator"],
            "state": {"key": key, "pos": numpy_rest["pos"]},
            "has_gauss": numpy_rest["has_gauss"],
            "gauss": numpy_rest["gauss"],
        }
    )
    torch.set_rng_state(tensors["torch.cpu"])
    for device in range(torch.cuda.device_count()):
        if f"torch.cuda.{device}" in tensors:
            torch.cuda.set_rng_state(tensors[f"torch.cuda.{device}"], device)


def _tell_of_other_devices(tensors: Mapping[str, Tensor]) -> None:
    saved = {name for name in tensors if name.startswith("torch.cuda.")}
    here = {f"torch.cuda.{device}" for device in range(torch.cuda.device_count())}
    if saved != here:
        logger.warning(
            "The random streams were saved with %d CUDA devices, and %d are here: what draws on the others goes on "
            "with other numbers. Resume with as many devices for the same bits.",
            len(saved),
            len(here),
        )
