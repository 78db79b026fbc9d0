"""Many small parameters as one buffer, so that an optimizer step costs the same for 2 tensors as for 2,000."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hf_mtl.errors import ConfigError, listing

__all__ = ["FlatParameters"]


class FlatParameters:
    """Parameters whose values are views of one flat parameter, `flat [P]`.

    The parameters stay what they are (their names, their `.grad`); only their storage moves into the buffer.

    Args:
        parameters: Of one dtype and device. They must not be moved to another device afterwards. Adapters of all
            kinds keep their weights in fp32 (fp64 on an fp64 base), so a task's are of one dtype.

    Raises:
        ConfigError: If the dtypes differ; one buffer would change them silently.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        dtypes = {str(parameter.dtype) for parameter in self.parameters}
        if len(dtypes) > 1:
            raise ConfigError(
                f"A task's parameters must be of one dtype; found {listing(dtypes)}. Convert them before training."
            )
        self.flat = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]))
        for parameter, view in zip(self.parameters, self._views(self.flat.detach()), strict=True):
            parameter.data = view

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([parameter.numel() for parameter in self.parameters])
        return [part.view_as(parameter) for part, parameter in zip(parts, self.parameters, strict=True)]

    def gather_gradients(self) -> bool:
        """Collect the parameters' gradients in `flat.grad`; afterwards theirs are views of it.

        Returns:
            Whether there was any gradient. If not, `flat.grad` is None and an optimizer leaves the values
            alone.
        """
        if all(parameter.grad is None for parameter in self.parameters):
            self.flat.grad = None
            return False
        self.flat.grad = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self.parameters]
        )
        for parameter, view in zip(self.parameters, self._views(self.flat.grad), strict=True):
            parameter.grad = view
        return True
