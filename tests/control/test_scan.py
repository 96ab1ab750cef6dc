"""scan, map, associative_scan."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import jax
import numpy as np
import pytest

import pullback.lax as lax
from pullback._src.base.config import disable_jit, settings
from pullback._src.base.config import engine as engine_flag
from pullback._src.base.errors import DTypeError, PullbackError, ShapeError, StructureError
from pullback._src.control import scan_rules
from pullback._src.core import engine
from pullback._src.core.array import as_array
from pullback._src.core.evaluate import evaluate
from pullback._src.core.staging import stage
from pullback._src.core.verify import verify
from pullback._src.ops.transcendental import sin_p
from pullback._src.transforms.batch import Axis, batch
from pullback._src.transforms.jvp import jvp
from pullback._src.transforms.linearize import linearize
from pullback._src.transforms.transpose import backward_pass, transpose_program

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .both import PATHS, check, check_grad, check_path, ours, theirs

_RNG = np.random.default_rng(7)
_XS = _RNG.uniform(0.5, 1.5, 5)
_W = np.float64(0.7)


# One function of (lax, arrays...) a case; the first two arguments are differentiated.


def _cumulative(lax: Any, w: Any, xs: Any) -> Any:
    def body(c: Any, x: Any) -> Any:
        c = lax.sin(lax.mul(lax.mul(c, lax.exp(w)), x))
        return c, lax.mul(c, x)

    return lax.scan(body, w, xs)


def _reversed(lax: Any, w: Any, xs: Any) -> Any:
    return lax.scan(lambda c, x: (lax.mul(lax.cos(c), x), lax.mul(c, w)), w, xs, reverse=True, unroll=2)


def _integer_carry(lax: Any, w: Any, xs: Any) -> Any:
    def body(carry: Any, x: Any) -> Any:
        i, c = carry
        c = lax.add(lax.mul(c, x), lax.mul(w, lax.convert_element_type(i, x.dtype)))
        return (lax.add(i, np.int32(1)), c), (i, c)

    return lax.scan(body, (np.int32(0), w), xs)


def _carry_gets_tangent_late(lax: Any, w: Any, xs: Any) -> Any:
    """The tangent wanders through three carries, one in each iteration; a fourth never gets one."""

    def body(carry: Any, x: Any) -> Any:
        a, b, c, d = carry
        return (lax.mul(x, x), lax.sin(a), lax.mul(b, b), lax.mul(d, 2.0)), lax.mul(c, d)

    one = lax.full((), 1, xs.dtype)
    return lax.scan(body, (one, one, one, one), lax.mul(xs, w))


def _pytrees(lax: Any, w: Any, xs: Any) -> Any:
    def body(carry: Any, x: Any) -> Any:
        c = lax.add(lax.mul(carry["c"], x["a"]), x["b"][0])
        return {"none": None, "c": c}, [c, (lax.neg(c), {"k": None})]

    return lax.scan(body, {"c": w, "none": None}, {"a": xs, "b": (lax.mul(xs, xs), None)})


def _nested(lax: Any, w: Any, xs: Any) -> Any:
    def outer(c: Any, x: Any) -> Any:
        def inner(d: Any, y: Any) -> Any:
            return lax.sin(lax.mul(lax.add(d, x), lax.mul(y, w))), lax.mul(d, c)

        last, ys = lax.scan(inner, c, xs)
        return lax.mul(last, x), ys

    return lax.scan(outer, w, xs)


def _cond_inside(lax: Any, w: Any, xs: Any) -> Any:
    def body(c: Any, x: Any) -> Any:
        c = lax.cond(
            lax.gt(x, lax.full((), 1, x.dtype)),
            lambda v: lax.mul(lax.sin(v), w),
            lambda v: lax.mul(v, v),
            lax.mul(c, x),
        )
        return c, lax.exp(c)

    return lax.scan(body, w, xs)


def _no_outputs(lax: Any, w: Any, xs: Any) -> Any:
    return lax.scan(lambda c, _: (lax.mul(lax.sin(c), xs), None), lax.mul(xs, w), None, length=4)


def _no_carry(lax: Any, w: Any, xs: Any) -> Any:
    return lax.scan(lambda _, x: (None, lax.mul(lax.exp(x), w)), None, xs)


def _carry_untouched(lax: Any, w: Any, xs: Any) -> Any:
    return lax.scan(lambda c, x: (c, lax.mul(c, x)), w, xs)


def _carry_replaced(lax: Any, w: Any, xs: Any) -> Any:
    return lax.scan(lambda c, x: (lax.mul(x, x), lax.mul(c, w)), w, xs)


def _constant_matrix(lax: Any, w: Any, xs: Any) -> Any:
    n = xs.shape[0]
    matrix = lax.mul(lax.broadcast_in_dim(lax.mul(xs, 0.2), (n, n), (0,)), w)

    def body(h: Any, x: Any) -> Any:
        return lax.tanh(lax.add(lax.dot(matrix, h), lax.broadcast_in_dim(x, (n,), ()))), h

    return lax.scan(body, xs, xs)


def _empty(lax: Any, w: Any, xs: Any) -> Any:
    return lax.scan(lambda c, x: (lax.mul(c, x), lax.sin(c)), lax.mul(w, w), lax.slice(xs, (0,), (0,)))


def _map(lax: Any, w: Any, xs: Any) -> Any:
    return lax.map(lambda x: (lax.mul(lax.sin(x), w), lax.mul(x, x)), xs)


def _map_in_blocks(lax: Any, w: Any, xs: Any) -> Any:
    return lax.map(lambda x: lax.mul(lax.sin(x), w), xs, batch_size=2)


def _associative(lax: Any, w: Any, xs: Any) -> Any:
    def compose(f: Any, g: Any) -> Any:  # affine maps
        return lax.mul(f[0], g[0]), lax.add(lax.mul(f[1], g[0]), g[1])

    return lax.associative_scan(compose, (lax.mul(xs, w), lax.sin(xs)))


FUNCTIONS = [
    _cumulative,
    _reversed,
    _integer_carry,
    _carry_gets_tangent_late,
    _pytrees,
    _nested,
    _cond_inside,
    _no_outputs,
    _no_carry,
    _carry_untouched,
    _carry_replaced,
    _constant_matrix,
    _map,
    _map_in_blocks,
    _associative,
]


def _reference_cumulative(w: Any, xs: Any) -> list[Any]:
    c, ys = w, []
    for x in xs:
        c = np.sin(c * np.exp(w) * x)
        ys.append(c * x)
    return [c, np.stack(ys)]


def _flat_cumulative(w: Any, xs: Any) -> list[Any]:
    last, ys = _cumulative(lax, w, xs)
    return [last, ys]


SAMPLES = [
    Sample("scan-f64", _flat_cumulative, (_W, _XS), _reference_cumulative, (0, 1), primitives=("scan",)),
    Sample(
        "scan-f32",
        _flat_cumulative,
        (np.float32(_W), _XS.astype(np.float32)),
        _reference_cumulative,
        (0, 1),
        1,
        batchable=(1,),
        rtol=1e-5,
        primitives=("scan",),
    ),
    Sample(
        "scan-c128",
        lambda w, xs: list(lax.scan(lambda c, x: (lax.mul(lax.mul(c, w), x), lax.mul(c, c)), w, xs)),
        (0.8 + 0.3j, _XS + 0.2j),
        lambda w, xs: [w * np.prod(w * xs), (w * np.cumprod([1, *(w * xs)[:-1]])) ** 2],
        (0, 1),
        primitives=("scan",),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("path", PATHS)
def test_transformations_agree_with_an_unrolled_loop(function: Any, path: str) -> None:
    check_path(function, path, _W, _XS, argnums=(0, 1))


@pytest.mark.parametrize("function", [*FUNCTIONS, _empty], ids=lambda f: f.__name__)
def test_values_and_gradients_agree_with_jax(function: Any) -> None:
    check(function, np.float32(_W), _XS.astype(np.float32), units=64)
    check_grad(function, _W, _XS, argnums=(0, 1))


def test_a_loop_of_no_iterations_returns_its_initial_carry() -> None:
    args = [as_array(np.float32(2.0)), as_array(np.zeros(0, np.float32))]
    f = ours(_empty)
    outs, linear = linearize(f, args)
    assert [o.shape for o in outs] == [(), (0,)]
    grads = backward_pass(linear.program, linear.residuals, [args[0], args[1]])
    np.testing.assert_allclose(np.asarray(grads[0]), 8.0)
    assert grads[1].shape == (0,)


@pytest.mark.parametrize("function", [_cumulative, _nested, _constant_matrix], ids=lambda f: f.__name__)
def test_programs_verify(function: Any) -> None:
    f = ours(function)
    w, xs = as_array(np.float32(0.7)), as_array(_XS.astype(np.float32))

    def gradient(*args: Any) -> list[Any]:
        outs, linear = linearize(f, args)
        return backward_pass(linear.program, linear.residuals, outs)

    verify(stage(f, [w.aval, xs.aval]))
    verify(stage(gradient, [w.aval, xs.aval]))
    verify(stage(lambda *args: jvp(gradient, args, args)[1], [w.aval, xs.aval]))
    verify(
        stage(
            lambda w, xs: batch(gradient, Axis(5), [w, xs], [None, 0])[0],
            [w.aval, as_array(np.ones((5, 5), np.float32)).aval],
        )
    )


# Weak types, dtypes, errors: as in JAX.


@pytest.mark.parametrize(
    ("body", "init"),
    [
        (lambda lax, c, x: (lax.add(c, x), c), 1.0),
        (lambda lax, c, x: (lax.add(lax.convert_element_type(c, np.float32), x), c), 0),
        (lambda lax, c, x: (1.5, c), 0),
        (lambda lax, c, x: (1.0, c), np.float32(0)),
        (lambda lax, c, x: (c, 2.0), np.int32(0)),
        (lambda lax, c, x: (c, lax.mul(x, x)), np.uint8(3)),
        (lambda lax, c, x: (lax.add(c, lax.convert_element_type(x, np.float16)), x), 1),
        (lambda lax, c, x: (1.0, c), np.int32(0)),
        (lambda lax, c, x: (lax.mul(c, 2), c), True),
        (lambda lax, c, x: (x, c), 1j),
        (lambda lax, c, x: (c, c, c), 1.0),
        (lambda lax, c, x: x, 1.0),
        (lambda lax, c, x: ((c, c), x), 1.0),
        (lambda lax, c, x: (lax.full((2,), 1.0), x), 1.0),
        (lambda lax, c, x: (c, "text"), 1.0),
    ],
)
@pytest.mark.parametrize("length", [0, 3])
def test_carry_types_agree_with_jax(body: Any, init: Any, length: int) -> None:
    xs = np.arange(length, dtype=np.float32)

    def run(lax: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: body(lax, c, x), init, xs)

    oracle.check(ours(run), theirs(run), xs)


def test_errors_name_the_place() -> None:
    xs = as_array(np.ones(3, np.float32))
    one = as_array(np.float32(1))
    with pytest.raises(
        ShapeError, match=r"(?s)carry\['a'\]\[0\] goes in as f32\[\], comes out as f32\[2\].*final shape"
    ):
        lax.scan(lambda c, x: ({"a": (lax.full((2,), 1.0),)}, x), {"a": (one,)}, xs)
    with pytest.raises(
        DTypeError, match=r"(?s)carry goes in as i32\[\], comes out as f32\[\].*astype\(float32\)"
    ):
        lax.scan(lambda c, x: (x, x), as_array(np.int32(0)), xs)
    with pytest.raises(
        StructureError,
        match=r"key path \['b'\], the carry input has a leaf, but the carry output has a tuple",
    ):
        lax.scan(lambda c, x: ({"b": (x, x)}, x), {"b": one}, xs)
    with pytest.raises(StructureError, match=r"must return a pair \(carry, output\), got PyTreeDef\(\*\)"):
        lax.scan(lambda c, x: c, one, xs)
    with pytest.raises(ShapeError, match=r"xs\['a'\] has 3, xs\['b'\] has 4"):
        lax.scan(lambda c, x: (c, x), one, {"a": xs, "b": as_array(np.ones(4))})
    with pytest.raises(ShapeError, match=r"length is 5, but the first dimension of xs has size 3"):
        lax.scan(lambda c, x: (c, x), one, xs, length=5)
    with pytest.raises(ShapeError, match=r"xs\[1\] is a scalar"):
        lax.scan(lambda c, x: (c, x), one, (xs, one))
    with pytest.raises(ValueError, match="length is not given"):
        lax.scan(lambda c, x: (c, x), one, None)
    with pytest.raises(ValueError, match="must not be negative"):
        lax.scan(lambda c, x: (c, x), one, None, length=-1)
    with pytest.raises(TypeError, match="length must be an integer known before tracing"):
        lax.scan(lambda c, x: (c, x), one, None, length=2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unroll must be an integer"):
        lax.scan(lambda c, x: (c, x), one, xs, unroll=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a function"):
        lax.scan(3, one, xs)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"result at \[1\]\['y'\] is 'text' of type str"):
        lax.scan(lambda c, x: (c, {"y": "text"}), one, xs)
    with pytest.raises(TypeError, match=r"scan: init\['a'\]: expected an array"):
        lax.scan(lambda c, x: (c, x), {"a": "text"}, xs)
    with pytest.raises(PullbackError, match=r"the argument \[0\] of a function traced for scan"):
        lax.scan(lambda c, x: (x if c else c, x), one, xs)


def test_associative_scan() -> None:
    for n in (0, 1, 2, 3, 4, 5, 8, 13):
        x = _RNG.integers(0, 9, (n, n, 2)).astype(np.int32)
        for axis in (0, 1, -2):
            found = lax.associative_scan(lax.add, as_array(x), axis=axis)
            np.testing.assert_array_equal(np.asarray(found), np.cumsum(x, axis))
            found = lax.associative_scan(lax.max, as_array(x), reverse=True, axis=axis)
            expected = np.flip(np.maximum.accumulate(np.flip(x, axis), axis), axis)
            np.testing.assert_array_equal(np.asarray(found), expected)
    check(lambda lax, x: lax.associative_scan(lax.max, {"a": x, "b": [lax.neg(x)]}), _XS.astype(np.float32))
    with pytest.raises(ShapeError, match=r"elems\[0\] has 3, elems\[1\] has 4"):
        lax.associative_scan(lambda a, b: a, (as_array(np.ones(3)), as_array(np.ones(4))))
    with pytest.raises(ShapeError, match="is a scalar"):
        lax.associative_scan(lax.add, as_array(1.0))
    with pytest.raises(TypeError, match="expected a function"):
        lax.associative_scan(3, as_array(np.ones(3)))  # type: ignore[arg-type]
    with pytest.raises(StructureError, match="must return the structure of elems"):
        lax.associative_scan(lambda a, b: (a, b), as_array(np.ones(3)))


def test_map_agrees_with_jax() -> None:
    for size in (None, 0, 1, 2, 3, 6, 7, 20):
        check(
            lambda lax, x, b=size: lax.map(lambda v: (lax.mul(v, 2), 1.0), x, batch_size=b),
            np.arange(6, dtype=np.int32),
        )
    check(lambda lax, x: lax.map(lambda v: lax.mul(v["a"], v["b"]), {"a": x, "b": x}), _XS.astype(np.float32))
    check(lambda lax, x: lax.map(lax.sin, x), np.zeros((0, 3), np.float32))
    with pytest.raises(ValueError, match="xs has no arrays"):
        lax.map(lambda x: x, None)


# What the body captures.


def test_captured_tracers_of_every_transformation() -> None:
    xs = as_array(_XS.astype(np.float32))

    def f(w: Any) -> list[Any]:
        return list(lax.scan(lambda c, x: (lax.mul(c, w), lax.mul(x, w)), w, xs))

    (w,) = (as_array(np.float32(2.0)),)
    outs, tangents = jvp(f, [w], [as_array(np.float32(1.0))])
    np.testing.assert_allclose(np.asarray(outs[0]), 2.0**6)
    np.testing.assert_allclose(np.asarray(tangents[0]), 6 * 2.0**5)
    values, dims = batch(f, Axis(2), [as_array(np.array([2, 3], np.float32))], [0])
    np.testing.assert_allclose(np.moveaxis(np.asarray(values[0]), dims[0], 0), [2.0**6, 3.0**6])


def test_one_body_reads_new_tracers_in_each_call() -> None:
    """A function object that outlives a transformation must not bring back the tracers of an earlier call."""
    holder: dict[str, Any] = {}

    def body(c: Any, x: Any) -> Any:
        return lax.mul(c, holder["w"]), x

    xs = as_array(np.ones(3, np.float32))

    def f(w: Any) -> list[Any]:
        holder["w"] = w
        return [lax.scan(body, as_array(np.float32(1)), xs)[0]]

    for value in (2.0, 3.0):
        w = as_array(np.float32(value))
        outs, linear = linearize(f, [w])
        (grad,) = backward_pass(linear.program, linear.residuals, [as_array(np.float32(1))])
        np.testing.assert_allclose(np.asarray(outs[0]), value**3)
        np.testing.assert_allclose(np.asarray(grad), 3 * value**2)


def test_a_body_is_traced_once() -> None:
    count = 0

    def body(c: Any, x: Any) -> Any:
        nonlocal count
        count += 1
        return lax.add(c, x), x

    xs = as_array(np.ones(3, np.float32))
    for _ in range(3):
        lax.scan(body, xs.dtype.type(0), xs)
    assert count == 1
    lax.scan(
        body, np.float32(0), as_array(np.ones(4, np.float32))
    )  # the length is no part of the body's types
    assert count == 1
    lax.scan(body, np.float64(0).astype(np.float32), xs, reverse=True)
    assert count == 1
    with pytest.raises(DTypeError):
        lax.scan(body, np.int32(0), xs)
    assert count == 2


def test_cached_bodies_die_with_their_functions() -> None:
    captured = as_array(np.ones(1000, np.float32))
    reference = weakref.ref(captured)

    def run(captured: Any) -> None:
        lax.scan(
            lambda c, x: (c, lax.add(x, captured)), np.float32(0), as_array(np.ones((2, 1000), np.float32))
        )

    run(captured)
    del captured
    gc.collect()
    assert reference() is None


def test_disable_jit_runs_the_body_with_values() -> None:
    seen = []

    def body(c: Any, x: Any) -> Any:
        seen.append(float(x))
        return lax.add(c, x), (lax.mul(x, x), None)

    xs = as_array(np.arange(3, dtype=np.float32))
    with disable_jit(True):
        last, (ys, none) = lax.scan(body, np.float32(0), xs, reverse=True)
        assert settings().disable_jit
    assert seen == [2.0, 1.0, 0.0]
    assert float(last) == 3.0
    assert none is None
    np.testing.assert_array_equal(np.asarray(ys), [0, 1, 4])


def test_an_error_in_an_iteration_is_that_of_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def broken(x: Any, **_: Any) -> Any:
        nonlocal calls
        calls += 1
        raise ArithmeticError("broken")

    monkeypatch.setitem(engine.kernels, sin_p, broken)
    program = stage(
        lambda x: [lax.scan(lambda c, _: (lax.sin(c), None), x, None, 3)[0]], [as_array(1.0).aval]
    )
    x = as_array(np.float32(1))
    with pytest.raises(ArithmeticError, match="broken"):
        engine.get("numpy").compile(program)([x])
    with engine_flag("numpy"), pytest.raises(ArithmeticError, match="broken"):
        lax.scan(lambda c, _: (lax.sin(c), None), x, None, 3)
    assert calls


def test_loops_with_collectives() -> None:
    """Collectives in a body see the axis, whether or not an operand of the loop is mapped."""

    def f(x: Any) -> list[Any]:
        def body(c: Any, y: Any) -> Any:
            return lax.add(c, lax.psum(y, "i")), lax.axis_index("i")

        last, ys = lax.scan(body, np.float32(0), x)
        counted, _ = lax.scan(
            lambda c, _: (lax.add(c, lax.axis_index("i")), None), np.int32(0), None, length=3
        )
        return [last, ys, counted]

    xs = np.arange(12, dtype=np.float32).reshape(4, 3)
    outs, dims = batch(f, Axis(4, "i"), [as_array(xs)], [0])
    found = [
        np.broadcast_to(o, (4, *np.shape(o))) if d is None else np.moveaxis(np.asarray(o), d, 0)
        for o, d in zip(outs, dims, strict=True)
    ]
    np.testing.assert_array_equal(found[0], np.full(4, xs.sum()))
    np.testing.assert_array_equal(found[1], np.repeat(np.arange(4)[:, None], 3, 1))
    np.testing.assert_array_equal(found[2], 3 * np.arange(4))


# What the rules make.


def _scans(program: Any) -> list[Any]:
    return [e for e in program.eqns if e.primitive is scan_rules.scan_p]


def test_residuals_that_do_not_change_are_not_stacked() -> None:
    n = 6
    w = as_array(_RNG.normal(size=(n, n)).astype(np.float32))
    xs = as_array(_RNG.normal(size=(9, n)).astype(np.float32))

    def f(w: Any, xs: Any) -> list[Any]:
        return list(
            lax.scan(
                lambda h, x: (lax.tanh(lax.add(lax.dot(lax.sin(w), h), x)), None), lax.full((n,), 0.5), xs
            )
        )[:1]

    _, linear = linearize(f, [w, xs])
    shapes = sorted(r.shape for r in linear.residuals)
    # sin(w), cos(w) and the zero that is the state's first tangent; for each iteration the state and tanh'
    assert shapes.count((n, n)) == 2
    assert set(shapes) == {(n,), (n, n), (9, n)}


def test_only_needed_carries_get_tangents() -> None:
    def f(w: Any) -> list[Any]:
        def body(carry: Any, _: Any) -> Any:
            a, b, i = carry
            return (lax.mul(a, w), lax.mul(b, b), lax.add(i, 1)), b

        one = lax.full((), 1.0, np.float32)
        (a, _, _), ys = lax.scan(body, (one, one, np.int32(0)), None, length=3)
        return [a, ys]

    _, linear = linearize(f, [as_array(np.float32(2.0))])
    (eqn,) = _scans(linear.program)
    assert eqn.params["num_carry"] == 1
    assert linear.out_nonzero == (True, False)


def test_linear_scan_with_known_carries_transposes() -> None:
    """A counter and a running product beside a linear carry: what `linear_transpose` of a loop meets."""
    xs = as_array(np.arange(1, 5, dtype=np.float32))

    def f(t: Any) -> list[Any]:
        def body(carry: Any, x: Any) -> Any:
            i, p, c = carry
            p = lax.mul(p, x)
            scale = lax.add(p, lax.convert_element_type(i, np.float32))
            return (lax.add(i, 1), p, lax.add(c, lax.mul(t, scale))), lax.mul(c, x)

        zero = lax.full((), 0.0, np.float32)
        (_, _, c), ys = lax.scan(body, (np.int32(0), lax.full((), 1.0, np.float32), zero), xs)
        return [c, ys]

    aval = as_array(np.float32(0)).aval
    program = stage(f, [aval])
    transposed, nonzero = transpose_program(program, (True,), (True, True))
    assert nonzero == (True,)
    cts = [as_array(np.float32(1.5)), as_array(np.array([0.5, -1, 2, 3], np.float32))]
    (found,) = evaluate(verify(transposed), cts)
    expected = jax.linear_transpose(_linear_in_jax, jax.ShapeDtypeStruct((), np.float32))(
        (np.asarray(cts[0]), np.asarray(cts[1]))
    )[0]
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-6)


def _linear_in_jax(t: Any) -> Any:
    c, p, ys = 0.0 * t, 1.0, []
    for i, x in enumerate([1.0, 2.0, 3.0, 4.0]):
        p *= x
        ys.append(c * x)
        c = c + t * (p + i)
    return c, jax.numpy.stack(ys)


def test_program_text_names_the_primitive() -> None:
    text = str(
        stage(lambda x: list(lax.scan(lambda c, _: (lax.sin(c), None), x, None, 3))[:1], [as_array(1.0).aval])
    )
    assert "scan[" in text
    assert "length=3" in text
