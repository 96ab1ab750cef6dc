"""The native routines for triangular systems and Cholesky factors: right, and within their memory."""

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback import lax
from pullback._src.engines.llvm import generation, jit, substitution
from pullback._src.engines.llvm.substitution import Tile

from .agreement import check, draw

pytestmark = pytest.mark.skipif(substitution.tile() is None, reason="this CPU has no routines of its own")

TILES = [Tile(64, 8, 2), Tile(32, 4, 3), Tile(16, 4, 4)]  # of all CPUs: each is right on any
EPS = {"f": 2.0**-24, "d": 2.0**-53}
MARGIN = 70  # elements around an array that must stay what they are

_POINTER, _INTEGER, _BOOL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_bool
_SIGNATURES: dict[str, list[Any]] = {
    "solve": [None, _INTEGER, _INTEGER, _POINTER, _INTEGER, _INTEGER, _BOOL, _POINTER, _INTEGER, _INTEGER],
    "cholesky": [_BOOL, _INTEGER, _POINTER, _INTEGER],
    "finish": [None, _INTEGER, _POINTER, _INTEGER, _BOOL],
    "turn": [None, _INTEGER, _INTEGER, _POINTER, _INTEGER, _POINTER, _INTEGER],
}


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True):
        yield


@pytest.fixture(scope="module", params=[(t, letter) for t in TILES for letter in "fd"], ids=str)
def routines(request: Any) -> Any:
    """The routines for a tile and an element type, by name, with those."""
    tile, letter = request.param
    code = generation.object_code(substitution.text(letter, tile))
    names = {name: f"{substitution.PREFIX}{name}_{letter}" for name in substitution.ROUTINES}
    linked = jit.link(code, {}, tuple(names.values()))
    functions = {
        name: ctypes.CFUNCTYPE(*_SIGNATURES[name])(linked.address(full)) for name, full in names.items()
    }
    yield tile, letter, functions
    del linked


class Guarded:
    """An array within memory whose other elements must stay NaN."""

    def __init__(self, values: Any) -> None:
        self.memory = np.full(values.size + 2 * MARGIN, np.nan, values.dtype)
        self.array = self.memory[MARGIN : MARGIN + values.size].reshape(values.shape)
        self.array[...] = values

    def address(self, *at: int) -> int:
        return self.array.ctypes.data + sum(i * s for i, s in zip(at, self.array.strides, strict=False))

    def intact(self) -> None:
        assert np.isnan(self.memory[:MARGIN]).all() and np.isnan(self.memory[-MARGIN:]).all()


def triangle(n: int, letter: str, *, unit: bool = False, seed: int = 0) -> Any:
    """A lower triangle that is neither close to the identity nor close to singular; NaN above it."""
    a = draw(n, n, dtype="d", seed=seed) / max(n, 4) ** 0.5
    a[range(n), range(n)] = np.nan if unit else np.sign(a[range(n), range(n)]) * (1 + abs(draw(n, seed=seed)))
    return np.where(np.tri(n, dtype=bool), a, np.nan).astype(letter)


def backward_error(a: Any, x: Any, b: Any) -> float:
    """The largest relative change of the elements of A for which x solves A x = b (Oettli and Prager), in
    multiples of n and of the rounding error; the residual is computed in extended precision."""
    some = np.linspace(0, len(a) - 1, min(len(a), 60), dtype=int)  # rows: extended precision takes its time
    wide, b = a[some].astype(np.longdouble), b[some]
    residual = abs(wide @ x.astype(np.longdouble) - b)
    scale = abs(wide) @ abs(x.astype(np.longdouble))
    return float((residual / np.maximum(scale, 1e-300)).max() / (EPS[x.dtype.char] * (len(a) + 2)))


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_solve(routines: Any, lower: bool, unit: bool) -> None:
    _, letter, functions = routines
    sizes = [(1, 1), (3, 2), (7, 33), (8, 16), (9, 5), (25, 40), (64, 97), (100, 31)]
    for n, m in [*sizes, (substitution.MOST, 17)]:
        a = triangle(n, letter, unit=unit)
        a = a if lower else a.T[::-1, ::-1].T
        b = draw(n, m, dtype=letter)
        whole = np.nan_to_num(a, nan=0.0)
        whole[range(n), range(n)] = 1 if unit else np.diag(a)
        edge, sign = (0, 1) if lower else (n - 1, -1)
        for transposed in (False, True):
            stored = Guarded(a.T if transposed else a)
            row, column = (1, n) if transposed else (n, 1)
            for turned in (False, True):
                x = Guarded(b.T if turned else b)
                place = x.address(0, edge) if turned else x.address(edge, 0)
                down, across = (1, n) if turned else (m, 1)
                functions["solve"](
                    n,
                    m,
                    stored.address(edge, edge),
                    sign * row,
                    sign * column,
                    unit,
                    place,
                    sign * down,
                    across,
                )
                x.intact()
                solution = x.array.T if turned else x.array
                assert backward_error(whole, solution, b) < 1


