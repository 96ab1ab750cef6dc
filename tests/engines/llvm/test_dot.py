"""`dot_general` of the LLVM engine agrees with the NumPy engine's."""

import re
import struct
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.engines.llvm import blas
from pullback._src.engines.llvm.engine import Compilation

from .agreement import check, draw

DTYPES = ["float32", "float64", "complex64", "complex128", "float16", "bfloat16", "int32", "uint8", "bool"]


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with pb.enable_x64(True):
        yield


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(3, 4, 5), (17, 19, 23), (1, 40, 30), (30, 40, 1)])
def test_dtypes(sizes: tuple[int, int, int], dtype: str) -> None:
    m, k, n = sizes
    check(lambda x, y: x @ y, draw(m, k, dtype=dtype), draw(k, n, dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_transposed_operands_are_read_in_place(left: bool, right: bool, dtype: str) -> None:
    x, y = (
        draw(*((20, 30) if left else (30, 20)), dtype=dtype),
        draw(*((40, 20) if right else (20, 40)), dtype=dtype),
    )
    check(lambda x, y: (x.T if left else x) @ (y.T if right else y), x, y)


@pytest.mark.parametrize(
    ("left", "right", "numbers"),
    [
        ((5, 20, 30), (5, 30, 12), (((2,), (1,)), ((0,), (0,)))),
        ((20, 5, 30), (30, 12, 5), (((2,), (0,)), ((1,), (2,)))),
        ((4, 5, 20, 30), (4, 5, 12, 30), (((3,), (3,)), ((0, 1), (0, 1)))),
        ((20, 4, 30, 5), (5, 12, 4, 30), (((2,), (3,)), ((1, 3), (2, 0)))),
        ((6, 7, 8, 9), (9, 8, 10, 11), (((2, 3), (1, 0)), ((), ()))),
        ((6, 9, 8, 7), (9, 10, 8), (((1, 2), (0, 2)), ((), ()))),
        ((7, 3, 3), (7, 3, 3), (((1,), (2,)), ((0,), (0,)))),
        ((40,), (40,), (((0,), (0,)), ((), ()))),
        ((6, 7), (8, 9), (((), ()), ((), ()))),
        ((), (8, 9), (((), ()), ((), ()))),
    ],
)
def test_dimension_numbers(left: Any, right: Any, numbers: Any) -> None:
    check(lambda x, y: lax.dot_general(x, y, numbers), draw(*left), draw(*right, seed=1))


@pytest.mark.parametrize("sizes", [(0, 4, 5), (3, 0, 5), (3, 4, 0), (30, 0, 30)])
def test_empty(sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    check(lambda x, y: x @ y, draw(m, k), draw(k, n))
    check(lambda x, y: x @ y, draw(2, m, k), draw(2, k, n))
    check(lambda x, y: x @ y, draw(0, m, k), draw(0, k, n))


def test_views_that_blas_cannot_read_are_copied() -> None:
    x, y = draw(40, 60), draw(60, 50)
    check(lambda x, y: x[::2, ::3] @ y[:20], x, y)
    check(lambda x, y: x[::-1] @ y[:, 5:30], x, y)
    check(lambda x, y: jnp.broadcast_to(x[0], (30, 60)) @ y, x, y)
    check(lambda x, y: x.reshape(20, 2, 60).transpose(1, 0, 2).reshape(40, 60) @ y, x, y)


def test_operands_and_results_among_other_operations() -> None:
    x, y = draw(40, 60), draw(60, 50)
    check(lambda x, y: jnp.tanh(jnp.exp(-x) @ (y + 1)) * 2, x, y)
    check(lambda x, y: ((x @ y) @ (x @ y).T, (x @ y).T.sum(0)), x, y)


@pytest.mark.parametrize(
    ("result", "operands"), [("float32", "bfloat16"), ("float64", "float32"), ("int32", "int8")]
)
def test_preferred_dtype(result: str, operands: str) -> None:
    x, y = draw(20, 30, dtype=operands), draw(30, 20, dtype=operands)
    check(lambda x, y: lax.dot_general(x, y, (((1,), (0,)), ((), ())), preferred_element_type=result), x, y)


def test_infinities_and_nans() -> None:
    x, y = draw(20, 30), draw(30, 20)
    x[3, 4], y[5, 6], y[7, 8] = np.inf, np.nan, -np.inf
    check(lambda x, y: x @ y, x, y)


FACTORS = [0.3, 2.5, 1e-30, -2.0, 0.0, -0.0, np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "float16", "int32"])
@pytest.mark.parametrize("factor", FACTORS)
def test_products_that_are_multiplied_by_a_number(factor: float, dtype: str) -> None:
    if dtype == "int32":
        factor = int(np.nan_to_num(factor, posinf=7))
    x, y = draw(20, 30, dtype=dtype), draw(30, 40, dtype=dtype)
    check(lambda x, y: (x @ y * factor, factor * (y.T @ x.T)), x, y)
    if dtype != "int32":
        x[3, 4], y[5, 6], y[7, 8] = np.inf, np.nan, -np.inf
        check(lambda x, y: x @ y * factor, x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [8.0, 0.25, 3.0, -8.0, 0.0, 2.0**-140, 1e30])
def test_products_that_are_divided(number: float, dtype: str) -> None:
    x, y = draw(20, 30, dtype=dtype), draw(30, 40, dtype=dtype)
    x[3, 4] = 0
    check(lambda x, y: ((x @ y) / number, (y.T @ x.T) / number + 1), x, y)
    check(lambda x, y: number / (x @ y), x, y, tolerance=1e-3)


def text_of(function: Any, *args: Any) -> str:
    return str(Compilation(pb.jit(function).stage(tuple(args), {}).open_program).text)


def _read_twice(x: Any, y: Any) -> Any:
    z = x @ y
    return z, z * 0.3


@pytest.mark.parametrize(
    ("function", "folded"),
    [
        (lambda x, y: x @ y * 0.3, True),
        (lambda x, y: 0.3 * (x @ y), True),
        (lambda x, y: jnp.tanh(0.3 * (x @ y)).T, True),
        (lambda x, y: (x @ y) / 8, True),
        (lambda x, y: (x @ y) / 3, False),
        (lambda x, y: 8 / (x @ y), False),
        (lambda x, y: x @ y * 0.0, False),
        (lambda x, y: x @ y * -2.0, False),
        (lambda x, y: (x @ y, y.T @ x.T * 0.3), True),
        (_read_twice, False),
        (lambda x, y: (x @ y * 0.3) @ y.T * 0.5, True),
    ],
)
def test_blas_multiplies_by_numbers(function: Any, folded: bool) -> None:
    """Only if nothing else reads the product, and what is not finite stays what it is."""
    x, y = draw(20, 30, dtype="float64"), draw(30, 40, dtype="float64")
    tasks = re.findall(r"@task\d+ = internal constant \[\d+ x i64\] \[(.*?)\]", text_of(function, x, y))
    factors = {
        struct.unpack("d", struct.pack("q", int(task.split("i64 ")[9].strip(", "))))[0] for task in tasks
    }
    assert (factors != {1.0}) == folded
    check(function, x, y)


def test_results_of_multiplied_products_are_made_where_they_stay() -> None:
    x = draw(64, 64)
    check(lambda x: (x @ x * 0.1, (x @ x.T * 0.5).reshape(16, 256), (x.T @ x * 0.25).T), x)

    def step(c: Any, y: Any) -> Any:
        c = c @ y * 0.1
        return c, c @ c * 0.5

    check(lambda x, ys: lax.scan(step, x, ys), x, draw(5, 64, 64))


SHAPES = [((20, 20), (20, 20)), ((300, 200), (200, 300)), ((3, 20, 20), (3, 20, 20)), ((16, 90, 90),) * 2]


@pytest.mark.parametrize("shapes", SHAPES)
def test_equal_products_of_long_programs_are_written_once(shapes: Any) -> None:
    """Whether they are one call of BLAS, tiles, or a stack of matrices."""

    def run(x: Any, y: Any) -> Any:
        z = x @ y
        for _ in range(40):
            z = (z - jnp.mean(z)) @ y.mT * 0.1 if z.shape == x.shape else jnp.tanh(z[..., :200]) @ y
        return z, -x @ y * 0.5

    x, y = (draw(*shape) / 10 for shape in shapes)
    text = text_of(run, x, y)
    assert 1 <= len(re.findall("call .*@pb_products?[(]", text)) <= 3
    assert len(re.findall("call .*@part", text)) > 30
    check(run, x, y)
    check(lambda x, ys: lax.map(lambda y: run(x, y), ys), x, np.stack([y, y + 1]))


def test_inside_of_loops() -> None:
    def steps(x: Any, ys: Any) -> Any:
        return lax.scan(lambda c, y: (jnp.tanh(c @ y), c @ y[:, :7]), x, ys)

    check(steps, draw(20, 30), draw(5, 30, 30))


@pytest.mark.parametrize("shapes", [((300, 200), (200, 700)), ((16, 90, 80), (16, 80, 100))])
def test_results_do_not_depend_on_the_number_of_threads(shapes: Any) -> None:
    x, y = (draw(*shape) for shape in shapes)
    results = []
    before = pb.config.num_threads
    try:
        for count in (1, 2, 3):
            pb.config.update("num_threads", count)
            results.append(check(lambda x, y: x @ y, x, y)[0])
    finally:
        pb.config.update("num_threads", before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_setting_of_numpys_blas_is_restored() -> None:
    library = blas.library()
    if not library.controlled:
        pytest.skip("the number of BLAS's threads cannot be set here")
    threads = library.threads()
    check(lambda x, y: x @ y, draw(300, 300), draw(300, 300))
    assert library.threads() == threads


def test_routines_exported_by_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    other = blas.Library()
    monkeypatch.setattr(blas, "_candidates", lambda: iter(()))
    monkeypatch.setattr(blas, "library", blas.Library)
    assert blas.library().integer == "i32"
    assert not blas.library().controlled
    assert blas.library().address("sgemm") not in (0, other.address("sgemm"))
    check(lambda x, y: x @ y, draw(20, 30), draw(30, 40))
    with pytest.raises(LookupError, match="nosuch"):
        blas._exported("nosuch")
