"""Arithmetic, comparison, conversion and bits: equal to the kernels of the NumPy engine, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback._src.core import dtypes, engine

from .harness import BF16, run

engine.load_eager()
KERNELS = {p.name: k for p, k in engine.kernels.items()}
INTEGERS = [np.dtype(t) for t in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]
FLOATS = [np.dtype("f2"), BF16, np.dtype("f4"), np.dtype("f8")]
COMPLEXES = [np.dtype("c8"), np.dtype("c16")]
BOOL = np.dtype(bool)
LANES = (16, 5, 1)
_RNG = np.random.default_rng(1)


def edges(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Values at the ends of a dtype's range and many between."""
    if dtype == BOOL:
        return _RNG.integers(0, 2, 200).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        ends = [info.min, info.min + 1, info.max, info.max - 1, *range(-3, 9), 31, 32, 33, 63, 64]
        ends = [v for v in ends if info.min <= v <= info.max]
        spread = _RNG.integers(info.min, info.max, 150, dtype=dtype, endpoint=True)
        small = _RNG.integers(max(info.min, -20), 20, 100).astype(dtype)
        return np.concatenate([np.array(ends, dtype), spread, small])
    if dtype.kind == "c":
        part = edges(np.dtype(f"f{dtype.itemsize // 2}"))
        z = np.empty(part.size, dtype)
        z.real, z.imag = part, _RNG.permutation(part)
        return z
    info = dtypes.finfo(dtype)
    ends = [0.0, 1, 0.5, 1.5, 2.5, np.inf, np.nan, float(info.max), float(info.tiny)]
    ends += [float(info.smallest_subnormal), 127.5, 128, 129, 255.5, 256, 32767.5, 65535.5]
    ends += [2.0**31 - 1, 2.0**31, 2.0**32, 2.0**63, 2.0**64, 1e30, 0.49999997]
    sizes = np.exp(_RNG.normal(0, 10, 150)) * _RNG.choice([-1, 1], 150)
    with np.errstate(all="ignore"):
        return np.concatenate([ends, np.negative(ends), _RNG.normal(0, 100, 150), sizes]).astype(dtype)