def test_turn(routines: Any) -> None:
    _, letter, functions = routines
    for rows, width, step, pitch in [
        (1, 1, 1, 1),
        (3, 5, 7, 6),
        (8, 8, 8, 8),
        (17, 33, 19, 40),
        (40, 24, 40, 24),
    ]:
        source, goal = Guarded(draw(width, step, dtype=letter)), Guarded(np.full((rows, pitch), 7, letter))
        functions["turn"](rows, width, source.address(), step, goal.address(), pitch)
        goal.intact()
        np.testing.assert_array_equal(goal.array[:, :width], source.array[:, :rows].T)
        assert (goal.array[:, width:] == 7).all()


def definite(n: int, condition: float, seed: int = 0) -> Any:
    """A positive definite matrix with a given condition number."""
    q, _ = np.linalg.qr(draw(n, n, dtype="d", seed=seed))
    a = (q * np.geomspace(1, 1 / condition, n)) @ q.T
    return (a + a.T) / 2


@pytest.mark.parametrize("n", [1, 2, 8, 9, 16, 31, 48, 65, 100, 203])
def test_cholesky(routines: Any, n: int) -> None:
    tile, letter, functions = routines
    unit = max(tile.lanes(substitution.ELEMENTS[letter]), tile.rows)
    rows, pitch = -(-n // tile.rows) * tile.rows, -(-n // unit) * unit + unit
    for condition in (10.0, 1e3 if letter == "f" else 1e6):
        a = definite(n, condition).astype(letter)
        memory = np.full((rows, pitch), np.nan, letter)
        memory[:n, :n] = np.where(np.tri(n, dtype=bool).T, a, np.nan)
        u = Guarded(memory)
        assert not functions["cholesky"](n, u.address(), pitch)
        u.intact()
        assert np.isnan(u.array[:, -unit:]).all()  # columns beyond those that it fills up
        functions["finish"](n, u.address(), pitch, False)
        u.intact()
        factor = u.array[:n, :n].astype(np.longdouble)
        np.testing.assert_array_equal(factor, np.triu(factor))
        error = abs(factor.T @ factor - a) / (abs(factor).T @ abs(factor))
        assert error.max() < EPS[letter] * (n + 2)
        failing = Guarded(memory)
        failing.array[n // 2, n // 2] = -1
        assert functions["cholesky"](n, failing.address(), pitch)
        functions["finish"](n, failing.address(), pitch, True)
        failing.intact()
        wanted = np.where(np.tri(n, k=-1, dtype=bool), 0, np.nan).astype(letter)
        np.testing.assert_array_equal(failing.array[:n, :n], wanted)


# Programs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("left_side", [True, False])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("transpose_a", [True, False])
def test_systems_of_several_blocks(transpose_a: bool, lower: bool, left_side: bool, dtype: str) -> None:
    n, flags = 850, {"left_side": left_side, "lower": lower, "transpose_a": transpose_a}
    assert n > 2 * substitution.MOST
    a = triangle(n, dtype) if lower else triangle(n, dtype).T  # not a number in the other triangle
    whole = np.nan_to_num(a, nan=0.0)
    whole = whole.T if transpose_a == left_side else whole
    for m in (1, 45, 300):
        b = draw(n, m, dtype=dtype)
        given = b if left_side else np.ascontiguousarray(b.T)
        x = np.asarray(pb.jit(lambda a, b: lax.linalg.triangular_solve(a, b, **flags))(a, given))
        assert backward_error(whole, x if left_side else x.T, b) < 1


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("n", [300, 512, 777, 2300])
def test_large_cholesky(n: int, dtype: str) -> None:
    x = draw(n, n, dtype=dtype)
    a = x @ x.T / n + np.eye(n, dtype=dtype)
    run = pb.jit(lambda a: lax.linalg.cholesky(a, symmetrize_input=False))
    factor = np.asarray(run(np.tril(a) + np.triu(np.full_like(a, np.nan), 1)))
    assert not np.triu(factor, 1).any()
    wide = factor.astype("d")
    assert (abs(wide @ wide.T - a) / (abs(wide) @ abs(wide).T)).max() < EPS[dtype] * (n + 2)
    a[n - 3, n - 3] = -1
    factor = np.asarray(run(a))
    assert np.isnan(factor[np.tril_indices(n)]).all()
    assert not factor[np.triu_indices(n, 1)].any()


def test_stacks_of_large_matrices() -> None:
    n = 530
    x = draw(3, n, n, dtype="d")
    a = x @ x.swapaxes(1, 2) / n + np.eye(n)
    a[1, 400, 400] = -1
    (factor,) = check(lambda a: lax.linalg.cholesky(a, symmetrize_input=False), a, tolerance=1e-10)
    assert np.isnan(factor[1]).any() and not np.isnan(factor[[0, 2]]).any()
    a = np.linalg.cholesky(a[[0, 2]])
    b = draw(2, n, 40, dtype="d")
    check(lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True), a, b, tolerance=1e-10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spreads_and_ends(bad: float) -> None:
    n, at = 120, 50
    x = draw(n, n, dtype="d")
    a = x @ x.T / n + np.eye(n)
    expected = np.linalg.cholesky(a)
    factored = pb.jit(lambda a: lax.linalg.cholesky(a, symmetrize_input=False))
    a[at, at] = bad
    factor = np.asarray(factored(a))
    if bad == -np.inf:
        assert np.isnan(factor[np.tril_indices(n)]).all()
    else:
        np.testing.assert_allclose(factor[:at], expected[:at], rtol=1e-11)
        assert not np.isfinite(factor[at, at])
        assert np.isnan(np.diag(factor)[at + 1 :]).all() or bad == np.inf
    b = draw(n, 40, dtype="d")
    b[at, 7] = bad
    solved = pb.jit(lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True))
    solution = np.asarray(solved(expected, b))
    wrong = ~np.isfinite(solution)
    assert not wrong[:at].any() and wrong[at:, 7].any() and not np.delete(wrong, 7, axis=1).any()


def test_singular_triangles_give_infinities() -> None:
    a = np.eye(20)
    a[4, 4] = 0
    b = np.ones((20, 3))
    x = np.asarray(pb.jit(lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True))(a, b))
    assert np.isinf(x[4]).all()
    assert np.isfinite(x[:4]).all()


