"""Types for annotations of functions that users write."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .array import Array
from .dtypes import KeyDType

ArrayLike: TypeAlias = Array | np.ndarray[Any, Any] | np.generic | bool | int | float | complex
DTypeLike: TypeAlias = str | type[Any] | np.dtype[Any] | KeyDType