def pair(dtype: np.dtype[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x = edges(dtype)
    few = x[:14]
    return (
        np.concatenate([x, np.repeat(few, few.size)]),
        np.concatenate([_RNG.permutation(x), np.tile(few, few.size)]),
    )


def check(name: str, *xs: Any, lanes: tuple[int, ...] = LANES, **params: Any) -> None:
    with np.errstate(all="ignore"):
        want = KERNELS[name](*xs, **params)
    for count in lanes:
        got = run(name, *xs, out=want.dtype, lanes=count, **params)
        with np.errstate(all="ignore"):
            same = (got == want) | ((got != got) & (want != want))
        if not same.all():
            k = int(np.argmin(same))
            raise AssertionError((name, count, params, [x[k] for x in xs], got[k], want[k]))


def ids(dtype: np.dtype[Any]) -> str:
    return dtype.name


@pytest.mark.parametrize("dtype", INTEGERS, ids=ids)
def test_integers(dtype: np.dtype[Any]) -> None:
    x, y = pair(dtype)
    for name in [
        "add",
        "sub",
        "mul",
        "div",
        "rem",
        "max",
        "min",
        "and",
        "or",
        "xor",
        "pow",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
    ]:
        check(name, x, y)
    for name in ("shift_left", "shift_right_logical", "shift_right_arithmetic"):
        check(name, x, y)
    for name in ["neg", "abs", "sign", "square", "not", "population_count", "clz", "relu"]:
        check(name, x, lanes=(16, 1))
    check("clamp", x, y, x[::-1].copy(), lanes=(16,))
    for power in (0, 1, 2, 5):
        check("integer_pow", x, y=power, lanes=(16,))


@pytest.mark.parametrize("dtype", FLOATS, ids=ids)
def test_floats(dtype: np.dtype[Any]) -> None:
    x, y = pair(dtype)
    for name in [
        "add",
        "sub",
        "mul",
        "div",
        "rem",
        "max",
        "min",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "nextafter",
    ]:
        check(name, x, y, lanes=(16, 5))
    for name in ["neg", "abs", "sign", "square", "relu", "floor", "ceil", "is_finite", "sqrt"]:
        check(name, x, lanes=(16, 1))
    for method in (0, 1):
        check("round", x, rounding_method=method, lanes=(16,))
    for bits in ((5, 10), (8, 7), (8, 23), (4, 3), (11, 52), (2, 1), (5, 2)):
        check("reduce_precision", x, exponent_bits=bits[0], mantissa_bits=bits[1], lanes=(16,))
    check("clamp", x, y, x[::-1].copy(), lanes=(16,))
    if dtype.itemsize > 2:  # narrow floats round once here, after each factor there
        for power in (0, 1, 2, 5, -1, -2):
            check("integer_pow", x, y=power, lanes=(16,))


@pytest.mark.parametrize("source", [BOOL, *INTEGERS, *FLOATS, *COMPLEXES], ids=ids)
@pytest.mark.parametrize("target", [BOOL, *INTEGERS, *FLOATS, *COMPLEXES], ids=ids)
def test_conversions(source: np.dtype[Any], target: np.dtype[Any]) -> None:
    x = edges(source)
    check("convert_element_type", x, new_dtype=target, weak_type=False, lanes=(16,))
    if source.itemsize == target.itemsize and not {source.kind, target.kind} & {"c", "b"}:
        check("bitcast_convert_type", x, new_dtype=target, lanes=(16,))


@pytest.mark.parametrize("dtype", COMPLEXES, ids=ids)
def test_complex_arithmetic(dtype: np.dtype[Any]) -> None:
    x, y = pair(dtype)
    for name in ("add", "sub", "eq", "ne"):
        check(name, x, y, lanes=(16, 1))
    for name in ("neg", "conj", "real", "imag"):
        check(name, x, lanes=(16,))
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    for name in ("max", "min", "div"):
        check(name, x, y, lanes=(16, 1))
    a, b = (_RNG.normal(size=200) + 1j * _RNG.normal(size=200) for _ in range(2))
    a, b = a.astype(dtype), b.astype(dtype)
    eps = np.finfo(dtype).eps
    assert (np.abs(run("mul", a, b) - a * b) <= 2 * eps * np.abs(a * b)).all()
    assert (run("mul", a, a.conj()).imag == 0).all()
    assert (np.abs(run("integer_pow", a, y=3) - a**3) <= 6 * eps * np.abs(a**3)).all()
    unit = run("sign", a)
    assert (np.abs(unit - np.sign(a)) <= 2 * eps).all()
    np.testing.assert_array_equal(run("sign", np.zeros(3, dtype)), np.zeros(3, dtype))


def test_complex_from_parts() -> None:
    x, y = pair(np.dtype("f4"))
    check("complex", x, y)


@pytest.mark.parametrize("dtype", [BOOL, *INTEGERS, *FLOATS, *COMPLEXES], ids=ids)
def test_selection(dtype: np.dtype[Any]) -> None:
    x = edges(dtype)
    y, z = _RNG.permutation(x), _RNG.permutation(x)
    check("select_n", _RNG.integers(0, 2, x.size).astype(bool), x, y)
    check("select_n", _RNG.integers(-1, 4, x.size).astype("i4"), x, y, z, lanes=(16, 1))


def test_bools() -> None:
    x, y = pair(BOOL)
    for name in ["and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge", "max", "min"]:
        check(name, x, y)
    check("not", x)
    check("relu", x)


def test_threefry() -> None:
    words = [_RNG.integers(0, 2**32, 100, dtype=np.uint32) for _ in range(4)]
    want = KERNELS["threefry2x32"](*words)
    for lanes in LANES:
        for g, w in zip(run("threefry2x32", *words, lanes=lanes, outputs=2), want, strict=True):
            np.testing.assert_array_equal(g, w)
