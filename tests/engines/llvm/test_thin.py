"""Products of matrices with few columns, and the loops that join them."""

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.engines.llvm import parallel
from pullback._src.engines.llvm.engine import Compilation

from .agreement import check, draw


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with pb.enable_x64(True):
        yield


def text(f: Any, *args: Any) -> str:
    """The code of a program."""
    staged = pb.jit(f).stage(tuple([jnp.asarray(a) for a in args]), {})
    return Compilation(staged.open_program).text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("nk,kj->nj", (300, 10), (10, 7)),  # few terms, lanes along the columns
        ("nk,kj->nj", (41, 16), (16, 16)),
        ("nk,jk->nj", (300, 5), (13, 5)),  # the short operand is turned round
        ("kn,kj->nj", (9, 200), (9, 6)),
        ("bnk,bkj->bnj", (5, 70, 10), (5, 10, 10)),
        ("bnk,bkj->nbj", (5, 70, 10), (5, 10, 10)),  # the transposition is part of the product
        ("kij,nkj->nki", (25, 10, 10), (40, 25, 10)),
        ("bij,bnj->bin", (4, 6, 8), (4, 50, 8)),  # the long dimension innermost
        ("bij,bjn->bin", (4, 6, 8), (4, 8, 50)),
        ("nabk,kj->nabj", (7, 3, 5, 8), (8, 9)),
        ("nkl,klj->nj", (60, 3, 4), (3, 4, 9)),
        ("ni,nj->ij", (700, 10), (700, 9)),  # many terms, all sums in registers
        ("ni,nj->ij", (63, 12), (63, 10)),
        ("bni,bnj->bij", (5, 130, 6), (5, 130, 7)),
        ("bni,bnj->jbi", (5, 130, 6), (5, 130, 7)),
        ("nmi,nmj->ij", (20, 13, 3), (20, 13, 14)),
        ("nab,nj->abj", (90, 2, 3), (90, 8)),
        ("ni,nj->ij", (40, 16), (40, 10)),  # the sums of some rows at a time
        ("ni,nj->ij", (40, 24), (40, 5)),
        ("in,nj->ij", (13, 40), (40, 10)),  # a prime number of rows
        ("bni,bnj->ibj", (5, 33, 20), (5, 33, 7)),
        ("nab,nj->abj", (30, 4, 5), (30, 8)),
        ("nk,kj->nj", (32, 16), (16, 10)),  # a few terms in each turn
        ("nk,kj->nj", (7, 12), (12, 32)),
        ("nk,kj->nj", (9, 13), (13, 11)),
    ],
)
def test_products(equation: str, left: Any, right: Any, dtype: str) -> None:
    f = lambda x, y: jnp.einsum(equation, x, y)
    x, y = draw(*left, dtype=dtype), draw(*right, dtype=dtype, seed=1)
    (result,) = check(f, x, y)
    exact = np.einsum(equation, x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_allclose(
        result, exact, rtol=0, atol=(3e-5 if dtype == "float32" else 1e-13) * exact.size
    )


def test_columns_that_are_not_beside_each_other() -> None:
    x, y = draw(200, 10), draw(10, 30)
    check(lambda x, y: x[::2] @ y[:, ::3], x, y)
    check(lambda x, y: x[:, ::-1] @ y[::-1, :10], x, y)
    check(lambda x, y: x.T[:, ::-1] @ jnp.sin(x[:, :8]), x, y)


def test_operands_are_computed_in_the_product() -> None:
    """What makes the long operand and what uses the result is in the product's loops."""

    def f(x: Any, w: Any) -> Any:
        return jnp.sum(jnp.tanh(jnp.exp(x) @ w) ** 2, axis=1)

    x, w = draw(400, 10), draw(10, 12)
    assert "gemm" not in text(f, x, w)
    loops = pb.jit(f).lower(x, w).compile().as_text("loops")
    assert loops.count("for each of 400") == 1
    check(f, x, w)
    check(pb.grad(lambda x, w: f(x, w).sum(), (0, 1)), x, w)


def test_the_result_is_the_same_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CHUNK", 100.0)
    x, w = draw(3000, 10), draw(10, 12)
    f = pb.jit(lambda x, w: (x @ w, x.T @ jnp.sin(x)))
    before = pb.config.num_threads
    results = []
    try:
        for count in (1, 2, 3):
            pb.config.update("num_threads", count)
            results.append([np.asarray(v) for v in f(x, w)])
    finally:
        pb.config.update("num_threads", before)
    one, *others = results
    for other in others:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    check(lambda x, w: (x @ w, x.T @ jnp.sin(x)), x, w)


def test_a_product_in_a_loop() -> None:
    def f(x: Any, w: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            c = jnp.tanh(c @ w)
            return c, jnp.einsum("ni,nj->ij", c, c)

        return lax.scan(step, x, None, length=5)

    check(f, draw(100, 10), draw(10, 10))
    check(pb.vmap(f, (0, None)), draw(3, 100, 10), draw(10, 10))


def test_blocks_of_rows() -> None:
    """What the rows are computed from is written for some of them only, and the results are read at once."""
    x, y = draw(16, 32, dtype="float32"), draw(32, 10, dtype="float32", seed=1)

    def f(x: Any, y: Any) -> Any:
        z = jnp.maximum(x + 1, 0) @ y
        return z, jnp.sum(z, axis=0), jnp.tanh(z).T

    check(f, x, y)
    assert text(f, x, y).count("getelementptr") < 120
    check(lambda xs, y: lax.map(lambda x: f(x, y), xs), draw(3, 16, 32, dtype="float32"), y)
    check(pb.vmap(f, (0, None)), draw(3, 16, 32, dtype="float32"), y)
