"""`numpy.linalg` against JAX."""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from pullback._src.base.errors import DTypeError, ShapeError
from pullback.numpy import linalg

from ... import oracle
from ...ops.domains import BFLOAT16, integers, uniform
from ...ops.matrices import general, hermitian, positive

pytestmark = pytest.mark.usefixtures("together")

_DTYPES = [np.float32, np.complex64]


def both(
    name: str, *args: Any, units: float = 64, grad: bool = True, argnums: Any = (0,), **options: Any
) -> None:
    """Values and pullbacks agree with JAX's."""
    ours, theirs = getattr(linalg, name), getattr(jnp.linalg, name)
    oracle.check(ours, theirs, *args, units=units, **options)
    if grad:
        oracle.check_grad(ours, theirs, *args, argnums=argnums, units=4 * units, **options)


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("stack", [(2,)])
def test_factorisations_agree_with_jax(dtype: Any, stack: tuple[int, ...]) -> None:
    p, h, g = (make((*stack, 3, 3), dtype) for make in (positive, hermitian, general))
    for upper in (False, True):
        both("cholesky", p, upper=upper)
        oracle.check(linalg.cholesky, jnp.linalg.cholesky, p, upper=upper, symmetrize_input=False, units=64)
    both("eigh", h)
    both("eigvalsh", h)
    for uplo in ("L", "U", None):
        oracle.check(linalg.eigh, jnp.linalg.eigh, h, uplo, units=64)
        oracle.check(linalg.eigvalsh, jnp.linalg.eigvalsh, h, uplo, symmetrize_input=False, units=64)
    both("eigvals", g)
    for shape in ((3, 3), (4, 2), (2, 4)):
        x = general((*stack, *shape), dtype)
        both("svd", x, full_matrices=False)
        both("svd", x, compute_uv=False)
        both("svdvals", x)
        oracle.check(linalg.svd, jnp.linalg.svd, x, units=64)
        both("qr", x, grad=shape[0] >= shape[1])
        for mode in ("complete", "r", "raw", "economy"):
            oracle.check(linalg.qr, jnp.linalg.qr, x, mode, units=64)


def test_results_have_names() -> None:
    x = general((3, 3), np.float32)
    assert linalg.qr(x).R.shape == (3, 3)
    assert linalg.svd(x).Vh.shape == (3, 3)
    assert linalg.eigh(x).eigenvalues.shape == (3,)
    assert linalg.eig(x).eigenvectors.shape == (3, 3)
    assert linalg.slogdet(x).logabsdet.shape == ()
    np.testing.assert_allclose(
        np.abs(linalg.svd(positive((3, 3), np.float32), hermitian=True).S),
        linalg.eigvalsh(positive((3, 3), np.float32))[::-1],
        rtol=1e-5,
    )


@pytest.mark.parametrize("dtype", _DTYPES)
def test_eig_reproduces_the_matrix(dtype: Any) -> None:
    x = general((2, 4, 4), dtype)
    w, v = (np.asarray(o) for o in linalg.eig(x))
    np.testing.assert_allclose(x @ v, v * w[:, None, :], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(v, axis=-2), 1, rtol=1e-5)


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 3), (3,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (3,)),
        ((2, 3, 3), (2, 3, 2)),
        ((2, 3, 3), (3, 2)),
        ((3, 3), (2, 3, 1)),
        ((4, 1, 3, 3), (2, 3, 2)),
        ((3, 3), (2,)),
        ((3, 3), ()),
        ((3, 2), (3,)),
        ((2, 3, 3), (4, 3, 2)),
    ],
)
def test_solve_agrees_with_jax(a: Any, b: Any, dtype: Any) -> None:
    x, y = uniform(-1, 1, a, dtype), uniform(-1, 1, b, dtype, 1)
    if a[-1] == a[-2]:
        x = general(a, dtype)
    oracle.check(linalg.solve, jnp.linalg.solve, x, y, units=64)
    try:
        jnp.linalg.solve(x, y)
    except (TypeError, ValueError):
        return
    oracle.check_grad(linalg.solve, jnp.linalg.solve, x, y, argnums=(0, 1), units=256)


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 4, 4)])
def test_inverses_and_determinants_agree_with_jax(shape: Any, dtype: Any) -> None:
    x = general(shape, dtype)
    both("inv", x)
    both("det", x)
    both("slogdet", x)
    both("pinv", x)
    if dtype is np.float32:
        both("slogdet", x, method="qr", grad=False)
    for n in (0, 1, 2, 3, 5, -1, -2):
        both("matrix_power", x, n=n, units=256, grad=n > 0)


