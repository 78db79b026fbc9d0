"""Many small parameters as one buffer, so that an optimizer step costs the same for 2 tensors as for 2,000."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hf_mtl.errors import ConfigError, listing

__all__ = ["FlatParameters"]


class FlatParameters:
    """Parameters whose values are views of one flat parameter, `flat [P]`.

    The parameters stay what they are (their names, their `.grad`); only their storage moves into the buffer.

    Args:
        parameters: By name, of one dtype and device. They must not be moved to another device afterwards. Adapters of
            all kinds keep their weights in fp32 (fp64 on an fp64 base), so a task's are of one dtype.

    Raises:
        ConfigError: If the dtypes differ; one buffer would change them silently.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.names = tuple(parameters)
        self.parameters = list(parameters.values())
        dtypes = {str(parameter.dtype) for parameter in self.parameters}
        if len(dtypes) > 1:
            raise ConfigError(
                f"A task's parameters must be of one dtype; found {listing(dtypes)}. Convert them before training."
            )
        self.flat = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]))
        self._gradients: Tensor | None = None
        self._gradient_views: list[Tensor] = []
        for parameter, view in zip(self.parameters, self._views(self.flat.detach()), strict=True):
            parameter.data = view

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([parameter.numel() for parameter in self.parameters])
        return [part.view_as(parameter) for part, parameter in zip(parts, self.parameters, strict=True)]

    def by_name(self, flat: Tensor) -> dict[str, Tensor]:
        """A buffer `[P]` that goes with `flat`, cut into the parameters' shapes."""
        return dict(zip(self.names, self._views(flat), strict=True))

    def collect_gradients(self) -> None:
        """Let the coming backward passes add up their gradients in `flat.grad`, which starts at zero.

        The parameters' `.grad` become views of one buffer that is kept over the steps, so nothing is copied
        together afterwards.
        """
        if self._gradients is None:
            self._gradients = torch.zeros_like(self.flat.detach())
            self._gradient_views = self._views(self._gradients)
        else:
            self._gradients.zero_()
        self.flat.grad = self._gradients
        for parameter, view in zip(self.parameters, self._gradient_views, strict=True):
            parameter.grad = view

    def drop_gradients(self) -> None:
        """Leave no gradient, neither zero nor other: an optimizer then moves nothing."""
        self.flat.grad = None
        for parameter in self.parameters:
            parameter.grad = None
