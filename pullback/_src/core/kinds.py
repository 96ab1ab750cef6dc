"""One-letter kinds of dtypes: the alphabet in which operations say what they accept.

`b` bool, `i` signed and `u` unsigned integers, `f` real and `c` complex floating point, `k` random keys,
`0` the dtype of tangents of integers (`float0`). NumPy's own `dtype.kind` calls bfloat16 and the like void.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes

_kinds: dict[np.dtype[Any], str] = {}


def kind(dtype: np.dtype[Any]) -> str:
    """The kind of a dtype."""
    try:
        return _kinds[dtype]
    except KeyError:
        pass
    if dtype == dtypes.float0:
        letter = "0"
    elif dtypes.is_key(dtype):
        letter = "k"
    elif dtypes.is_floating(dtype):
        letter = "f"
    elif dtypes.is_unsigned_integer(dtype):
        letter = "u"
    elif dtypes.is_signed_integer(dtype):
        letter = "i"
    else:
        letter = dtype.kind
    return _kinds.setdefault(dtype, letter)
