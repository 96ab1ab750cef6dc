"""Complex functions against mpmath, relative to the size of the result."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest

from .harness import run

_FUNCTIONS = {
    **{
        n: getattr(mp, n)
        for n in [
            "exp",
            "expm1",
            "log",
            "log1p",
            "log10",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "sqrt",
        ]
    },
    **{n: getattr(mp, n) for n in ["asin", "acos", "atan", "asinh", "acosh", "atanh"]},
    "log2": lambda z: mp.log(z) / mp.log(2),
    "exp2": lambda z: mp.power(2, z),
    "rsqrt": lambda z: 1 / mp.sqrt(z),
    "logistic": lambda z: 1 / (1 + mp.exp(-z)),
}
_BINARY = {
    "pow": mp.power,
    # The logarithm's branch is that of the larger operand.
    "logaddexp": lambda x, y: x + mp.log1p(mp.exp(y - x)) if x.real > y.real else y + mp.log1p(mp.exp(x - y)),
    "atan2": lambda x, y: -1j * mp.log((y + 1j * x) / mp.sqrt(x * x + y * y)),
}
DTYPES = pytest.mark.parametrize("dtype", [np.dtype("c8"), np.dtype("c16")], ids=["complex64", "complex128"])


def _samples(dtype: np.dtype[Any], seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    near = rng.normal(size=60) + 1j * rng.normal(size=60)
    wide = rng.uniform(-8, 8, 40) + 1j * rng.uniform(-8, 8, 40)
    return np.concatenate([near, wide]).astype(dtype)


def _compare(name: str, function: Any, bound: float, *xs: np.ndarray[Any, Any]) -> None:
    got = run(name, *xs)
    with mp.workprec(120):
        want = [function(*[mp.mpc(complex(v)) for v in row]) for row in zip(*xs, strict=True)]
    want = np.array([complex(w) for w in want])
    error = np.abs(got - want) / np.maximum(np.abs(want), 1e-3)
    k = int(np.argmax(error))
    assert error[k] <= bound * np.finfo(got.dtype).eps, (name, [x[k] for x in xs], got[k], want[k])


@DTYPES
@pytest.mark.parametrize("name", _FUNCTIONS)
def test_functions_of_one_number(name: str, dtype: np.dtype[Any]) -> None:
    _compare(name, _FUNCTIONS[name], 12, _samples(dtype))


@DTYPES
@pytest.mark.parametrize("name", _BINARY)
def test_functions_of_two_numbers(name: str, dtype: np.dtype[Any]) -> None:
    _compare(name, _BINARY[name], 40, _samples(dtype), _samples(dtype, 1)[::-1] / 4)


@DTYPES
def test_absolute_values_do_not_overflow(dtype: np.dtype[Any]) -> None:
    info = np.finfo(dtype)
    big = float(info.max) / 2
    z = np.array([big + 1j * big, 3 + 4j, 0, float(info.tiny) * (3 + 4j), np.inf + 1j], dtype)
    part = np.dtype(f"f{dtype.itemsize // 2}")
    np.testing.assert_allclose(run("abs", z, out=part), np.abs(z), rtol=4 * info.eps)


@DTYPES
@pytest.mark.parametrize("name", ["sqrt", "log", "asin", "acos", "acosh", "atanh", "atan", "asinh"])
def test_branch_cuts_are_numpys(name: str, dtype: np.dtype[Any]) -> None:
    """Signed zeros tell the sides of a cut apart."""
    zeros = np.array([0.0, -0.0])
    points = [complex(r, z) for r in (-3.0, 3.0, 0.25) for z in zeros]
    points += [complex(z, r) for r in (-3.0, 3.0, 0.25) for z in zeros]
    z = np.array(points, dtype)
    function = getattr(np, "arc" + name[1:] if name[0] == "a" else name)
    np.testing.assert_allclose(run(name, z), function(z), rtol=1e-5, atol=1e-6)
