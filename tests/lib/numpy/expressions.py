"""Differential tests as texts: one expression is evaluated with Pullback and with JAX, and both must agree.

In an expression `jnp` is the library's `numpy`, `grad`, `jit`, `vmap` its transformations, and the names of
`_VALUES` are arrays. If JAX raises, the library must raise an error of the same built-in kind.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy
import numpy as np
import pytest

import pullback as pb
import pullback.numpy
from pullback._src.base.config import enable_x64
from pullback._src.core.array import Array

from ... import oracle

_VALUES: dict[str, Any] = {
    "i": np.array([1, 2, 3], np.int32),
    "f": np.array([1.0, 2.0, 3.0], np.float32),
    "h": np.array([-0.75, -0.25, 0.5, 0.9375], np.float32),
    "b": np.array([True, False]),
    "c": np.array([1 + 2j], np.complex64),
    "z": np.array([0.5 - 0.25j, -1.5 + 2j, 0.3 + 0.1j], np.complex64),
    "u": np.array([1, 2, 3], np.uint8),
    "n": np.array([-7, -2, -1, 0, 1, 5, 8], np.int32),
    "m": np.arange(6, dtype=np.float32).reshape(2, 3),
    "s": np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5], np.float32),
}

_ERRORS = (
    TypeError,
    ValueError,
    OverflowError,
    ZeroDivisionError,
    IndexError,
    NotImplementedError,
)


def _namespace(library: Any, numpy_like: Any) -> dict[str, Any]:
    names = {name: numpy_like.asarray(value) for name, value in _VALUES.items()}
    return {
        **names,
        "jnp": numpy_like,
        "np": np,
        "grad": library.grad,
        "jit": library.jit,
        "vmap": library.vmap,
        "ShapeDtypeStruct": library.ShapeDtypeStruct,
    }


_cache: dict[bool, tuple[dict[str, Any], dict[str, Any]]] = {}


def _namespaces(x64: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    if x64 not in _cache:
        _cache[x64] = _namespace(pb, pullback.numpy), _namespace(jax, jax.numpy)
    return _cache[x64]


def same_object(a: Any, e: Any) -> bool:
    """Equality of results that are no arrays (numbers, shapes, dtypes, NumPy scalars)."""
    if isinstance(e, np.generic):
        return isinstance(a, np.generic) and a.dtype == e.dtype and bool(a == e)
    if isinstance(e, float) and math.isnan(e):
        return isinstance(a, float) and math.isnan(a)
    return type(a) is type(e) and bool(a == e)


def check_type(text: str, *, x64: bool = False, weak: bool = True) -> None:
    """Evaluate the expression with both libraries and compare types only: JAX traces it and compiles nothing.

    `weak`: whether weak types are compared.
    """
    with enable_x64(x64), jax.enable_x64(x64), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = _namespaces(x64)
        try:
            expected = jax.eval_shape(lambda: eval(text, theirs))
        except _ERRORS as error:
            _check_raises(text, ours, error)
            return
        mine, other = oracle.leaves(eval(text, ours)), oracle.leaves(expected)
        assert len(mine) == len(other), f"{text}: {len(mine)} results, JAX gives {len(other)}"
        for a, e in zip(mine, other, strict=True):
            found = (str(a.dtype), a.shape, a.weak_type and a.dtype != np.bool_)
            wanted = (str(e.dtype), e.shape, e.weak_type and e.dtype != np.bool_)
            if not weak:
                found, wanted = found[:2], wanted[:2]
            assert found == wanted, f"{text}: {found}, JAX gives {wanted}"


def _check_raises(text: str, ours: dict[str, Any], error: Exception) -> None:
    kinds = tuple(kind for kind in _ERRORS if isinstance(error, kind))
    try:
        found = eval(text, ours)
    except kinds:
        return
    raise AssertionError(f"{text}: JAX raises {error!r}, but we return {found!r}") from None


def check(text: str, *, units: float = 8.0, x64: bool = False) -> None:
    """Evaluate the expression with both libraries and compare."""
    with enable_x64(x64), jax.enable_x64(x64), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = _namespaces(x64)
        try:
            expected = eval(text, theirs)
        except _ERRORS as error:
            _check_raises(text, ours, error)
            return
        found = eval(text, ours)
        mine, other = oracle.leaves(found), oracle.leaves(expected)
        assert len(mine) == len(other), f"{text}: {found!r}, JAX gives {expected!r}"
        for a, e in zip(mine, other, strict=True):
            if not isinstance(a, Array):
                assert same_object(a, e), f"{text}: {a!r}, JAX gives {e!r}"
            elif a.dtype == np.bool_:  # JAX calls some bools weakly typed, which has no consequence
                assert e.dtype == np.bool_ and a.shape == e.shape, f"{text}: {a.aval}, JAX gives {e.aval}"
                np.testing.assert_array_equal(np.asarray(a), np.asarray(e), err_msg=text)
            else:
                oracle.assert_same(a, e, text, units=units)


def parametrize(texts: Iterable[str]) -> Any:
    """Decorator: run a test for each expression."""
    return pytest.mark.parametrize("text", list(texts))
