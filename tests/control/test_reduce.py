"""`lax.reduce` and `lax.reduce_window` with computations of all kinds, against JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.errors import StructureError
from pullback._src.control.reduce import reduce, reduce_window

from .. import oracle
from ..ops.domains import distinct, integers

_OPERATIONS = {"add": 0, "mul": 1, "max": -np.inf, "min": np.inf}


@pytest.mark.parametrize("name", _OPERATIONS)
def test_named_reductions_like_jax(name: str) -> None:
    x = distinct((3, 4), np.float32)
    for init in (np.float32(_OPERATIONS[name]), np.float32(0.5)):
        for dims in ((0,), (0, 1), ()):
            ours = lambda v, s, dims=dims: reduce(v, s, getattr(lax, name), dims)
            theirs = lambda v, s, dims=dims: jax.lax.reduce(v, s, getattr(jax.lax, name), dims)
            oracle.check(ours, theirs, x, init)
    start = np.float32(_OPERATIONS[name])  # JAX differentiates no others
    ours = lambda v: reduce(v, start, getattr(lax, name), (0,))
    theirs = lambda v: jax.lax.reduce(v, start, getattr(jax.lax, name), (0,))
    oracle.check_grad(ours, theirs, x)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bit_reductions_like_jax(name: str) -> None:
    x = integers(0, 100, (3, 5), np.int32)
    ours = lambda v: reduce(v, np.int32(5), getattr(lax, name), (1,))
    theirs = lambda v: jax.lax.reduce(v, np.int32(5), getattr(jax.lax, name), (1,))
    oracle.check(ours, theirs, x)


def test_a_named_reduction_is_one_primitive() -> None:
    program = pb.make_jaxpr(lambda x: reduce(x, np.float32(0), lax.add, (0,)))(np.ones(3, np.float32))
    assert [e.primitive.name for e in program.eqns] == ["reduce_sum", "add"]


@pytest.mark.parametrize("size", [0, 1, 2, 5, 8])
def test_any_computation_in_order(size: int) -> None:
    """Composition of affine maps x -> a x + b: associative, but not commutative."""
    a, b = distinct((size, 2), np.float32), distinct((size, 2), np.float32, 1)

    def compose(f: Any, g: Any) -> Any:
        return f[0] * g[0], f[1] * g[0] + g[1]

    ones = (np.float32(1), np.float32(0))
    slope, offset = reduce((a, b), ones, compose, (0,))
    expected = (np.ones(2, np.float32), np.zeros(2, np.float32))
    for row in zip(a, b, strict=True):
        expected = compose(expected, row)
    np.testing.assert_allclose(np.asarray(slope), expected[0], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(offset), expected[1], rtol=1e-5, atol=1e-6)


def test_several_operands_like_jax() -> None:
    values, places = (
        distinct((3, 6), np.float32),
        np.broadcast_to(np.arange(6, dtype=np.int32), (3, 6)).copy(),
    )

    def argmax(numpy: Any) -> Any:
        def greater(x: Any, y: Any) -> Any:
            keep = x[0] >= y[0]
            return numpy.where(keep, x[0], y[0]), numpy.where(keep, x[1], y[1])

        return greater

    start = (np.float32(-np.inf), np.int32(-1))
    oracle.check(
        lambda v, p: reduce((v, p), start, argmax(pnp), (1,)),
        lambda v, p: jax.lax.reduce((v, p), start, argmax(jnp), (1,)),
        values,
        places,
    )


def test_computations_are_differentiated_and_batched() -> None:
    x = distinct((4, 5), np.float32)
    ours = lambda v: reduce(v, np.float32(-np.inf), pnp.logaddexp, (0,))
    theirs = lambda v: jax.nn.logsumexp(v, axis=0)
    oracle.check_grad(ours, theirs, x)
    mapped = pb.jit(pb.vmap(ours))(np.stack([x, 2 * x]))
    np.testing.assert_allclose(np.asarray(mapped)[1], np.asarray(theirs(2 * x)), rtol=1e-5)


@pytest.mark.parametrize("name", ["add", "max", "min"])
@pytest.mark.parametrize("padding", ["VALID", "SAME", ((1, 0), (2, 1))])
def test_pooling_like_jax(name: str, padding: Any) -> None:
    x = distinct((5, 6), np.float32)
    options = {"window_dimensions": (2, 3), "window_strides": (2, 1), "padding": padding}
    init = np.float32(_OPERATIONS[name])
    ours = lambda v: reduce_window(v, init, getattr(lax, name), **options)
    theirs = lambda v: jax.lax.reduce_window(v, init, getattr(jax.lax, name), **options)
    oracle.check(ours, theirs, x)
    oracle.check_grad(ours, theirs, x)


@pytest.mark.parametrize("name", ["add", "max", "mul"])
def test_windows_with_dilations_and_any_start_like_jax(name: str) -> None:
    x = distinct((4, 5), np.float32)
    options = {
        "window_dimensions": (2, 2),
        "padding": ((1, 1), (0, 2)),
        "base_dilation": (2, 1),
        "window_dilation": (1, 2),
    }
    for init in (np.float32(0.5), np.float32(_OPERATIONS[name])):
        ours = lambda v, s=init: reduce_window(v, s, getattr(lax, name), **options)
        theirs = lambda v, s=init: jax.lax.reduce_window(v, s, getattr(jax.lax, name), **options)
        oracle.check(ours, theirs, x)


def test_windows_of_any_computation_like_jax() -> None:
    x = distinct((6,), np.float32)
    ours = lambda v: reduce_window(v, np.float32(0), pnp.hypot, (3,), (1,), "SAME")
    theirs = lambda v: jax.lax.reduce_window(v, np.float32(0), jnp.hypot, (3,), (1,), "SAME")
    oracle.check(ours, theirs, x)


def test_errors_say_what_is_wrong() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(StructureError, match="init_values must have the structure of the operands"):
        reduce((x, x), np.float32(0), lax.add, (0,))
    with pytest.raises(TypeError, match=r"one dtype; got f32\[2,3\] and i32\[\]"):
        reduce(x, np.int32(0), lax.add, (0,))
    with pytest.raises(TypeError, match=r"must be scalars; got shape \(2,\)"):
        reduce(x, np.zeros(2, np.float32), lax.add, (0,))
    with pytest.raises(TypeError, match="must return what it is given"):
        reduce(x, np.float32(0), lambda u, v: u > v, (0,))
    with pytest.raises(TypeError, match=r"window_dimensions \(2,\) must have 2 entries"):
        reduce_window(x, np.float32(0), lax.add, (2,))
    with pytest.raises(ValueError, match="unknown padding 'FULL'"):
        reduce_window(x, np.float32(0), lax.add, (2, 2), padding="FULL")
