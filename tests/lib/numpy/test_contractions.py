"""Products of vectors, matrices and higher arrays, against JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback._src.base.errors import ShapeError
from pullback._src.core.array import as_array
from pullback._src.lib.numpy import contractions, einsum

from ... import oracle
from ...ops.domains import BFLOAT16, integers, uniform

pytestmark = pytest.mark.usefixtures("together")

_SHAPES = {
    "dot": [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((4, 3), (3, 2)),
        ((), (3,)),
        ((2, 4, 3), (5, 3, 2)),
    ],
    "matmul": [
        ((3,), (3,)),
        ((4, 3), (3,)),
        ((3,), (3, 2)),
        ((4, 3), (3, 2)),
        ((5, 4, 3), (3,)),
        ((5, 4, 3), (3, 2)),
        ((3,), (5, 3, 2)),
        ((4, 3), (5, 3, 2)),
        ((5, 4, 3), (5, 3, 2)),
        ((5, 1, 4, 3), (6, 3, 2)),
        ((1, 6, 4, 3), (5, 1, 3, 2)),
        ((7, 1, 2, 4, 3), (5, 2, 3, 2)),
        ((4, 3), (4, 3)),
        ((), (3,)),
        ((2, 4, 3), (3, 3, 2)),
    ],
    "vdot": [((3,), (3,)), ((2, 3), (6,)), ((), ()), ((2,), (3,))],
    "vecdot": [((3,), (3,)), ((4, 3), (3,)), ((4, 1, 3), (5, 3)), ((3,), (2,)), ((), (3,))],
    "matvec": [((2, 3), (3,)), ((4, 2, 3), (3,)), ((4, 2, 3), (5, 1, 3)), ((3,), (3,))],
    "vecmat": [((2,), (2, 3)), ((4, 2), (2, 3)), ((5, 1, 2), (4, 2, 3))],
    "inner": [((3,), (3,)), ((2, 3), (4, 3)), ((), (2,)), ((2, 3), (3, 2))],
    "outer": [((3,), (2,)), ((2, 2), (3,)), ((), (2,))],
    "kron": [((2,), (3,)), ((2, 2), (1, 3)), ((2,), (2, 3)), ((), (2,))],
    "tensordot": [((2, 3, 4), (3, 4, 5)), ((2, 3), (2, 3)), ((2, 3), (3, 4))],
    "cross": [((3,), (3,)), ((4, 3), (3,)), ((4, 2), (4, 2)), ((2,), (3,)), ((4, 3), (4, 2)), ((4,), (3,))],
    "convolve": [((5,), (3,)), ((2,), (4,)), ((3,), (3,)), ((2, 2), (2,))],
    "correlate": [((5,), (3,)), ((2,), (4,)), ((3,), (3,))],
}


@pytest.mark.parametrize("name", sorted(_SHAPES))
def test_functions_agree_with_jax(name: str) -> None:
    ours, theirs = getattr(contractions, name), getattr(jnp, name)
    for first, second in _SHAPES[name]:
        for dtype in (np.float32, np.complex64, np.int32):
            make = uniform if np.dtype(dtype).kind in "fc" else integers
            x, y = make(-3, 3, first, dtype), make(-3, 3, second, dtype, 1)
            oracle.check(ours, theirs, x, y)
        x, y = uniform(-1, 1, first, np.complex64), uniform(-1, 1, second, np.complex64, 1)
        try:
            theirs(x, y)
        except (TypeError, ValueError, IndexError):
            continue
        oracle.check_grad(ours, theirs, x, y, argnums=(0, 1))
        oracle.check(ours, theirs, x, np.float32(2) * np.abs(y))


@pytest.mark.parametrize("name", ["dot", "matmul", "inner", "outer", "kron", "vdot", "tensordot"])
def test_dtypes_agree_with_jax(name: str) -> None:
    ours, theirs = getattr(contractions, name), getattr(jnp, name)
    options = {"axes": 1} if name == "tensordot" else {}
    kinds = (np.bool_, np.int8, np.uint8, np.int32, np.float16, BFLOAT16, np.float32, np.complex64)
    for first in kinds:
        for second in kinds:
            if name == "kron" and first is second is np.bool_:
                continue  # JAX has no product of bools there
            x, y = integers(0, 3, (3, 3), first), integers(0, 3, (3, 3), second, 1)
            if second in (first, np.float32):
                oracle.check(ours, theirs, x, y, **options)
                continue
            # Small whole numbers: all dtypes hold the products exactly, so that NumPy's tell the values.
            found = ours(x, y, **options)
            expected = jax.eval_shape(partial(theirs, **options), x, y)
            assert (found.shape, found.dtype, found.weak_type) == (
                expected.shape,
                expected.dtype,
                expected.weak_type,
            )
            values = getattr(np, name)(x.astype(np.complex128), y.astype(np.complex128), **options)
            np.testing.assert_array_equal(np.asarray(found).astype(np.complex128), values)
    for x, y in ((2.0, 3), (2, np.ones(3, np.float32)), (True, 2), ([1, 2], [3, 4])):
        oracle.check(ours, theirs, x, y, **options)


def test_preferred_element_types_and_precisions_agree_with_jax() -> None:
    x, y = uniform(-1, 1, (3, 3), BFLOAT16), uniform(-1, 1, (3, 3), BFLOAT16, 1)
    for name in ("dot", "matmul", "inner", "vecdot", "tensordot", "vdot"):
        ours, theirs = getattr(contractions, name), getattr(jnp, name)
        oracle.check(ours, theirs, x, y, precision="highest", preferred_element_type=np.float32)
    oracle.check(contractions.dot, jnp.dot, x, 2.0, preferred_element_type=np.float32)


@pytest.mark.parametrize("mode", ["full", "same", "valid", "most"])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 2), (2, 5), (4, 4), (3, 6), (6, 3), (0, 2)])
@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_modes_of_convolution_agree_with_jax(name: str, sizes: tuple[int, int], mode: str) -> None:
    ours, theirs = getattr(contractions, name), getattr(jnp, name)
    for dtype in (np.float32, np.complex64):
        x, y = uniform(-1, 1, (sizes[0],), dtype), uniform(-1, 1, (sizes[1],), dtype, 1)
        oracle.check(ours, theirs, x, y, mode=mode)


@pytest.mark.parametrize(
    "axes", [0, 1, 2, 3, (0, 1), ([0, 1], [1, 0]), ((-1,), (0,)), ([0], [0, 1]), (1,), ([0, 5], [0, 1])]
)
def test_axes_of_tensordot_agree_with_jax(axes: Any) -> None:
    x, y = uniform(-1, 1, (3, 3, 3), np.float32), uniform(-1, 1, (3, 3), np.float32, 1)
    oracle.check(contractions.tensordot, jnp.tensordot, x, y, axes=axes)


@pytest.mark.parametrize("options", [{"axisa": 0}, {"axisb": 0, "axisc": 1}, {"axis": 0}, {"axisc": 0}])
def test_axes_of_cross_agree_with_jax(options: dict[str, int]) -> None:
    x, y = uniform(-1, 1, (3, 3), np.float32), uniform(-1, 1, (3, 3), np.float32, 1)
    oracle.check(contractions.cross, jnp.cross, x, y, **options)


@pytest.mark.parametrize("axis", [0, 1, -1, 2])
def test_axis_of_vecdot_agrees_with_jax(axis: int) -> None:
    x, y = uniform(-1, 1, (3, 3), np.complex64), uniform(-1, 1, (3, 3), np.complex64, 1)
    oracle.check(contractions.vecdot, jnp.vecdot, x, y, axis=axis)


def test_trace_agrees_with_jax() -> None:
    for dtype in (np.float32, np.complex64, np.int8, np.int32, np.bool_, BFLOAT16):
        x = integers(0, 5, (3, 4, 5), dtype)
        for options in (
            {},
            {"offset": 1},
            {"offset": -2, "axis1": 1, "axis2": 2},
            {"axis1": 2, "axis2": 0},
            {"axis1": -1},
        ):
            oracle.check(contractions.trace, jnp.trace, x, **options)
        if dtype is not np.complex64:
            oracle.check(contractions.trace, jnp.trace, x, dtype=np.float32)
    oracle.check(contractions.trace, jnp.trace, np.ones(3, np.float32))
    oracle.check(contractions.trace, jnp.trace, np.ones((3, 3), np.float32), axis1=1)
    oracle.check_grad(contractions.trace, jnp.trace, uniform(-1, 1, (3, 4), np.float32), offset=1)


_FORMULAS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ij , jk -> ki", [(2, 3), (3, 4)]),
    ("i,i", [(3,), (3,)]),
    ("i,j->ij", [(3,), (2,)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("iij->j", [(3, 3, 2)]),
    ("iji,j->i", [(3, 2, 3), (2,)]),
    ("iii->i", [(3, 3, 3)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
    ("...ij,...jk->...ik", [(5, 2, 3, 4), (2, 4, 3)]),
    ("...ij,jk", [(5, 3, 4), (4, 3)]),
    ("i...,i...->...", [(3, 2), (3, 1)]),
    ("...,...->...", [(2, 3), (3,)]),
    ("ij,ik,il->jkl", [(2, 3), (2, 4), (2, 5)]),
    ("ab,bc,cd,de->ae", [(2, 3), (3, 4), (4, 2), (2, 3)]),
    ("ab,bc,cd->", [(2, 3), (3, 4), (4, 2)]),
    ("ij,jk->ik", [(1, 3), (3, 1)]),
    ("ij,ij->ij", [(1, 3), (2, 1)]),
    ("ij,j->j", [(2, 3), (3,)]),
    ("i,->i", [(3,), ()]),
    ("ij,kl->il", [(2, 3), (4, 5)]),
    ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)]),
]


@pytest.mark.parametrize(("formula", "shapes"), _FORMULAS)
def test_einsum_agrees_with_jax(formula: str, shapes: list[tuple[int, ...]]) -> None:
    args = [uniform(-1, 1, s, np.complex64, i) for i, s in enumerate(shapes)]
    call = lambda module: lambda *xs, **options: module.einsum(formula, *xs, **options)
    oracle.check(call(einsum), call(jnp), *args)
    oracle.check_grad(call(einsum), call(jnp), *args, argnums=range(len(args)))
    np.testing.assert_allclose(einsum.einsum(formula, *args), np.einsum(formula, *args), rtol=2e-5, atol=1e-5)
    if len(args) > 2:
        for optimize in (True, False, "optimal", "greedy", [(0, 1)] + [(0, 1)] * (len(args) - 2)):
            oracle.check(call(einsum), call(jnp), *args, optimize=optimize, units=32)


def test_einsum_of_numbers_and_dtypes() -> None:
    call = lambda module: lambda *xs, **options: module.einsum("i,i->i", *xs, **options)
    for x, y in (
        (np.ones(3, np.int8), np.ones(3, np.float16)),
        (np.ones(3, np.bool_), np.ones(3, np.bool_)),
        (np.ones(3, np.int32), np.ones(3, np.int32)),
    ):
        oracle.check(call(einsum), call(jnp), x, y)
    oracle.check(
        call(einsum), call(jnp), np.ones(3, BFLOAT16), np.ones(3, BFLOAT16), preferred_element_type=np.float32
    )


def test_einsum_of_lists_of_labels() -> None:
    x, y = uniform(-1, 1, (2, 3), np.float32), uniform(-1, 1, (3, 4), np.float32, 1)
    oracle.check(einsum.einsum, jnp.einsum, x, [0, 1], y, [1, 2], [0, 2])
    found = einsum.einsum(as_array(x), [0, 1], as_array(y), [1, 2])
    np.testing.assert_allclose(found, x @ y, rtol=1e-5)
    np.testing.assert_allclose(einsum.einsum(x, [Ellipsis, 60], [60, Ellipsis]), x.T)


def test_einsum_path_agrees_with_jax() -> None:
    args = [np.ones(s, np.float32) for s in ((2, 3), (3, 4), (4, 2))]
    for optimize in ("auto", "optimal", True, False):
        ours, report = einsum.einsum_path("ab,bc,cd->ad", *args, optimize=optimize)
        theirs, _ = jnp.einsum_path("ab,bc,cd->ad", *args, optimize=optimize)
        assert ours == theirs
        assert "contraction" in str(report)


@pytest.mark.parametrize(
    ("formula", "shapes", "message"),
    [
        ("ij,jk->ik", [(2, 3), (4, 5)], "'j'.*sizes 3 and 4"),
        ("ij,jk->ik", [(2, 3)], r"2 operand\(s\), but 1"),
        ("ijk->i", [(2, 3)], "names 3 dimension"),
        ("i->ij", [(2,)], "'j' of the result"),
        ("i->ii", [(2,)], "'i' of the result"),
        ("i1->i", [(2, 2)], "'1' in 'i1->i' is no label"),
    ],
)
def test_einsum_explains_errors(formula: str, shapes: Any, message: str) -> None:
    with pytest.raises((ValueError, ShapeError), match=message):
        einsum.einsum(formula, *[np.zeros(s, np.float32) for s in shapes])


def test_errors_explain() -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"cannot multiply shapes \(2, 3\) and \(2, 3\).*size 3.*2"):
        contractions.matmul(x, x)
    with pytest.raises(ShapeError, match=r"Use \*"):
        contractions.matmul(x, np.float32(2))
    with pytest.raises(ShapeError, match="do not broadcast: 2 and 3"):
        contractions.matmul(np.zeros((2, 3, 3), np.float32), np.zeros((3, 3, 3), np.float32))
    with pytest.raises(NotImplementedError, match="out"):
        contractions.outer(x, x, out=x)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_matmul_of_any_broadcasting_shapes(data: st.DataObject) -> None:
    lead = data.draw(st.lists(st.integers(1, 3), max_size=3))
    drop = lambda: [
        d if data.draw(st.booleans()) else 1 for d in lead[data.draw(st.integers(0, len(lead))) :]
    ]
    x = uniform(-1, 1, (*drop(), 2, 3), np.float64)
    y = uniform(-1, 1, (*drop(), 3, 4), np.float64, 1)
    found = contractions.matmul(x.astype(np.float32), y.astype(np.float32))
    expected = x @ y
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_overflow_is_silent() -> None:
    huge = as_array(np.full((2, 2), 1e30, np.float32))
    for product in (contractions.dot, contractions.matmul, contractions.inner):
        np.testing.assert_array_equal(product(huge, huge), np.inf)