def test_singular_matrices_agree_with_jax() -> None:
    x = np.array([[1, 2, 0], [2, 4, 0], [0, 1, 1]], np.float32)
    for name in ("inv", "slogdet", "matrix_rank"):
        oracle.check(getattr(linalg, name), getattr(jnp.linalg, name), np.array([[1, 1], [1, 1]], np.float32))
    oracle.check(linalg.matrix_rank, jnp.linalg.matrix_rank, x)
    oracle.check_grad(linalg.det, jnp.linalg.det, x)
    oracle.check(linalg.cond, jnp.linalg.cond, np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match=r"no elements \(shape \(0, 3\)\)"):
        linalg.cond(np.zeros((0, 3)))
    oracle.check(linalg.cond, jnp.linalg.cond, np.full((2, 2), np.nan, np.float32))


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 4, 3)])
def test_pinv_and_rank_agree_with_jax(shape: Any, dtype: Any) -> None:
    x = general(shape, dtype)
    both("pinv", x)
    both("pinv", x, rtol=0.3)
    both("pinv", x, rcond=0.3, grad=False)
    for options in ({}, {"tol": 0.7}, {"hermitian": False}):
        oracle.check(linalg.matrix_rank, jnp.linalg.matrix_rank, x, **options)
    if len(shape) == 3:
        tolerances = np.array([1e-6, 0.9], np.float32)
        oracle.check(linalg.pinv, jnp.linalg.pinv, x, tolerances, units=64)
        # JAX takes rtol as an absolute number, against its documentation; NumPy is the reference.
        np.testing.assert_array_equal(
            linalg.matrix_rank(x, tolerances), np.linalg.matrix_rank(x, rtol=tolerances)
        )
    for vector in (np.zeros(3, np.float32), np.ones(3, np.float32)):
        oracle.check(linalg.matrix_rank, jnp.linalg.matrix_rank, vector)


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize(
    ("shape", "rank"), [((4, 3), 3), ((3, 4), 3), ((4, 3), 2), ((3, 3), 3), ((0, 3), 0), ((3, 0), 0)]
)
@pytest.mark.parametrize("right", [(), (2,)])
def test_lstsq_agrees_with_jax(shape: Any, rank: int, right: Any, dtype: Any) -> None:
    if rank == min(shape):
        a = general(shape, dtype)
    else:
        a = (uniform(-1, 1, (shape[0], rank), dtype) @ uniform(-1, 1, (rank, shape[1]), dtype, 1)).astype(
            dtype
        )
    b = uniform(-1, 1, (shape[0], *right), dtype, 2)
    if not rank and dtype is np.complex64:
        return  # JAX's singular values of an empty complex matrix are complex
    # The residual of equations that can be solved is rounding error.
    solvable = rank == shape[0] and rank > 0
    call = lambda f: (
        lambda a, b, **options: [o for i, o in enumerate(f(a, b, **options)) if i != 1 or not solvable]
    )
    for options in ({}, {"rcond": 0.3}, {"numpy_resid": True}):
        oracle.check(call(linalg.lstsq), call(jnp.linalg.lstsq), a, b, units=256, **options)
    if rank and rank == min(shape):
        first = lambda f: lambda a, b: f(a, b)[0]
        oracle.check_grad(first(linalg.lstsq), first(jnp.linalg.lstsq), a, b, argnums=(0, 1), units=1024)


_ORDERS = [None, "fro", "nuc", np.inf, -np.inf, 0, 1, -1, 2, -2, 3, 0.5, "inf", "max"]


@pytest.mark.parametrize("order", _ORDERS)
@pytest.mark.parametrize("dtype", _DTYPES)
def test_norms_agree_with_jax(order: Any, dtype: Any) -> None:
    x = uniform(-1, 1, (3, 4, 2), dtype)
    for axis, keepdims in itertools.product((None, 0, -1, (0, 1), (2, 0), (1,), (0, 1, 2)), (False, True)):
        oracle.check(linalg.norm, jnp.linalg.norm, x, order, axis, keepdims, units=32)
        if order not in ("fro", "nuc", "inf", "max", None):
            oracle.check(
                linalg.vector_norm,
                jnp.linalg.vector_norm,
                x,
                ord=order,
                axis=axis,
                keepdims=keepdims,
                units=32,
            )
    oracle.check(linalg.norm, jnp.linalg.norm, x[0], order, units=32)
    oracle.check(linalg.norm, jnp.linalg.norm, x[0, :, 0], order, units=32)
    if order is not None:
        oracle.check(linalg.matrix_norm, jnp.linalg.matrix_norm, x, ord=order, units=32)
    for axis in (0, (0, 1)):
        try:
            jnp.linalg.norm(x, order, axis)
        except ValueError:
            continue
        oracle.check_grad(linalg.norm, jnp.linalg.norm, x, ord=order, axis=axis)


