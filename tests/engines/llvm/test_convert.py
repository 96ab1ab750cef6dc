"""Bits read as another dtype, in native code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64

from .comparison import agree

PAIRS = [
    (np.float32, np.uint8), (np.float64, np.int32), (np.int64, np.uint16), (np.int16, np.int8),
    (np.float16, np.uint8), (np.float32, np.float16), (np.float32, np.int32), (np.int16, np.float16),
    (np.uint64, np.float64),
]  # fmt: skip


@pytest.mark.parametrize(("wide", "narrow"), PAIRS)
@pytest.mark.parametrize("shape", [(), (3,), (4,), (8,), (100,), (30, 20), (0,)])
def test_widths(wide: Any, narrow: Any, shape: tuple[int, ...]) -> None:
    with enable_x64(True):
        r = np.random.RandomState(0)
        ratio = np.dtype(wide).itemsize // np.dtype(narrow).itemsize
        # Bits of ordinary numbers in every dtype: NaNs need not keep theirs.
        x = jnp.asarray(r.randint(1, 60, shape)).astype(wide)
        agree(lambda x: lax.bitcast_convert_type(x, narrow), x, guard=True)
        if narrow is np.float16:
            return
        bits = np.asarray(lax.bitcast_convert_type(x, narrow))
        agree(lambda y: lax.bitcast_convert_type(y, wide), bits, guard=True)
        if ratio > 1 and shape:
            agree(lambda y: lax.bitcast_convert_type(y[1:], wide), bits)
            agree(lambda y: lax.bitcast_convert_type(y[..., ::-1], wide), bits)
        agree(lambda x: lax.bitcast_convert_type(x[::2] if x.ndim else x, narrow), x)
        agree(lambda x: lax.bitcast_convert_type(x + 1, narrow)[..., :1].sum() if x.ndim else x, x)


def test_shared_memory_is_not_written() -> None:
    def f(x: Any) -> Any:
        y = x + 1
        words = lax.bitcast_convert_type(y, np.uint16)
        z = y.at[3].set(7.0)
        return words + 1, z

    agree(f, np.arange(100, dtype=np.float32))
