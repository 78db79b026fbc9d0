"""What a row is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Row"]

Row: TypeAlias = Mapping[str, Any]  # Any: a row's values are whatever the user's data set holds