def test_accuracy_of_ill_conditioned_systems() -> None:
    a = definite(200, 1e6)
    b = draw(200, 30, dtype="d")

    def solved(a: Any, b: Any) -> Any:
        factor = lax.linalg.cholesky(a, symmetrize_input=False)
        half = lax.linalg.triangular_solve(factor, b, left_side=True, lower=True)
        return lax.linalg.triangular_solve(factor, half, left_side=True, lower=True, transpose_a=True)

    x = np.asarray(pb.jit(solved)(a, b))
    residual = np.abs(a @ x - b).max() / (np.linalg.norm(a, 2) * np.abs(x).max())
    assert residual < 200 * EPS["d"]


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("n", [300, 900])
def test_results_do_not_depend_on_the_number_of_threads(n: int, dtype: str) -> None:
    x = draw(n, n, dtype=dtype)
    a, b = x @ x.T / n + np.eye(n, dtype=dtype), draw(n, 250, dtype=dtype)

    def both(a: Any, b: Any) -> Any:
        factor = lax.linalg.cholesky(a, symmetrize_input=False)
        left = lax.linalg.triangular_solve(factor, b, left_side=True, lower=True)
        return factor, left, lax.linalg.triangular_solve(factor, b.T, lower=True)

    run = pb.jit(both)
    before = pb.config.num_threads
    results = []
    try:
        for count in (1, 2, 3):
            pb.config.update("num_threads", count)
            results.append([np.asarray(r) for r in run(a, b)])
    finally:
        pb.config.update("num_threads", before)
    for other in results[1:]:
        for one, more in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, more)
