"""while_loop and fori_loop."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

import pullback.lax as lax
from pullback._src.base.config import disable_jit
from pullback._src.base.errors import DTypeError, ShapeError, StructureError
from pullback._src.core.array import as_array
from pullback._src.core.aval import Zero
from pullback._src.core.evaluate import evaluate
from pullback._src.core.staging import stage
from pullback._src.core.verify import verify
from pullback._src.transforms.batch import Axis, batch
from pullback._src.transforms.jvp import jvp
from pullback._src.transforms.linearize import linearize
from pullback._src.transforms.transpose import backward_pass

from ..flat import jit_of
from ..matrix import Sample, matrix_cells, run_cell
from ..oracle import assert_same
from .both import FORWARD_PATHS, PATHS, check, check_grad, check_path, ours, theirs

_N = np.int32(4)
_X = np.float64(0.7)
_Y = np.array([0.3, 1.1, 0.4])


# Functions of (lax, n, x, y), where n bounds the number of iterations.


def _power(lax: Any, n: Any, x: Any, y: Any) -> Any:
    def body(carry: Any) -> Any:
        i, c = carry
        return lax.add(i, np.int32(1)), lax.mul(lax.sin(c), x)

    return lax.while_loop(lambda carry: lax.lt(carry[0], n), body, (np.int32(0), y))


def _until_small(lax: Any, n: Any, x: Any, y: Any) -> Any:
    """The number of iterations depends on the differentiated value."""
    below = lambda c: lax.lt(lax.reduce_sum(lax.mul(c, c), (0,)), lax.full((), 100.0, c.dtype))
    return lax.while_loop(
        below,
        lambda c: lax.mul(lax.exp(lax.mul(c, x)), 1.5),
        lax.mul(y, lax.convert_element_type(n, y.dtype)),
    )


def _late_tangent(lax: Any, n: Any, x: Any, y: Any) -> Any:
    def body(carry: Any) -> Any:
        i, _, b, c = carry
        return lax.add(i, np.int32(1)), lax.mul(b, y), lax.mul(c, c), lax.mul(lax.mul(x, x), 0.5)

    one = lax.full((), 1, x.dtype)
    return lax.while_loop(lambda carry: lax.lt(carry[0], n), body, (np.int32(0), y, one, one))


def _pytrees(lax: Any, n: Any, x: Any, y: Any) -> Any:
    start = {"i": np.int32(0), "v": (y, None), "w": [x]}
    step = lambda c: {
        "w": [lax.sin(c["w"][0])],
        "v": (lax.mul(c["v"][0], c["w"][0]), None),
        "i": lax.add(c["i"], np.int32(1)),
    }
    return lax.while_loop(lambda c: lax.lt(c["i"], n), step, start)


def _nested(lax: Any, n: Any, x: Any, y: Any) -> Any:
    def body(carry: Any) -> Any:
        i, c = carry
        inner = lambda d: (lax.add(d[0], np.int32(1)), lax.mul(lax.cos(d[1]), x))
        return lax.add(i, np.int32(1)), lax.while_loop(lambda d: lax.le(d[0], i), inner, (np.int32(0), c))[1]

    return lax.while_loop(lambda carry: lax.lt(carry[0], n), body, (np.int32(0), y))


def _in_scan(lax: Any, n: Any, x: Any, y: Any) -> Any:
    def body(c: Any, v: Any) -> Any:
        loop = lambda d: (lax.add(d[0], np.int32(1)), lax.mul(lax.sin(d[1]), v))
        c = lax.while_loop(lambda d: lax.lt(d[0], n), loop, (np.int32(0), c))[1]
        return c, lax.mul(c, x)

    return lax.scan(body, x, y)


def _in_cond(lax: Any, n: Any, x: Any, y: Any) -> Any:
    loop = lambda y: lax.while_loop(
        lambda d: lax.lt(d[0], n), lambda d: (lax.add(d[0], np.int32(1)), lax.mul(d[1], x)), (np.int32(0), y)
    )[1]
    return lax.cond(lax.gt(n, np.int32(3)), loop, lax.neg, y)


def _fori_dynamic(lax: Any, n: Any, x: Any, y: Any) -> Any:
    body = lambda i, c: lax.add(lax.mul(c, x), lax.convert_element_type(i, c.dtype))
    return lax.fori_loop(np.int32(1), n, body, y)


FUNCTIONS = [_power, _until_small, _late_tangent, _pytrees, _nested, _in_scan, _in_cond, _fori_dynamic]


def _fori_static(lax: Any, n: Any, x: Any, y: Any) -> Any:
    def body(i: Any, carry: Any) -> Any:
        c, d = carry
        scale = lax.add(lax.convert_element_type(i, c.dtype), x)
        return lax.mul(lax.sin(c), scale), lax.add(d, lax.mul(c, c))

    return lax.fori_loop(2, 6, body, (y, lax.mul(y, x)))


def _reference_power(n: Any, x: Any, y: Any) -> Any:
    for _ in range(int(n)):
        y = np.sin(y) * x
    return y


def _fori_reference(x: Any, y: Any) -> list[Any]:
    c, d = y, y * x
    for i in range(2, 6):
        c, d = np.sin(c) * (i + x), d + c * c
    return [c, d]


def _pushforward(x: Any, y: Any, t: Any, u: Any) -> Any:
    _, linear = linearize(lambda x, y: [_power(lax, _N, x, y)[1]], [x, y])
    return evaluate(linear.program, [t, u], linear.residuals)[0]


def _reference_pushforward(x: Any, y: Any, t: Any, u: Any) -> Any:
    for _ in range(int(_N)):
        y, u = np.sin(y) * x, np.cos(y) * u * x + np.sin(y) * t
    return u


SAMPLES = [
    Sample(
        "while-tangent-f64",
        _pushforward,
        (_X, _Y, np.float64(0.3), _Y + 0.2),
        _reference_pushforward,
        (0, 1, 2, 3),
        batchable=(0, 1, 2, 3),
        primitives=("loop_tangent",),
    ),
    Sample(
        "while-f64",
        lambda n, x, y: _power(lax, n, x, y)[1],
        (_N, _X, _Y),
        _reference_power,
        (1, 2),
        batchable=(0, 1, 2),
        primitives=("while",),
    ),
    Sample(
        "fori-f64",
        lambda x, y: list(_fori_static(lax, None, x, y)),
        (_X, _Y),
        _fori_reference,
        (0, 1),
        batchable=(0, 1),
        primitives=("scan",),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("path", [p for p in FORWARD_PATHS if "vmap" not in p])
def test_forward_transformations_agree_with_python(function: Any, path: str) -> None:
    check_path(function, path, _N, _X, _Y, argnums=(1, 2))


@pytest.mark.parametrize("path", PATHS)
def test_static_bounds_differentiate_both_ways(path: str) -> None:
    check_path(lambda lax, x, y: _fori_static(lax, None, x, y), path, _X, _Y, argnums=(0, 1))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "mapped", [(0, None, None), (None, 0, None), (None, None, 1), (0, 0, 0), (0, None, 1)], ids=str
)
def test_lanes_run_for_themselves(function: Any, mapped: Any) -> None:
    """Lanes that end at different times, against one lane after the other; values, tangents, staged."""
    f = ours(function)
    rows = [
        (np.int32(n), np.float32(x), (np.float32(x) * _Y).astype(np.float32))
        for n, x in ((3, 0.7), (5, 0.9), (0, 1.1), (1, 0.5))
    ]
    first = [as_array(v) for v in rows[0]]

    def tangents(*args: Any) -> list[Any]:
        given = [Zero(args[0].aval.tangent), args[1], args[2]]
        outs, pushed = jvp(f, args, given)
        return [*outs, *[t for t in pushed if type(t) is not Zero]]

    for run in (f, tangents):
        expected = [
            run(*[as_array(v) if d is not None else w for v, d, w in zip(row, mapped, first, strict=True)])
            for row in rows
        ]
        args = [
            as_array(np.stack([row[i] for row in rows], d)) if d is not None else first[i]
            for i, d in enumerate(mapped)
        ]
        outs, dims = batch(run, Axis(4), args, list(mapped))
        assert len(outs) == len(expected[0])
        for k, (out, dim) in enumerate(zip(outs, dims, strict=True)):
            column = np.stack([np.asarray(e[k]) for e in expected])
            value = np.asarray(out) if dim is None else np.moveaxis(np.asarray(out), dim, 0)
            np.testing.assert_allclose(np.broadcast_to(value, column.shape), column, rtol=2e-6)
        program = verify(
            stage(lambda *xs, run=run: batch(run, Axis(4), xs, list(mapped))[0], [a.aval for a in args])
        )
        for a, e in zip(evaluate(program, args), outs, strict=True):
            # What a lane does not change is mapped where the predicate is not known.
            np.testing.assert_allclose(*np.broadcast_arrays(np.asarray(a), np.asarray(e)), rtol=2e-6)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_values_agree_with_jax(function: Any) -> None:
    check(function, _N, np.float32(_X), _Y.astype(np.float32), units=64)


def test_gradient_of_static_bounds_agrees_with_jax() -> None:
    check_grad(lambda lax, x, y: _fori_static(lax, None, x, y), _X, _Y, argnums=(0, 1))


# Linearization.


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_linearize_agrees_with_jvp(function: Any) -> None:
    f = ours(function)
    args = [as_array(_N), as_array(np.float32(_X)), as_array(_Y.astype(np.float32))]
    given = [
        Zero(args[0].aval.tangent),
        as_array(np.float32(0.3)),
        as_array(np.array([1, -2, 0.5], np.float32)),
    ]
    outs, pushed = jvp(f, args, given)
    values, linear = linearize(f, args, [False, True, True])
    for a, e in zip(values, outs, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(e))
    found = evaluate(linear.program, given[1:], linear.residuals)
    expected = [t for t, nz in zip(pushed, linear.out_nonzero, strict=True) if nz]
    for a, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(e), rtol=1e-6)


def test_linearize_of_linearize() -> None:
    f = ours(_power)
    y = as_array(_Y.astype(np.float32))

    def derivative(x: Any) -> list[Any]:
        _, linear = linearize(lambda x: f(as_array(_N), x, y)[1:], [x])
        return list(evaluate(linear.program, [lax.full((), 1, np.float32)], linear.residuals))

    x = as_array(np.float32(_X))
    one = as_array(np.float32(1))
    _, second = linearize(derivative, [x])
    (found,) = evaluate(second.program, [one], second.residuals)
    twice = lambda x: jvp(lambda x: f(as_array(_N), x, y)[1:], [x], [one])[1]
    (expected,) = jvp(twice, [x], [one])[1]
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)


def test_reverse_mode_passes_loops_that_carry_no_tangent() -> None:
    """A loop of integers, or of values whose gradient is not asked for, is no obstacle."""

    def f(x: Any) -> list[Any]:
        n = lax.while_loop(lambda i: lax.lt(i, np.int32(5)), lambda i: lax.add(i, np.int32(2)), np.int32(0))
        return [lax.mul(x, lax.convert_element_type(n, np.float32))]

    outs, linear = linearize(f, [as_array(np.float32(2))])
    assert float(outs[0]) == 12
    assert float(backward_pass(linear.program, linear.residuals, [as_array(np.float32(1))])[0]) == 6


# Types and errors: as in JAX.


@pytest.mark.parametrize(
    ("condition", "body", "init"),
    [
        (lambda lax, c: lax.lt(c, 3), lambda lax, c: lax.add(c, 1), 0),
        (lambda lax, c: lax.lt(c, np.int8(3)), lambda lax, c: lax.add(c, np.int8(1)), np.int8(0)),
        (
            lambda lax, c: lax.lt(lax.convert_element_type(c, np.float32), np.float32(3)),
            lambda lax, c: lax.add(lax.convert_element_type(c, np.float32), np.float32(1.5)),
            0,
        ),
        (lambda lax, c: lax.lt(c, 3.0), lambda lax, c: lax.add(c, np.float32(1.5)), 0.0),
        (lambda lax, c: lax.lt(c, np.int32(3)), lambda lax, c: 1.5, np.int32(0)),
        (lambda lax, c: c, lambda lax, c: c, 0),
        (lambda lax, c: (lax.lt(c, 3), c), lambda lax, c: c, 0),
        (lambda lax, c: np.ones(2, bool), lambda lax, c: c, 0),
        (lambda lax, c: lax.lt(c, 3), lambda lax, c: (c,), 0),
        (lambda lax, c: False, lambda lax, c: c, 1.0),
        (lambda lax, c: False, lambda lax, c: None, None),
    ],
)
def test_types_agree_with_jax(condition: Any, body: Any, init: Any) -> None:
    check(
        lambda lax, _: lax.while_loop(lambda c: condition(lax, c), lambda c: body(lax, c), init),
        np.float32(0),
    )


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (0, 3),
        (5, 3),
        (-2, 2),
        (np.int32(0), 3),
        (0, np.int32(3)),
        (np.uint8(0), np.uint8(3)),
        (np.int8(0), 3),
        (np.uint8(0), np.int32(3)),
        (0.0, 3),
        (np.arange(2), 3),
    ],
)
@pytest.mark.parametrize("init", [0.0, 0, np.float32(0)])
def test_bounds_agree_with_jax(lower: Any, upper: Any, init: Any) -> None:
    check(
        lambda lax, _: lax.fori_loop(lower, upper, lambda i, c: (i, lax.mul(c[1], c[1])), (0, init)),
        np.float32(0),
    )


def test_traced_bounds_agree_with_jax() -> None:
    f = lambda lax, n, x: lax.fori_loop(n, lax.add(n, n), lambda i, c: (i, lax.mul(c[1], x)), (n, x))
    for n in (np.int32(3), np.uint8(2), np.int16(0), np.int32(-2)):
        args = [as_array(n), as_array(np.float32(1.5))]
        assert_same(jit_of(ours(f))(*args), jax.jit(theirs(f))(n, np.float32(1.5)))


def test_errors_name_the_place() -> None:
    one = as_array(np.float32(1))
    with pytest.raises(
        DTypeError, match=r"(?s)while_loop: .*carry\['a'\] goes in as i32\[\], comes out as f32\[\]"
    ):
        lax.while_loop(lambda c: True, lambda c: {"a": one}, {"a": as_array(np.int32(0))})
    with pytest.raises(StructureError, match="while_loop: the body must return a carry of the structure"):
        lax.while_loop(lambda c: True, lambda c: (c, c), one)
    with pytest.raises(DTypeError, match=r"cond_fun \(<lambda>\) must return a boolean scalar, got f32\[\]"):
        lax.while_loop(lambda c: c, lambda c: c, one)
    with pytest.raises(ShapeError, match=r"got bool\[2\] of shape \(2,\); reduce it"):
        lax.while_loop(lambda c: np.ones(2, bool), lambda c: c, one)
    with pytest.raises(StructureError, match=r"must return a boolean scalar, got PyTreeDef\(\(\*, \*\)\)"):
        lax.while_loop(lambda c: (True, True), lambda c: c, one)
    with pytest.raises(TypeError, match="must be functions, got int and function"):
        lax.while_loop(3, lambda c: c, one)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match=r"fori_loop: lower must be an integer, got f32\[\]"):
        lax.fori_loop(0.0, 3, lambda i, c: c, one)
    with pytest.raises(DTypeError, match="lower and upper must have one dtype, got uint8 and int32"):
        lax.fori_loop(np.uint8(0), np.int32(3), lambda i, c: c, one)
    with pytest.raises(ShapeError, match=r"upper must be a scalar, got i32\[2\]"):
        lax.fori_loop(0, np.arange(2, dtype=np.int32), lambda i, c: c, one)
    with pytest.raises(ShapeError, match=r"(?s)fori_loop: .*carry goes in as f32\[\], comes out as f32\[2\]"):
        lax.fori_loop(0, 3, lambda i, c: lax.full((2,), 1.0), one)
    with pytest.raises(ValueError, match="unroll needs bounds known"):
        stage(lambda n: [lax.fori_loop(0, n, lambda i, c: c, one, unroll=2)], [as_array(np.int32(0)).aval])


# How loops run.


def test_bodies_are_traced_once() -> None:
    count = 0

    def body(i: Any, c: Any) -> Any:
        nonlocal count
        count += 1
        return lax.add(c, lax.convert_element_type(i, np.float32))

    for n in (3, 4, 5):
        assert float(lax.fori_loop(0, n, body, np.float32(0))) == sum(range(n))
    assert count == 1


def test_disable_jit_runs_the_body_with_values() -> None:
    seen = []

    def body(c: Any) -> Any:
        seen.append(int(c))
        return lax.add(c, 1)

    with disable_jit(True):
        lax.while_loop(lambda c: lax.lt(c, 3), body, as_array(np.int32(0)))
        lax.fori_loop(3, 5, lambda i, c: body(as_array(i)), as_array(np.int32(0)))
    assert seen == [0, 1, 2, 3, 4]


_ENDLESS = """
import signal, threading
import pullback as pb
import pullback.numpy as pnp

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT)).start()
try:
    pb.lax.while_loop(lambda c: True, lambda c: c * 1, pnp.float32(1))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_endless_loop_can_be_interrupted() -> None:
    # In a process of its own: those that run tests side by side ignore the signal.
    done = subprocess.run(
        [sys.executable, "-c", _ENDLESS], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "interrupted\n"


def test_program_text_names_the_primitive() -> None:
    program = stage(
        lambda n: [lax.fori_loop(0, n, lambda i, c: lax.mul(c, c), np.float32(1))],
        [as_array(np.int32(0)).aval],
    )
    assert "while[" in str(program)
    assert "body_program=" in str(program)
