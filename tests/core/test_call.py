"""Calling a program as one step: the `jit` primitive under every transformation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.core.array import ConcreteArray
from pullback._src.core.call import call, eager_executable, executable, jit_p
from pullback._src.core.program import Program
from pullback._src.core.verify import verify

X = pnp.asarray([0.1, 0.2, 0.3])


@pytest.fixture
def program() -> Program:
    return pb.make_jaxpr(lambda x, y: (pnp.sin(x) * y, x))(X, X)


def test_evaluation(program: Program) -> None:
    a, b = call(program, [X, X + 1])
    np.testing.assert_allclose(np.asarray(a), np.sin(X._data) * (X._data + 1), rtol=1e-6)
    assert type(a) is ConcreteArray and b.tolist() == X.tolist()
    assert executable(program) is executable(program)
    assert eager_executable(program) is eager_executable(program)


def test_a_call_is_recorded_operation_by_operation(program: Program) -> None:
    staged = verify(pb.make_jaxpr(lambda x: call(program, [x, x]))(X))
    assert [e.primitive.name for e in staged.eqns] == ["sin", "mul"]


def test_a_jitted_function_is_recorded_as_one_equation(program: Program) -> None:
    run = lambda x: jit_p.bind(x, x, program=program, name="step", inline=False)
    staged = verify(pb.make_jaxpr(run)(X))
    assert [e.primitive.name for e in staged.eqns] == ["jit"]
    inlined = lambda x: jit_p.bind(x, x, program=program, name="step", inline=True)
    assert [e.primitive.name for e in pb.make_jaxpr(inlined)(X).eqns] == ["sin", "mul"]


@pytest.mark.parametrize("inline", [True, False])
def test_every_transformation(program: Program, inline: bool) -> None:
    f = lambda x, y: jit_p.bind(x, y, program=program, name="step", inline=inline)
    g = lambda x, y: [pnp.sin(x) * y, x]
    rows = pnp.stack([X, X * 2])
    checks: list[tuple[Any, tuple[Any, ...]]] = [
        (lambda h: h, (X, X)),
        (lambda h: lambda x, y: pb.jvp(h, (x, y), (y, x)), (X, X + 1)),
        (lambda h: lambda x, y: pb.jvp(lambda y: h(x, y), (y,), (x,)), (X, X + 1)),
        (lambda h: lambda x, y: pb.vjp(h, x, y)[1]([x, y]), (X, X + 1)),
        (lambda h: lambda x, y: pb.vjp(lambda x: h(x, y), x)[1]([x, y]), (X, X + 1)),
        (pb.vmap, (rows, rows)),
        (lambda h: pb.vmap(h, (0, None)), (rows, X)),
        (lambda h: pb.vmap(h, (None, 0), 1), (X, rows)),
        (lambda h: pb.vmap(pb.jacrev(h)), (rows, rows)),
        (lambda h: pb.jacfwd(pb.jacrev(h, 1)), (X, X)),
        (lambda h: pb.hessian(lambda x, y: pnp.sum(h(x, y)[0])), (X, X)),
    ]
    for transform, args in checks:
        for jitted in (False, True):
            mine = pb.jit(transform(f))(*args) if jitted else transform(f)(*args)
            expected = transform(g)(*args)
            for a, b in zip(pb.tree_util.tree_leaves(mine), pb.tree_util.tree_leaves(expected), strict=True):
                assert a.shape == b.shape and a.dtype == b.dtype
                np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)


def test_an_unused_result_leaves_no_work_in_the_backward_program() -> None:
    f = pb.jit(lambda x: (pnp.sin(x), pnp.exp(x)))
    _, pull = pb.vjp(lambda x: f(x)[0], X)
    text = str(pb.make_jaxpr(pull)(X))
    assert text.count("mul") == 1


def test_results_without_tangents() -> None:
    f = pb.jit(lambda x: (x * 2, (x > 0.15).astype(int), pnp.ones(2)))
    out, tangent = pb.jvp(f, (X,), (X,))
    assert tangent[0].tolist() == (X * 2).tolist()
    assert tangent[1].dtype == pb.float0 and tangent[2].tolist() == [0, 0]
    assert pb.vjp(f, X)[1]((X, np.zeros(3, pb.float0), pnp.ones(2)))[0].tolist() == (X * 2).tolist()
    assert out[1].tolist() == [0, 1, 1]


def test_errors_inside_name_the_operation() -> None:
    with pytest.raises(TypeError, match=r"add: operands of shapes \(3,\) and \(2,\)"):
        pb.jit(lambda x: x + pnp.ones(2))(X)
