"""Linearization: linear programs with residuals, their sharing, and the splitting of programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.core import rules
from pullback._src.core.array import as_array, scalar
from pullback._src.core.primitive import Primitive
from pullback._src.core.verify import verify
from pullback._src.transforms.linearize import linearize, linearize_program, push_forward

from ..flat import run_program

X = as_array(np.array([0.1, 0.2, 0.3], np.float32))
Y = as_array(np.array([1.0, -2.0, 3.0], np.float32))


def test_the_linear_program_has_only_linear_operations() -> None:
    outs, lin = linearize(lambda x: [pnp.sin(x) * pnp.exp(x)], [X])
    used = {e.primitive.name for e in lin.program.eqns}
    assert used <= {"mul", "add", "add_any", "neg", "sub", "div"}
    verify(lin.program.with_consts_as_inputs())
    assert len(lin.program.constvars) == len(lin.residuals) > 0
    expected = (np.cos(X._data) + np.sin(X._data)) * np.exp(X._data) * Y._data
    np.testing.assert_allclose(
        np.asarray(run_program(lin.program, [Y], lin.residuals)[0]), expected, rtol=1e-5
    )
    np.testing.assert_allclose(np.asarray(outs[0]), np.sin(X._data) * np.exp(X._data), rtol=1e-6)


def test_masks() -> None:
    f = lambda x, n, y: [x * y, n * 2, y, pnp.ones(2)]
    n = as_array(np.array([1, 2, 3], np.int32))
    _, lin = linearize(f, [X, n, Y])
    assert lin.in_nonzero == (True, False, True) and lin.out_nonzero == (True, False, True, False)
    _, lin = linearize(f, [X, n, Y], [True, False, False])
    assert lin.in_nonzero == (True, False, False) and lin.out_nonzero == (True, False, False, False)
    assert len(lin.program.invars) == 1 and len(lin.program.outvars) == 1


def test_outputs_that_are_inputs() -> None:
    _, lin = linearize(lambda x: [x, x], [X])
    assert lin.program.eqns == () and lin.program.outvars == lin.program.invars * 2
    assert push_forward(lin.program, lin.residuals, [Y])[1] is Y


def test_pushing_forward_again_gives_the_same() -> None:
    f = lambda x: [pnp.tanh(x) * x, pnp.sum(x**3)]
    for x in (X, Y, X):
        _, lin = linearize(f, [x])
        first = push_forward(lin.program, lin.residuals, [Y])
        for _ in range(3):
            again = push_forward(lin.program, lin.residuals, [Y])
            for a, b in zip(first, again, strict=True):
                np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-6)


def loop(x: Any, n: int) -> Any:
    for _ in range(n):
        x = pnp.sin(x)
    return [x]


def test_equal_structures_share_their_program() -> None:
    programs = {}
    for n in (1, 2, 3):
        found = [linearize(lambda x, n=n: loop(x, n), [v])[1].program for v in (X, X, Y, Y)]
        assert found[2] is found[3]
        programs[n] = found[3]
    assert len({id(p) for p in programs.values()}) == 3
    for n in (1, 2, 3):
        assert linearize(lambda x, n=n: loop(x, n), [X])[1].program is programs[n]
        assert len(programs[n].eqns) == n
    wide = as_array(np.ones((2, 2), np.float32))
    assert linearize(lambda x: loop(x, 2), [wide])[1].program is not programs[2]


def test_values_that_happen_to_be_numbers_are_residuals() -> None:
    """At each point they are others, so they must not be part of the structure."""
    programs = [linearize(lambda x: loop(x, 3), [as_array(v)])[1].program for v in (0.1, 0.2, 0.3, 0.4, 0.2)]
    assert len({id(p) for p in programs[1:]}) == 1
    f = lambda x: pnp.sin(x) * x * 1.5
    for v in (0.1, 0.2, 0.3, 0.2):
        assert float(pb.grad(f)(v)) == pytest.approx(1.5 * (np.cos(v) * v + np.sin(v)), rel=1e-5)


def test_tangents_may_be_constants() -> None:
    strange_p = Primitive("test_linearize_strange")
    rules.abstract[strange_p] = lambda x: x
    rules.evaluate[strange_p] = lambda x: x
    for constant in (scalar(3.0, np.dtype(np.float32)), as_array(np.float32(3.0))):
        rules.jvp[strange_p] = lambda primals, tangents, c=constant: (primals[0], c)
        for _ in range(3):
            _, lin = linearize(lambda x: [strange_p.bind(x) * x], [as_array(2.0)])
            (out,) = push_forward(lin.program, lin.residuals, [as_array(1.0)])
            assert float(out) == 3.0 * 2.0 + 2.0


def test_different_parameters_and_literals_are_different_structures() -> None:
    def f(x: Any, axis: int, factor: float, exponent: int) -> Any:
        return [pnp.sum(x * factor, axis=axis) ** exponent]

    m = as_array(np.arange(4, dtype=np.float32).reshape(2, 2) + 1)
    one = as_array(np.ones((2, 2), np.float32))
    for _ in range(3):
        for axis in (0, 1):
            for factor in (2.0, 3.0, -1.0):
                for exponent in (1, 2, 3):
                    _, lin = linearize(lambda x: f(x, axis, factor, exponent), [m])  # noqa: B023
                    (out,) = push_forward(lin.program, lin.residuals, [one])
                    inner = (m._data * factor).sum(axis)
                    np.testing.assert_allclose(
                        np.asarray(out), exponent * inner ** (exponent - 1) * factor * 2, rtol=1e-5
                    )


def test_which_operand_is_linear_is_part_of_the_structure() -> None:
    f = lambda a, b, swap: [b - 2.0 * a] if swap else [a - 2.0 * b]
    for _ in range(3):
        for swap in (False, True):
            for mask in ((True, False), (False, True), (True, True)):
                _, lin = linearize(lambda a, b: f(a, b, swap), [X, Y], mask)  # noqa: B023
                (out,) = push_forward(lin.program, lin.residuals, [X] * sum(mask))
                weights = (-2.0, 1.0) if swap else (1.0, -2.0)
                scale = sum(w for w, m in zip(weights, mask, strict=True) if m)
                np.testing.assert_allclose(np.asarray(out), scale * X._data, rtol=1e-6)


def test_splitting_programs() -> None:
    program = pb.make_jaxpr(lambda x, y: (pnp.sin(x) * y, y + 1.0))(X, Y)
    for mask in ((True, True), (True, False), (False, True)):
        split = linearize_program(program, mask)
        assert linearize_program(program, mask) is split
        verify(split.primal)
        verify(split.linear)
        outs = run_program(split.primal, [X, Y])
        residuals = split.residuals([X, Y], outs[2:])
        np.testing.assert_allclose(np.asarray(outs[0]), np.sin(X._data) * Y._data, rtol=1e-6)
        tangents = run_program(split.linear, [*residuals, *[X] * sum(mask)])
        expected = (np.cos(X._data) * Y._data * X._data if mask[0] else 0) + (
            np.sin(X._data) * X._data if mask[1] else 0
        )
        np.testing.assert_allclose(np.asarray(tangents[0]), expected, rtol=1e-5)
        assert split.out_nonzero == (True, mask[1])


def test_residuals_that_are_inputs_are_not_computed() -> None:
    split = linearize_program(pb.make_jaxpr(lambda x, y: x * y)(X, Y), (True, True))
    assert set(split.residual_inputs) == {0, 1}
    assert len(split.primal.outvars) == 1


def test_programs_with_loops() -> None:
    f = lambda x: list(lax.scan(lambda c, r: (c * r, c), pnp.sum(x), x))
    for x in (X, Y):
        _, lin = linearize(f, [x])
        dense, _ = push_forward(lin.program, lin.residuals, [Y])
        assert float(dense) == pytest.approx(
            float(pb.jvp(lambda x: pnp.sum(x) * pnp.prod(x), (x,), (Y,))[1]), rel=1e-5
        )
