"""Functions that call SciPy's scalar ones: equal to the kernels of the NumPy engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback._src.core import engine
from pullback._src.engines.llvm.math.scipy_functions import FUNCTIONS

from .accuracy import DOUBLE, SINGLE
from .harness import run

engine.load_eager()
KERNELS = {p.name: k for p, k in engine.kernels.items()}
ARITY = {"igamma": 2, "igammac": 2, "regularized_incomplete_beta": 3, "bessel_j": 2, "owens_t": 2, "expn": 2}
ARITY |= {"hyp1f1": 3, "hyp2f1": 4}


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_scipys(name: str, dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(1)
    xs = [rng.uniform(0.05, 4, 40) for _ in range(ARITY.get(name, 1))]
    if name in ("hyp2f1", "regularized_incomplete_beta"):
        xs[-1] = rng.uniform(0.01, 0.99, 40)
    if name == "expn":
        xs[0] = rng.integers(0, 6, 40).astype(np.float64)
        xs[0][::7] += 0.5
    xs = [np.concatenate([x, [np.nan, 1.0, 0.0]]).astype(dtype) for x in xs]
    with np.errstate(all="ignore"):
        want = KERNELS[name](*xs)
    for lanes in (16, 5, 1):
        np.testing.assert_allclose(run(name, *xs, lanes=lanes), want, rtol=4 * np.finfo(dtype).eps)
