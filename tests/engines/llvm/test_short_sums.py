"""Sums of a few neighbours: several of them are in a vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as jnp
from pullback._src.base.config import num_threads

from .agreement import draw
from .comparison import agree

ROWS = [1, 2, 7, 33, 101]


def _whole(*shape: int, dtype: Any = np.float32) -> Any:
    """Numbers whose sums have no rounding errors, in any order."""
    return np.random.default_rng(0).integers(-9, 10, shape).astype(dtype)


@pytest.mark.parametrize("terms", range(2, 10))
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int8, np.float16])
def test_all_reductions(rows: int, terms: int, dtype: Any) -> None:
    x = _whole(rows, terms, dtype=dtype)
    agree(
        lambda x: (x.sum(1), x.max(1), x.min(1), (x > 0).all(1), (x > 0).any(1), (x % 2 + 1).prod(1)),
        x,
        guard=True,
    )


@pytest.mark.parametrize("terms", range(2, 6))
@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.complex64, np.complex128])
def test_wide_numbers(terms: int, dtype: Any) -> None:
    with pb.enable_x64(True):
        x = _whole(37, terms, dtype=dtype)
        agree(lambda x: (x.sum(1), (x + 1).prod(1)), x, guard=True)


@pytest.mark.parametrize("terms", range(2, 9))
def test_not_a_number_stays_where_it_is(terms: int) -> None:
    x = draw(40, terms)
    for k in range(terms):
        x[3 * k, k] = np.nan
    largest = np.asarray(pb.jit(lambda x: x.max(1))(x))
    np.testing.assert_array_equal(largest, x.max(1))
    assert np.isnan(largest).sum() == terms


@pytest.mark.parametrize("terms", range(2, 9))
@pytest.mark.parametrize("rows", ROWS)
def test_with_what_the_terms_are_made_of(rows: int, terms: int) -> None:
    """Terms that are stored, too; factors that are the same for all rows, or in a row; other rows between."""

    def f(x: Any, row: Any, column: Any) -> Any:
        y = x * row + column[:, None]
        return y, y.sum(1), x[::2].sum(1), x[:, ::-1].sum(1), (x * 2)[1:].max(1), y / y.sum(1, keepdims=True)

    agree(f, _whole(rows + 1, terms), _whole(terms), _whole(rows + 1) + 100.5, rtol=1e-6, guard=True)


@pytest.mark.parametrize("terms", range(2, 9))
def test_within_loops(terms: int) -> None:
    def f(x: Any) -> Any:
        def step(state: Any, row: Any) -> Any:
            new = state * 0.5 + row
            return new, new.sum(-1)

        return lax.scan(step, x[0], x)

    agree(f, draw(5, 70, terms), rtol=1e-5)
    matrices, vectors = [draw(60, terms, terms, seed=k) for k in range(2)], draw(60, terms, seed=2)
    agree(pb.vmap(lambda a, b, v: jnp.tanh(a @ b) @ v), *matrices, vectors, rtol=2e-5)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    x = draw(200_003, 5)
    results = []
    for count in (1, 2, 3):
        with num_threads(count):
            results.append(np.asarray(pb.jit(lambda x: jnp.exp(x).sum(1))(x)))
    np.testing.assert_allclose(results[0], np.exp(x.astype(np.float64)).sum(1), rtol=1e-6)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_several_sums_are_in_a_vector() -> None:
    text = pb.jit(lambda x: x.sum(1)).lower(np.ones((100, 4), np.float32)).compile().as_text("llvm")
    assert "load <32 x float>" in text


@pytest.mark.parametrize(
    "shape", [(30, 50, 50), (9, 300, 33), (3, 40, 20, 32), (70, 1, 1000), (2, 4, 5, 2000)]
)
def test_rows_are_reduced_before_what_is_around(shape: tuple[int, ...]) -> None:
    """A sum over the first and the last dimensions reads the array in the order of memory."""
    x = _whole(*shape)
    around, last = len(shape) - 2, len(shape) - 1
    for axes in ((0, last), tuple(d for d in range(last + 1) if d != around), (0, around)):
        agree(lambda x, axes=axes: (x.sum(axes), (x + 1).max(axes), (x > 8).any(axes)), x, guard=True)
    means = pb.jit(lambda x: (x.mean((0, last)), x.var((0, last)), x.max(around)))(x)
    wide = x.astype(np.float64)
    for own, best in zip(means, (wide.mean((0, last)), wide.var((0, last)), wide.max(around)), strict=True):
        np.testing.assert_allclose(own, best, rtol=2e-6, atol=1e-6)