@pytest.mark.parametrize("p", [None, "fro", "nuc", np.inf, -np.inf, 1, -1, 2, -2])
def test_condition_numbers_agree_with_jax(p: Any) -> None:
    for x in (general((3, 3), np.float32), general((2, 3, 3), np.complex64), general((4, 3), np.float32)):
        oracle.check(linalg.cond, jnp.linalg.cond, x, p, units=256)


def test_products_agree_with_jax() -> None:
    vectors = uniform(-1, 1, (3,), np.float32), uniform(-1, 1, (4,), np.float32)
    chain = [uniform(-1, 1, s, np.float32, i) for i, s in enumerate([(3, 4), (4, 2), (2, 5), (5, 4)])]
    for arrays in (
        chain[:2],
        chain[:3],
        chain,
        [vectors[0], *chain],
        [*chain, vectors[1]],
        [vectors[0], *chain, vectors[1]],
        chain[:1],
    ):
        oracle.check(
            lambda *xs: linalg.multi_dot(xs), lambda *xs: jnp.linalg.multi_dot(xs), *arrays, units=32
        )
    x, y = uniform(-1, 1, (2, 3, 3), np.float32), uniform(-1, 1, (2, 3, 3), np.float32, 1)
    both("matmul", x, y, argnums=(0, 1))
    both("tensordot", x, y[0], axes=1, argnums=(0, 1))
    both("vecdot", x, y, argnums=(0, 1))
    both("cross", x, y, argnums=(0, 1))
    both("outer", *vectors, argnums=(0, 1))
    both("trace", x, offset=1)
    both("diagonal", x, offset=-1)
    both("matrix_transpose", x)
    oracle.check(linalg.outer, jnp.linalg.outer, x, y)
    oracle.check(linalg.cross, jnp.linalg.cross, x[..., :2], y[..., :2])


def test_tensor_equations_agree_with_jax() -> None:
    a = general((6, 6), np.float32)
    both("tensorinv", a.reshape(2, 3, 6), ind=2)
    both("tensorinv", a.reshape(6, 3, 2), ind=1)
    oracle.check(linalg.tensorinv, jnp.linalg.tensorinv, a, ind=0)
    b = uniform(-1, 1, (2, 3), np.float32)
    both("tensorsolve", a.reshape(2, 3, 6), b, argnums=(0, 1))
    both("tensorsolve", a.reshape(6, 2, 3), b, axes=(0,), argnums=(0, 1))
    oracle.check(linalg.tensorsolve, jnp.linalg.tensorsolve, a, b)


@pytest.mark.parametrize(
    "name", ["cholesky", "det", "inv", "eigh", "svd", "qr", "norm", "matrix_rank", "slogdet", "cond", "pinv"]
)
def test_integers_become_floats(name: str) -> None:
    x = 3 * np.eye(3, dtype=np.int32) + 1
    oracle.check(getattr(linalg, name), getattr(jnp.linalg, name), x, units=64)
    oracle.check(getattr(linalg, name), getattr(jnp.linalg, name), x.astype(np.int64), x64=True, units=64)


def test_integer_powers_stay_integers() -> None:
    oracle.check(linalg.matrix_power, jnp.linalg.matrix_power, integers(0, 3, (3, 3), np.int32), 3)
    oracle.check(linalg.matrix_power, jnp.linalg.matrix_power, integers(0, 3, (3, 3), np.int32), 1.5)


def test_errors_explain() -> None:
    with pytest.raises(ShapeError, match=r"linalg.det expects square matrices.*\(2, 3\)"):
        linalg.det(np.zeros((2, 3), np.float32))
    with pytest.raises(DTypeError, match=r"linalg.inv works in float32.*bfloat16"):
        linalg.inv(np.zeros((2, 2), BFLOAT16))
    with pytest.raises(TypeError, match=r"linalg\.inv requires arrays or numbers"):
        linalg.inv([[1.0]])
    with pytest.raises(ValueError, match="mode must be"):
        linalg.qr(np.eye(2, dtype=np.float32), mode="economic")
    with pytest.raises(ValueError, match="UPLO"):
        linalg.eigh(np.eye(2, dtype=np.float32), UPLO="X")
    with pytest.raises(ShapeError, match="3 equations"):
        linalg.solve(np.eye(3, dtype=np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="no norm of matrices"):
        linalg.norm(np.eye(2, dtype=np.float32), 5)
    with pytest.raises(ValueError, match="must differ"):
        linalg.norm(np.eye(2, dtype=np.float32), 1, (0, 0))
    with pytest.raises(ValueError, match="not both"):
        linalg.pinv(np.eye(2, dtype=np.float32), 0.1, rcond=0.1)
