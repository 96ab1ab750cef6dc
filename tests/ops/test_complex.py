"""Negation, and complex numbers and their parts, against NumPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
from pullback._src.core.array import wrap
from pullback._src.ops import complex as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, integers, uniform


def _samples() -> list[Sample]:
    out = []
    for dtype in (np.float32, np.float64, np.complex64, np.complex128, np.int32, BFLOAT16):
        inexact = dtype is not np.int32 and dtype is not BFLOAT16
        x = integers(-3, 3, (2, 3), dtype) if dtype is np.int32 else uniform(-1, 1, (2, 3), dtype)
        order = 2 if dtype in (np.float64, np.complex128) else 1
        label = f"neg-{DTYPE_NAMES[np.dtype(dtype).name]}"
        out.append(
            Sample(label, ops.neg, (x,), np.negative, (0,) if inexact else (), order, primitives=("neg",))
        )
    for dtype, order in ((np.complex64, 1), (np.complex128, 2)):
        name = DTYPE_NAMES[np.dtype(dtype).name]
        for shape in ((2, 3), (), (0, 2)):
            z = uniform(-1, 1, shape, dtype)
            size = "x".join(map(str, shape))
            for part, reference in (("real", np.real), ("imag", np.imag), ("conj", np.conj)):
                as_array = lambda v, f=reference: np.asarray(f(v))
                out.append(
                    Sample(
                        f"{part}-{name}-{size}",
                        getattr(ops, part),
                        (z,),
                        as_array,
                        (0,),
                        order,
                        primitives=(part,),
                    )
                )
        real_dtype = np.float32 if dtype is np.complex64 else np.float64
        x, y = uniform(-1, 1, (2, 3), real_dtype, 1), uniform(-1, 1, (3,), real_dtype, 2)
        out.append(
            Sample(
                f"complex-{name}",
                ops.complex,
                (x, y),
                lambda a, b: a + 1j * b,
                (0, 1),
                order,
                (0, 1),
                primitives=("complex",),
            )
        )
        out.append(
            Sample(f"conj-of-real-{name}", ops.conj, (x,), lambda a, d=dtype: a.astype(d), (0,), order)
        )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


def test_like_jax() -> None:
    z = uniform(-1, 1, (4,), np.complex64)
    for name in ("real", "imag", "conj"):
        oracle.check(getattr(ops, name), getattr(jax.lax, name), z)
        oracle.check_grad(getattr(ops, name), getattr(jax.lax, name), z)
    oracle.check(ops.conj, jax.lax.conj, np.ones(2, np.float32))
    oracle.check(ops.complex, jax.lax.complex, z.real.copy(), z.imag.copy())
    oracle.check_grad(ops.complex, jax.lax.complex, z.real.copy(), z.imag.copy(), argnums=(0, 1))
    oracle.check(ops.complex, jax.lax.complex, np.ones(2, np.int32), np.ones(2, np.int32))
    oracle.check(ops.neg, jax.lax.neg, np.array([True]))
    oracle.check(ops.neg, jax.lax.neg, np.array([0.0, -0.0, np.nan, np.inf], np.float32))


def test_the_gradient_of_a_real_function_of_a_complex_number_follows_jax() -> None:
    # f(x + iy) = u: grad is du/dx - i du/dy, so that of x^2 + 3y is 2x - 3i.
    f: Any = lambda z: ops.real(z) ** 2 + 3 * ops.imag(z)  # type: ignore[operator]
    z = np.complex64(2 + 5j)
    expected = jax.grad(lambda w: jax.numpy.real(w) ** 2 + 3 * jax.numpy.imag(w))(z)
    assert complex(pb.grad(f)(wrap(np.array(z)))) == complex(expected) == 4 - 3j
