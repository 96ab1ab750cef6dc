"""The test matrix: one sample record drives every transformation of one operation.

In a test module:

    SAMPLES = [Sample("tanh-f32", lax.tanh, (x,), np.tanh, differentiable=(0,), primitives=("tanh",)), ...]

    @pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
    def test_matrix(sample: Sample, cell: str) -> None:
        run_cell(sample, cell)

The functions of the cells stand in `CELLS`, at the end. Derivatives are compared with finite differences of
the same function at 64-bit precision (so `function` should work for 64-bit arguments too; where it does not,
the differences are taken at the sample's own precision, and are much coarser).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pullback._src.base.config import enable_x64
from pullback._src.core import dtypes
from pullback._src.core.array import as_array
from pullback._src.core.program import Program, subprograms

from .flat import Flat, flat, is_inexact, jit_of, jvp_of, pushforward_of, run_program, staged, vjp_of, vmap_of


@dataclass(frozen=True)
class Sample:
    """One operation at one set of arguments.

    Attributes:
        name: unique, e.g. "tanh-f32-3x4".
        function: a function of arrays (closing over static parameters), built from pullback operations.
        args: NumPy arrays or numbers; their dtypes are what is tested (64-bit ones run under enable_x64).
        reference: an independent function of the same arguments (NumPy, SciPy, mpmath or JAX); its result is
            compared in value, shape and dtype.
        differentiable: positions of the arguments by which to differentiate (empty: no derivatives).
        order: order to which `check_grads` goes.
        batchable: positions of the arguments that vmap may map.
        rtol, atol: tolerances of the value (None: a few units of the dtype's rounding).
        grad_rtol: tolerance of derivatives against finite differences.
        primitives: names of the primitives that the sample covers (for the completeness test).
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    reference: Callable[..., Any]
    differentiable: tuple[int, ...] = ()
    order: int = 2
    batchable: tuple[int, ...] = (0,)
    rtol: float | None = None
    atol: float | None = None
    grad_rtol: float | None = None
    primitives: tuple[str, ...] = field(default=())


_BATCH = 3


# Values -------------------------------------------------------------------------------------------


def _dtypes_of(sample: Sample) -> list[np.dtype[Any]]:
    return [a.dtype for a in sample.args if isinstance(a, (np.ndarray, np.generic))]


@contextlib.contextmanager
def precision_of(sample: Sample) -> Iterator[None]:
    """64-bit types enabled (in JAX too, if it is loaded) where the sample has 64-bit arguments."""
    wide = any(d.name in ("int64", "uint64", "float64", "complex128") for d in _dtypes_of(sample))
    with contextlib.ExitStack() as stack:
        stack.enter_context(enable_x64(wide))
        if "jax" in sys.modules:
            stack.enter_context(sys.modules["jax"].enable_x64(wide))
        yield


def arrays(args: Sequence[Any]) -> list[Any]:
    return [as_array(a) for a in args]


def _random(seed: Any, like: Any) -> Any:
    """Normal random numbers (complex ones for a complex type) of the type of `like`, not weakly typed."""
    rng = np.random.default_rng(seed)
    dtype = like.aval.dtype
    values = rng.normal(size=like.aval.shape)
    if dtype.kind == "c":
        values = values + 1j * rng.normal(size=like.aval.shape)
    return as_array(np.asarray(values).astype(dtype))


def _numpy(value: Any) -> np.ndarray[Any, Any]:
    """A result for comparison: at 64 bits if it is inexact."""
    data = np.asarray(value._data if hasattr(value, "_data") else value)
    if data.dtype.kind == "c":
        return data.astype(np.complex128)
    if dtypes.is_inexact(data.dtype):
        return data.astype(np.float64)
    return data


def epsilon(dtype: Any) -> float:
    """The rounding unit of an inexact dtype."""
    return float(dtypes.finfo(dtypes.to_real_dtype(dtypes.as_numpy_dtype(dtype))).eps)


def assert_close(
    actual: Sequence[Any],
    expected: Sequence[Any],
    what: str,
    *,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Equal number, types and values; NaN equals NaN. Defaults: a few units of the dtype's rounding."""
    assert len(actual) == len(expected), f"{what}: {len(actual)} results, {len(expected)} expected"
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        assert a.aval.shape == e.aval.shape and a.aval.dtype == e.aval.dtype, (
            f"{what}, result {i}: got type {a.aval.str_short()}, expected {e.aval.str_short()}"
        )
        x, y = _numpy(a), _numpy(e)
        if not is_inexact(a):
            np.testing.assert_array_equal(x, y, err_msg=f"{what}, result {i}")
            continue
        size = np.max(np.abs(y), where=np.isfinite(y), initial=0.0)
        unit = epsilon(a.aval.dtype)
        np.testing.assert_allclose(
            x,
            y,
            rtol=8 * unit if rtol is None else rtol,
            atol=unit * size if atol is None else atol,
            err_msg=f"{what}, result {i}",
        )


def stack(rows: Sequence[Sequence[Any]], dim: int = 0) -> list[Any]:
    """Lists of results, stacked result by result along `dim`."""
    out = []
    for column in zip(*rows, strict=True):
        data = [np.asarray(v._data) for v in column]
        out.append(as_array(np.stack(data, dim if dim >= 0 else data[0].ndim)))
    return out


def _same(actual: Sequence[Any], expected: Sequence[Any], what: str) -> None:
    """Equal up to the rounding that another order of summation may cause."""
    units = [epsilon(a.aval.dtype) for a in actual if is_inexact(a)]
    scale = max(
        [np.max(np.abs(_numpy(e)), where=np.isfinite(_numpy(e)), initial=0.0) for e in expected], default=0.0
    )
    unit = max(units, default=0.0)
    assert_close(actual, expected, what, rtol=64 * unit, atol=64 * unit * float(scale))


def _check_value(sample: Sample) -> None:
    actual = flat(sample.function)(*arrays(sample.args))
    reference = sample.reference(*sample.args)
    expected = [
        as_array(np.asarray(r)) for r in (reference if isinstance(reference, (list, tuple)) else [reference])
    ]
    assert_close(actual, expected, "value", rtol=sample.rtol, atol=sample.atol)


def _check_staged(sample: Sample) -> None:
    function, args = flat(sample.function), arrays(sample.args)
    eager = function(*args)
    program = staged(function, *args)
    for run in (run_program(program, args), jit_of(function)(*args)):
        _same(run, eager, "staged")
    found = [a.weak_type for a in program.out_avals]
    assert found == [o.aval.weak_type for o in eager], (
        f"weak types: staged {found}, eager {[o.aval for o in eager]}"
    )
    missing = set(sample.primitives) - primitives_of(sample)
    assert not missing, f"the sample claims to cover {sorted(missing)}, which do not occur"


def _names(program: Program) -> set[str]:
    names = set()
    for eqn in program.eqns:
        names.add(eqn.primitive.name)
        for sub in subprograms(eqn.params):
            names |= _names(sub)
    return names


def primitives_of(sample: Sample) -> set[str]:
    """The primitives in the sample's program and in those of its derivatives."""
    with precision_of(sample):
        function, args = flat(sample.function), arrays(sample.args)
        names = _names(staged(function, *args))
        if sample.differentiable:
            tangents = [_random(i, args[i]) for i in sample.differentiable]
            cotangents = [_random(i, o) for i, o in enumerate(function(*args)) if is_inexact(o)]
            names |= _names(staged(jvp_of(function, sample.differentiable), *args, *tangents))
            names |= _names(staged(vjp_of(function, sample.differentiable, len(args)), *args, *cotangents))
        return names


# Derivatives --------------------------------------------------------------------------------------


def _wide(array: Any) -> Any:
    if not is_inexact(array):
        return array
    kind = np.complex128 if array.aval.dtype.kind == "c" else np.float64
    return as_array(np.asarray(array._data).astype(kind))


def _differences(
    function: Flat, args: Sequence[Any], argnums: Sequence[int], tangents: Sequence[Any], step: float
) -> list[Any]:
    """The directional derivative of the inexact results, by central differences of fourth order."""

    def at(shift: float) -> list[np.ndarray[Any, Any]]:
        moved = list(args)
        for i, t in zip(argnums, tangents, strict=True):
            x = np.asarray(args[i]._data)
            moved[i] = as_array(
                np.asarray(x + np.asarray(shift, _numpy(t).real.dtype) * _numpy(t)).astype(x.dtype)
            )
        return [_numpy(o) for o in function(*moved) if is_inexact(o)]

    near, far = [at(step), at(-step)], [at(2 * step), at(-2 * step)]
    return [
        (8 * _difference(n1, n0) - _difference(f1, f0)) / (12 * step)
        for n1, n0, f1, f0 in zip(*near, *far, strict=True)
    ]


def _difference(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """x - y, and zero for equal infinities."""
    with np.errstate(invalid="ignore"):
        return np.where(x == y, 0, x - y)


def numerical_jvp(
    function: Flat, args: Sequence[Any], argnums: Sequence[int], tangents: Sequence[Any]
) -> tuple[list[Any], float]:
    """The directional derivative by finite differences, and the relative accuracy to expect of it."""
    with enable_x64(True):
        wide_args, wide_tangents = [_wide(a) for a in args], [_wide(t) for t in tangents]
        try:
            outs = function(*wide_args)
        except TypeError:  # the function closes over arrays of its own precision
            outs = None
        if outs is not None and all(
            o.aval.dtype.name in ("float64", "complex128") for o in outs if is_inexact(o)
        ):
            return _differences(function, wide_args, argnums, wide_tangents, 1e-4), 1e-7
    unit = max(epsilon(o.aval.dtype) for o in function(*args) if is_inexact(o))
    return _differences(function, args, argnums, tangents, unit**0.25), 4 * unit**0.6


def check_jvp(
    function: Flat,
    args: Sequence[Any],
    argnums: Sequence[int],
    what: str,
    rtol: float | None = None,
    seed: int = 0,
) -> None:
    """Directional derivatives, along each argument and along all together, against finite differences."""
    choices = [tuple(argnums)] if len(argnums) == 1 else [*((i,) for i in argnums), tuple(argnums)]
    for chosen in choices:
        for factor in (1, 1j) if any(args[i].aval.dtype.kind == "c" for i in chosen) else (1,):
            tangents = []
            for i in chosen:
                t = _random((seed, i), args[i])
                if factor == 1j and args[i].aval.dtype.kind == "c":
                    t = as_array(np.asarray(1j * t._data).astype(args[i].aval.dtype))
                tangents.append(t)
            actual = jvp_of(function, chosen)(*args, *tangents)
            count = len(function(*args))
            expected, accuracy = numerical_jvp(function, args, chosen, tangents)
            for i, (a, e) in enumerate(zip(actual[count:], expected, strict=True)):
                unit = 256 * epsilon(a.aval.dtype)
                tolerance = max(accuracy, unit) if rtol is None else rtol
                scale = np.max(np.abs(e), where=np.isfinite(e), initial=0.0)
                np.testing.assert_allclose(
                    _numpy(a),
                    e,
                    rtol=tolerance,
                    atol=tolerance * max(1.0, float(scale)),
                    err_msg=f"{what}, by arguments {chosen}, result {i}",
                )


def check_vjp(function: Flat, args: Sequence[Any], argnums: Sequence[int], what: str, seed: int = 1) -> None:
    """Re<u, Jv> = Re<J'u, v> (bilinear products without conjugation, as in JAX) for random u and v."""
    tangents = [_random((seed, i), args[i]) for i in argnums]
    outs = function(*args)
    out_tangents = jvp_of(function, argnums)(*args, *tangents)[len(outs) :]
    _same(pushforward_of(function, argnums)(*args, *tangents), out_tangents, f"{what}: linearize against jvp")
    cotangents = [_random((seed, i, 1), t) for i, t in enumerate(out_tangents)]
    in_cotangents = vjp_of(function, argnums, len(args))(*args, *cotangents)
    for i, ct in zip(argnums, in_cotangents, strict=True):
        found = (ct.aval.shape, ct.aval.dtype)
        assert found == (args[i].aval.shape, args[i].aval.dtype), (
            f"{what}: argument {i} of type {args[i].aval} has a cotangent of type {ct.aval}"
        )
    pairs = [
        [_numpy(u) * _numpy(v) for u, v in zip(us, vs, strict=True)]
        for us, vs in ((cotangents, out_tangents), (in_cotangents, tangents))
    ]
    left, right = (sum(float(np.sum(p).real) for p in products) for products in pairs)
    size = max(sum(float(np.sum(np.abs(p))) for p in products) for products in pairs)
    unit = max((epsilon(a.aval.dtype) for a in (*out_tangents, *tangents)), default=0.0)
    assert abs(left - right) <= 64 * unit * max(size, 1.0), f"{what}: <u, Jv> = {left}, <J'u, v> = {right}"


def _check_jvp(sample: Sample) -> None:
    function, args, argnums = flat(sample.function), arrays(sample.args), sample.differentiable
    check_jvp(function, args, argnums, "jvp", sample.grad_rtol)
    tangents = [_random(i, args[i]) for i in argnums]
    derivative = jvp_of(function, argnums)
    eager = derivative(*args, *tangents)
    _same(run_program(staged(derivative, *args, *tangents), [*args, *tangents]), eager, "staged jvp")


def _check_vjp(sample: Sample) -> None:
    check_vjp(flat(sample.function), arrays(sample.args), sample.differentiable, "vjp")


def _check_jit_vjp(sample: Sample) -> None:
    function, args = flat(sample.function), arrays(sample.args)
    cotangents = [_random(i, o) for i, o in enumerate(function(*args)) if is_inexact(o)]
    pullback = vjp_of(function, sample.differentiable, len(args))
    _same(jit_of(pullback)(*args, *cotangents), pullback(*args, *cotangents), "jit of vjp")


def _check_second_order(sample: Sample) -> None:
    _check_order(
        flat(sample.function), arrays(sample.args), sample.differentiable, sample.order, "", sample.grad_rtol
    )


def _check_order(
    function: Flat, args: list[Any], argnums: tuple[int, ...], order: int, path: str, rtol: float | None
) -> None:
    """Forward and reverse mode over forward and reverse mode, down to `order`."""
    if path:
        check_jvp(function, args, argnums, f"forward over {path}", rtol, seed=len(path))
        check_vjp(function, args, argnums, f"reverse over {path}", seed=len(path))
    if order == 1:
        return
    count = len(args)
    tangents = [_random((7, i), args[i]) for i in argnums]
    cotangents = [_random((8, i), o) for i, o in enumerate(function(*args)) if is_inexact(o)]
    forward = jvp_of(function, argnums)
    skip = len(function(*args))
    inner = lambda *xs: forward(*xs)[skip:]
    joined = f" over {path}" if path else ""
    both = (*argnums, *range(count, count + len(tangents)))
    _check_order(inner, [*args, *tangents], both, order - 1, "forward" + joined, rtol)
    both = (*argnums, *range(count, count + len(cotangents)))
    _check_order(
        vjp_of(function, argnums, count), [*args, *cotangents], both, order - 1, "reverse" + joined, rtol
    )


# Batching -----------------------------------------------------------------------------------------


def _variants(value: Any) -> list[Any]:
    """Different values of one type, in the domain of most functions: shrunk, or rolled if not inexact."""
    data = np.asarray(value._data)
    rows = []
    for k in range(_BATCH):
        if is_inexact(value):
            rows.append(np.asarray(data * np.asarray(1 - k / 16, data.real.dtype)).astype(data.dtype))
        elif data.size > 1 or data.dtype.kind not in "iu":
            rows.append(np.roll(data, k))
        else:
            rows.append(np.where(data >= k, data - np.asarray(k, data.dtype), data).astype(data.dtype))
    return [as_array(r) if r.dtype == data.dtype else as_array(r.astype(data.dtype)) for r in rows]


def _mapped(
    args: Sequence[Any], dims: dict[int, int], variants: Callable[[Any], list[Any]] = _variants
) -> tuple[list[Any], list[list[Any]], list[int | None]]:
    """The arguments with those in `dims` mapped; the arguments of each single call; all mapped dimensions."""
    batched, rows, all_dims = list(args), [list(args) for _ in range(_BATCH)], [None] * len(args)
    for i, dim in dims.items():
        values = variants(args[i])
        dim = dim if dim >= 0 else values[0].aval.ndim
        for row, value in zip(rows, values, strict=True):
            row[i] = value
        batched[i] = as_array(np.stack([np.asarray(v._data) for v in values], dim))
        all_dims[i] = dim  # type: ignore[call-overload]
    return batched, rows, all_dims


def check_vmap(
    function: Flat, args: Sequence[Any], mapped: dict[int, int], what: str, out_dim: int = 0
) -> None:
    """vmap over `mapped` (argument -> dimension, -1 for the last) against a loop."""
    batched, rows, dims = _mapped(args, mapped)
    expected = stack([function(*row) for row in rows], 0)
    if out_dim:
        expected = [as_array(np.moveaxis(np.asarray(e._data), 0, -1)) for e in expected]
    run = vmap_of(function, dims, _BATCH)
    actual = run(*batched)
    if out_dim:
        actual = [as_array(np.moveaxis(np.asarray(a._data), 0, -1)) for a in actual]
    _same(actual, expected, f"{what} over {mapped}")


def _choices(sample: Sample) -> Iterator[dict[int, int]]:
    for i in sample.batchable:
        yield {i: 0}
        yield {i: -1}
    if len(sample.batchable) > 1:
        yield dict.fromkeys(sample.batchable, 0)
        yield dict.fromkeys(sample.batchable, -1)
        yield {i: (0, -1)[k % 2] for k, i in enumerate(sample.batchable)}


def _check_vmap(sample: Sample) -> None:
    for mapped in _choices(sample):
        check_vmap(flat(sample.function), arrays(sample.args), mapped, "vmap")


def _check_staged_vmap(sample: Sample) -> None:
    function, args = flat(sample.function), arrays(sample.args)
    batched, _, dims = _mapped(args, dict.fromkeys(sample.batchable, 0))
    run = vmap_of(function, dims, _BATCH)
    _same(run_program(staged(run, *batched), batched), run(*batched), "staged vmap")


def _check_nested_vmap(sample: Sample) -> None:
    function, args = flat(sample.function), arrays(sample.args)
    inner_batched, rows, inner_dims = _mapped(args, dict.fromkeys(sample.batchable, -1))
    inner = vmap_of(function, inner_dims, _BATCH)
    batched, outer_rows, outer_dims = _mapped(inner_batched, dict.fromkeys(sample.batchable, 0))
    expected = stack([inner(*row) for row in outer_rows])
    _same(vmap_of(inner, outer_dims, _BATCH)(*batched), expected, "nested vmap")
    _same(inner(*inner_batched), stack([function(*row) for row in rows]), "inner vmap")


def _check_vmap_jvp(sample: Sample) -> None:
    function, args, argnums = flat(sample.function), arrays(sample.args), sample.differentiable
    tangents = [_random((3, i), args[i]) for i in argnums]
    only_tangents = {len(args) + i: -1 for i in range(len(tangents))}
    derivative = jvp_of(function, argnums)
    everything = [*args, *tangents]
    check_vmap(derivative, everything, only_tangents, "vmap of jvp")
    if sample.batchable:
        mapped = dict.fromkeys(sample.batchable, 0)
        check_vmap(derivative, everything, mapped, "vmap of jvp")
        check_vmap(derivative, everything, {**mapped, **only_tangents}, "vmap of jvp")


def _check_vmap_vjp(sample: Sample) -> None:
    function, args, argnums = flat(sample.function), arrays(sample.args), sample.differentiable
    cotangents = [_random((4, i), o) for i, o in enumerate(function(*args)) if is_inexact(o)]
    only_cotangents = {len(args) + i: -1 for i in range(len(cotangents))}
    pullback = vjp_of(function, argnums, len(args))
    everything = [*args, *cotangents]
    check_vmap(pullback, everything, only_cotangents, "vmap of vjp")
    if sample.batchable:
        mapped = dict.fromkeys(sample.batchable, 0)
        check_vmap(pullback, everything, mapped, "vmap of vjp")
        check_vmap(pullback, everything, {**mapped, **only_cotangents}, "vmap of vjp")


def _check_jvp_vjp_of_vmap(sample: Sample) -> None:
    """Derivatives of a batched function equal the batched derivatives."""
    function, args, argnums = flat(sample.function), arrays(sample.args), sample.differentiable
    count = len(args)
    batched, rows, dims = _mapped(args, dict.fromkeys(sample.batchable, 0))
    run = vmap_of(function, dims, _BATCH)
    tangents = [_random((5, i), batched[i]) for i in argnums]
    tangent_dims = [dims[i] for i in argnums]
    both = vmap_of(jvp_of(function, argnums), [*dims, *tangent_dims], _BATCH)
    _same(jvp_of(run, argnums)(*batched, *tangents), both(*batched, *tangents), "jvp of vmap")
    cotangents = [_random((6, i), o) for i, o in enumerate(run(*batched)) if is_inexact(o)]
    single = vjp_of(function, argnums, count)
    each = stack(
        [single(*row, *[as_array(np.asarray(c._data)[k]) for c in cotangents]) for k, row in enumerate(rows)]
    )
    # An argument that is not mapped collects the cotangents of all rows.
    expected = [
        e if dims[i] is not None else as_array(np.asarray(e._data).sum(0, dtype=e.aval.dtype))
        for i, e in zip(argnums, each, strict=True)
    ]
    _same(vjp_of(run, argnums, count)(*batched, *cotangents), expected, "vjp of vmap")


# Cells --------------------------------------------------------------------------------------------

CELLS: dict[str, Callable[[Sample], None]] = {
    "value": _check_value,
    "staged": _check_staged,
    "vmap": _check_vmap,
    "staged_vmap": _check_staged_vmap,
    "nested_vmap": _check_nested_vmap,
    "jvp": _check_jvp,
    "vjp": _check_vjp,
    "jit_vjp": _check_jit_vjp,
    "second_order": _check_second_order,
    "vmap_jvp": _check_vmap_jvp,
    "vmap_vjp": _check_vmap_vjp,
    "derivative_of_vmap": _check_jvp_vjp_of_vmap,
}
_BATCHING = {"vmap", "staged_vmap", "nested_vmap", "derivative_of_vmap"}
_DERIVATIVES = {"jvp", "vjp", "jit_vjp", "second_order", "vmap_jvp", "vmap_vjp", "derivative_of_vmap"}


def cells_of(sample: Sample) -> list[str]:
    """The names of the cells that apply to the sample."""
    return [
        cell
        for cell in CELLS
        if (sample.differentiable or cell not in _DERIVATIVES)
        and (sample.batchable or cell not in _BATCHING)
        and (sample.order >= 2 or cell != "second_order")
    ]


def run_cell(sample: Sample, cell: str) -> None:
    """Run one cell of the matrix."""
    with precision_of(sample):
        CELLS[cell](sample)


def matrix_cells(samples: Sequence[Sample]) -> list[Any]:
    """Parameters (sample, cell) for `pytest.mark.parametrize`, with ids such as `tanh-f32/vjp`."""
    names = [s.name for s in samples]
    assert len(set(names)) == len(names), (
        f"repeated sample names: {sorted({n for n in names if names.count(n) > 1})}"
    )
    return [pytest.param(s, cell, id=f"{s.name}/{cell}") for s in samples for cell in cells_of(s)]


def check_matrix(sample: Sample) -> None:
    """Run the sample through the whole matrix."""
    for cell in cells_of(sample):
        run_cell(sample, cell)
