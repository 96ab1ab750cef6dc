"""Transposition: the backward pass of linear programs, and transposed programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.errors import NotDifferentiableError
from pullback._src.core import rules
from pullback._src.core.array import as_array
from pullback._src.core.aval import ShapedArray, Zero
from pullback._src.core.primitive import Primitive
from pullback._src.core.program import Program, Var
from pullback._src.core.verify import verify
from pullback._src.transforms.linearize import linearize, push_forward
from pullback._src.transforms.transpose import backward_pass, pull_back, transpose_program

from ..flat import run_program

X = as_array(np.array([0.1, 0.2, 0.3], np.float32))
Y = as_array(np.array([1.0, -2.0, 3.0], np.float32))
F3 = ShapedArray((3,), np.float32)

FUNCTIONS: list[Any] = [
    lambda x: [pnp.sin(x) * pnp.exp(x)],
    lambda x: [x, x * 2.0, pnp.sum(x) * x],
    lambda x: [pnp.concatenate([x, x[::-1]]), x[1:]],
    lambda x: [pnp.where(x > 0.15, x**2, -x)],
    lambda x: [pb.jit(pnp.tanh)(x), lax.cond(x[0] > 0, lambda v: v * v, lambda v: v, x)],
    lambda x: list(lax.scan(lambda c, r: (pnp.sin(c) * r, c), pnp.sum(x), x)),
    lambda x: [pnp.ones(2), x > 0, x.reshape(3, 1) @ x.reshape(1, 3)],
]


@pytest.mark.parametrize("f", FUNCTIONS)
def test_the_transpose_pairs_with_the_pushforward(f: Any) -> None:
    """<ct, J t> == <J^T ct, t>."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        outs, lin = linearize(f, [X])
        t = as_array(rng.normal(size=3).astype(np.float32))
        tangents = push_forward(lin.program, lin.residuals, [t])
        cts = [as_array(rng.normal(size=v.aval.shape).astype(v.aval.dtype)) for v in tangents]
        left = sum(float(np.sum(c._data * v._data)) for c, v in zip(cts, tangents, strict=True))
        for back in (backward_pass, pull_back):
            (ct,) = back(lin.program, lin.residuals, cts)
            assert float(np.sum(ct._data * t._data)) == pytest.approx(left, rel=1e-4, abs=1e-5)
        assert len(outs) >= len(tangents)


def test_zeros() -> None:
    _, lin = linearize(lambda x, y: [x * 2.0, y], [X, Y])
    zero = Zero(F3)
    for _ in range(3):
        for back in (backward_pass, pull_back):
            a, b = back(lin.program, lin.residuals, [X, zero])
            np.testing.assert_allclose(np.asarray(a), 2 * X._data)
            assert type(b) is Zero
            assert all(type(c) is Zero for c in back(lin.program, lin.residuals, [zero, zero]))


def test_cotangents_are_summed_over_all_uses() -> None:
    x = Var(F3)
    (ct,) = backward_pass(Program([x], [x, x, x], []), [], [X, Y, Zero(F3)])
    np.testing.assert_allclose(np.asarray(ct), X._data + Y._data)


def test_known_operands_get_no_cotangent() -> None:
    _, lin = linearize(lambda x: [x * Y], [X])
    (ct,) = backward_pass(lin.program, lin.residuals, [X])
    np.testing.assert_allclose(np.asarray(ct), X._data * Y._data)


def test_programs() -> None:
    program = pb.make_jaxpr(lambda a, x, y: (a * x + y, y * 2.0))(X, X, Y)
    for ct_mask in ((True, True), (True, False), (False, True)):
        transposed, nonzero = transpose_program(program, (False, True, True), ct_mask)
        assert transpose_program(program, (False, True, True), ct_mask)[0] is transposed
        verify(transposed)
        assert nonzero == (ct_mask[0], True)
        outs = iter(run_program(transposed, [X, *[Y] * sum(ct_mask)]))
        if nonzero[0]:
            np.testing.assert_allclose(np.asarray(next(outs)), X._data * Y._data, rtol=1e-6)
        scale = ct_mask[0] + 2.0 * ct_mask[1]
        np.testing.assert_allclose(np.asarray(next(outs)), scale * Y._data, rtol=1e-6)


def test_transposing_twice_gives_the_program_back() -> None:
    program = pb.make_jaxpr(lambda a, x: a * pnp.cumsum(x))(X, Y)
    once, _ = transpose_program(program, (False, True), (True,))
    twice, _ = transpose_program(once, (False, True), (True,))
    np.testing.assert_allclose(
        np.asarray(run_program(twice, [X, Y])[0]), np.asarray(run_program(program, [X, Y])[0]), rtol=1e-6
    )


def test_operations_without_transpose(monkeypatch: pytest.MonkeyPatch) -> None:
    odd_p = Primitive("test_transpose_odd")
    rules.abstract[odd_p] = lambda x: x
    rules.evaluate[odd_p] = lambda x: x
    rules.jvp[odd_p] = lambda primals, tangents: (primals[0], odd_p.bind(tangents[0]))
    monkeypatch.setitem(rules.not_transposable, odd_p, "it is odd")
    with pytest.raises(
        NotDifferentiableError, match=r"'test_transpose_odd' cannot be transposed .*: it is odd"
    ) as e:
        pb.grad(lambda x: pnp.sum(odd_p.bind(x)))(X)
    assert __file__ in str(e.value)
    np.testing.assert_allclose(np.asarray(pb.jvp(odd_p.bind, (X,), (Y,))[1]), np.asarray(Y))


def test_the_backward_pass_can_be_staged_batched_and_differentiated() -> None:
    _, lin = linearize(lambda x: [pnp.sin(x) * x], [X])
    pull = lambda ct: pull_back(lin.program, lin.residuals, [ct])[0]
    expected = np.asarray(pull(Y))
    for _ in range(3):
        np.testing.assert_allclose(np.asarray(pb.jit(pull)(Y)), expected, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(pb.vmap(pull)(pnp.stack([Y, Y]))[1]), expected, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(pb.jvp(pull, (X,), (Y,))[1]), expected, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(pb.vjp(pull, X)[1](Y)[0]), expected, rtol=1e-6)
